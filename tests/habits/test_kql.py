"""Microsoft's own KQL parser accepts every question we ask of Resource Graph."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from auditor.inventory import catalogue

ROOT = Path(__file__).resolve().parents[2]
MODULES = ROOT / "build" / "kusto" / "node_modules"

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or not (MODULES / "@kusto").is_dir(),
    reason="Microsoft's KQL parser needs node and its npm package; `make test` fetches it where npm is there",
)


def complaints(*queries: str) -> list[list[str]]:
    done = subprocess.run(
        ["node", str(Path(__file__).with_name("kql.js"))],
        input=json.dumps(queries),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "NODE_PATH": str(MODULES)},
    )
    told: list[list[str]] = json.loads(done.stdout)
    return told


def test_every_question_is_accepted() -> None:
    asked = {table.name: table.graph.kql for table in catalogue.tables() if table.graph}
    assert len(asked) >= 10
    assert dict(zip(asked, complaints(*asked.values()), strict=True)) == {name: [] for name in asked}


def test_the_parser_can_refuse() -> None:
    misspelt, unknown = complaints("resources | wher id == 1", "resources | project nope")
    assert misspelt
    assert "nope" in unknown[0]
