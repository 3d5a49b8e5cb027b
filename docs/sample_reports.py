"""Rewrites samples/reports: contoso, audited at a fixed moment through the real SDKs against the simulator."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / "samples" / "reports"
AS_OF = "2026-11-22T06:00:00Z"
KEPT = ("report.pdf", "report.html", "findings.json")


def main() -> None:
    """Run the demo in a folder of its own and keep its reports."""
    with tempfile.TemporaryDirectory() as store:
        demo = [sys.executable, "-m", "auditor", "demo", "--store", store, "--as-of", AS_OF, "--quiet"]
        subprocess.run(demo, check=True)  # noqa: S603 - our own command
        (made,) = Path(store).glob("run=*/reports")
        TARGET.mkdir(exist_ok=True)
        for name in KEPT:
            shutil.copyfile(made / name, TARGET / name)


if __name__ == "__main__":
    main()
