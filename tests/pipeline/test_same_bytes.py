"""The same bundle gives the same bytes, whatever the time zone, the locale and the hash seed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from auditor.simulator.estate import Estate
from tests.audits import AS_OF, audit
from tests.pipeline.test_verdicts import CONTOSO

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

WORLDS = [
    {"TZ": "UTC", "LC_ALL": "C", "PYTHONHASHSEED": "0"},
    {"TZ": "Asia/Tokyo", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "1"},
    {"TZ": "America/St_Johns", "LC_ALL": "de_DE.UTF-8", "PYTHONHASHSEED": "12345"},
]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return audit(Estate.load(CONTOSO, AS_OF), tmp_path_factory.mktemp("store")).bundle.folder


def auditor(*arguments: str, world: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "auditor", *arguments],
        env={**os.environ, **world},
        capture_output=True,
        text=True,
        check=False,
    )


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_reports_are_the_same_bytes_in_any_world(bundle: Path, tmp_path: Path) -> None:
    seen = []
    for number, world in enumerate(WORLDS):
        # From another folder too: where a bundle lies is no part of what it says.
        copy = tmp_path / f"copy-{number}" / bundle.name
        shutil.copytree(bundle, copy)
        done = auditor("report", str(copy), "--quiet", world=world)
        assert done.returncode == 1, done.stderr
        seen.append({name: d for name, d in digests(copy / "reports").items() if name != "index.json"})
    assert set(seen[0]) == {"report.html", "report.pdf", "findings.json"}
    assert seen[0] == seen[1] == seen[2]


def test_judging_again_gives_the_same_verdicts_in_any_world(bundle: Path) -> None:
    sealed = digests(bundle / "findings")
    for world in WORLDS[1:]:
        shutil.rmtree(bundle / "evaluations", ignore_errors=True)
        done = auditor("evaluate", str(bundle), "--quiet", world=world)
        assert done.returncode == 1, done.stderr
        (again,) = (bundle / "evaluations").glob("*/findings")
        assert digests(again) == sealed
