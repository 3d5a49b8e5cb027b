"""A bundle that an older version sealed: tables are made anew from raw answers; what was never asked is unknown."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING

import pytest

from auditor import pipeline
from auditor.bundle import Bundle
from auditor.errors import BundleError
from auditor.inputs import of_bundle
from tests.audits import audit
from tests.azure.runs import hurried, mixed_estate, verdicts

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

LATER = {"restore_point_collection", "restore_point", "action_group", "vault_config"}
"""Tables that the older version did not know."""


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return audit(mixed_estate(), tmp_path_factory.mktemp("now"), patience=hurried()).bundle


def aged(sealed: Bundle, store: Path) -> Bundle:
    """Copy a bundle into `store` as a version before these tables would have left it."""
    folder = store / sealed.folder.name
    shutil.copytree(sealed.folder, folder)
    for table in LATER:
        (folder / "inventory" / f"{table}.parquet").unlink()
        (folder / "raw" / f"{table}.zst").unlink(missing_ok=True)
    log = folder / "raw" / "responses.jsonl"
    kept = [line for line in log.read_text().splitlines(keepends=True) if json.loads(line)["table"] not in LATER]
    log.write_text("".join(kept))
    coverage = json.loads((folder / "coverage.json").read_text())
    coverage["coverage"] = [row for row in coverage["coverage"] if row["table"] not in LATER]
    for word in ("second", "sampled", "clock_offset_seconds"):
        del coverage[word]
    (folder / "coverage.json").write_text(json.dumps(coverage))
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["run"]["tables_digest"]
    manifest["files"] = [
        {**entry, "sha256": hashlib.sha256((folder / entry["path"]).read_bytes()).hexdigest()}
        for entry in manifest["files"]
        if (folder / entry["path"]).exists()
    ]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return Bundle(folder)


def test_it_is_read_as_it_was_sealed(sealed: Bundle, tmp_path: Path) -> None:
    old = aged(sealed, tmp_path)
    assert old.damage() == []
    now, then = pipeline.read(sealed), pipeline.read(old)
    assert [(f.rule, f.resource_id, f.status) for f in then.findings] == [
        (f.rule, f.resource_id, f.status) for f in now.findings
    ]
    assert {machine.resource_id for machine in then.machines} == {machine.resource_id for machine in now.machines}
    assert not (old.folder / "inventory" / "action_group.parquet").exists()


def test_judged_again_what_it_never_asked_for_is_unknown(sealed: Bundle, tmp_path: Path) -> None:
    old = aged(sealed, tmp_path)
    again = pipeline.evaluate_again(old, of_bundle(old))
    made = pipeline.read(old, findings=again)
    before = verdicts(sealed)
    changed = {(f.rule, f.status.value) for f in made.findings if before[f.rule, f.resource_id] != f.status.value}
    assert changed == {("vm-snapshot-only", "unknown"), ("snapshot-daily-missing", "unknown")}


def test_without_its_raw_answers_it_is_of_no_use(sealed: Bundle, tmp_path: Path) -> None:
    old = aged(sealed, tmp_path)
    shutil.rmtree(old.folder / "raw")
    with pytest.raises(BundleError, match="made by another version"):
        pipeline.read(old)
