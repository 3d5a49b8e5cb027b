"""Points that are not asked for again: of an interrupted run, of stopped items, and those left out of a sample."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from auditor import pipeline
from auditor.bundle import Bundle, kept
from auditor.collect import Scope
from auditor.simulator import Faults
from auditor.simulator.server import Simulator
from tests.audits import AS_OF, TOKEN, audit, audit_at, default_inputs
from tests.azure.runs import hurried, mixed_estate, stopping, verdicts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from auditor.simulator import Estate
    from tests.azure.runs import Verdicts

pytestmark = pytest.mark.slow

STOPPED = {"stopped", "deleted", "twice"}
"""VMs of the mixed estate with an item that gets no new points."""


@pytest.fixture
def azure(mixed: Estate) -> Iterator[Simulator]:
    with Simulator(mixed, token=TOKEN, quota=None) as served:
        yield served


def asked(azure: Simulator) -> list[str]:
    """Give the VMs whose points were asked for."""
    return sorted(r.path.split(";")[-1].split("/")[0] for r in azure.requests(path="/recoveryPoints"))


def points_of(bundle: Bundle) -> list[dict[str, Any]]:
    return [entry for entry in bundle.responses() if entry["table"] == "recovery_point"]


# -- changed ------------------------------------------------------------------------------------------


def test_points_of_stopped_items_are_taken_from_the_run_before(azure: Simulator, tmp_path: Path) -> None:
    scope = Scope(recovery_points="changed")
    first = audit_at(azure, tmp_path, scope=scope, as_of=AS_OF - timedelta(days=7))
    everything = asked(azure)
    azure.log.clear()
    second = audit_at(azure, tmp_path, scope=scope)
    left = asked(azure)
    assert len(everything) - len(left) == len(STOPPED)
    assert set(everything) - set(left) | {"twice"} == STOPPED
    for moment in (AS_OF - timedelta(days=7), AS_OF):
        whole = audit_at(azure, tmp_path / "whole", as_of=moment)
    assert verdicts(second) == verdicts(whole)
    reused = [entry for entry in points_of(second) if "reused_from" in entry]
    assert {entry["reused_from"]["run"] for entry in reused} == {first.run["id"]}
    states = {row.state.value for row in second.covered().coverage if row.table == "recovery_point"}
    assert states == {"complete", "reused"}
    assert pipeline.read(second).run.complete


def test_after_four_runs_they_are_read_again(azure: Simulator, tmp_path: Path) -> None:
    counts = []
    for week in range(7):
        azure.log.clear()
        audit_at(azure, tmp_path, scope=Scope(recovery_points="changed"), as_of=AS_OF + timedelta(days=7 * week))
        counts.append(len(asked(azure)))
    whole, few = max(counts), min(counts)
    assert counts == [whole, few, few, few, few, whole, few]


def test_an_item_that_was_stopped_since_is_read(tmp_path: Path, mixed: Estate) -> None:
    del mixed
    scope = Scope(recovery_points="changed")
    audit(mixed_estate(), tmp_path, scope=scope, as_of=AS_OF - timedelta(days=7))
    later = mixed_estate()
    items = [item for vault in later.vaults.values() for item in vault.items.values()]
    for item in items:
        item.properties["protectionState"] = "ProtectionStopped"
    made = audit(later, tmp_path, scope=scope)
    read = {r.path for r in made.log if r.path.endswith("/recoveryPoints")}
    assert len(read) == len(items) - len(STOPPED)


# -- sample ------------------------------------------------------------------------------------------


def test_a_sample_is_the_same_for_the_same_run_and_the_rest_is_unknown(
    azure: Simulator, tmp_path: Path, clean: Verdicts
) -> None:
    scope = Scope(recovery_points="sample:4")
    made = audit_at(azure, tmp_path / "a", scope=scope)
    drawn = asked(azure)
    azure.log.clear()
    audit_at(azure, tmp_path / "b", scope=scope)
    assert (len(drawn), asked(azure)) == (4, drawn)
    results = pipeline.read(made)
    assert not results.run.complete
    changed = {key: status for key, status in verdicts(made).items() if status != clean[key]}
    assert set(changed.values()) == {"unknown"}
    reasons = {f.reason_code for f in results.findings if (f.rule, f.resource_id) in changed}
    assert reasons == {"not_sampled"}
    assert results.gate.exit_code == 1
    assert sorted(made.covered().sampled or ()) == sorted({entry["subject"] for entry in points_of(made)})


def test_where_the_standard_accepts_a_sample_the_rest_is_not_applicable(
    azure: Simulator, tmp_path: Path, clean: Verdicts
) -> None:
    standard = tmp_path / "standard.yaml"
    text = default_inputs().standard.text
    accepted = "accept_sampling: true\n  justification: a sample is enough for our points"
    standard.write_text(text.replace("accept_sampling: false", accepted))
    from auditor import assets, inputs  # noqa: PLC0415 - only here

    made = audit_at(
        azure,
        tmp_path / "s",
        scope=Scope(recovery_points="sample:4"),
        given=inputs.read(standard, beside=assets.samples()),
    )
    changed = {key: status for key, status in verdicts(made).items() if status != clean[key]}
    assert set(changed.values()) == {"not_applicable"}
    assert pipeline.read(made).run.complete


# -- interrupted ------------------------------------------------------------------------------------------


def test_a_resumed_run_equals_an_uninterrupted_one(azure: Simulator, tmp_path: Path, clean: Verdicts) -> None:
    for _ in range(2):
        with pytest.raises(asyncio.CancelledError):
            audit_at(azure, tmp_path, kind=stopping(5, "recovery_point"))
    assert not list(tmp_path.glob("run=*"))
    (one, two) = sorted(tmp_path.glob(".collecting-*"))
    before = len(asked(azure))
    azure.log.clear()
    made = audit_at(azure, tmp_path)
    assert verdicts(made) == clean
    assert pipeline.read(made).run.complete
    resumed = {entry["subject"] for entry in points_of(made) if entry.get("resumed")}
    assert len(resumed) > 0
    fresh = {entry["subject"] for entry in points_of(made)} - resumed
    paths = {r.path.lower().removesuffix("/recoverypoints") for r in azure.requests(path="/recoveryPoints")}
    assert fresh <= paths
    assert paths.isdisjoint(resumed)
    assert before > 0
    assert not one.exists()
    assert not two.exists()
    assert made.damage() == []


@pytest.mark.parametrize(
    "harm",
    ["cut the bodies", "cut the log", "no log", "other bytes", "no mark"],
)
def test_what_is_damaged_is_read_again(azure: Simulator, tmp_path: Path, clean: Verdicts, harm: str) -> None:
    with pytest.raises(asyncio.CancelledError):
        audit_at(azure, tmp_path, kind=stopping(6, "recovery_point"))
    (folder,) = tmp_path.glob(".collecting-*")
    bodies, log = folder / "raw" / "recovery_point.zst", folder / "raw" / "responses.jsonl"
    if harm == "cut the bodies":
        bodies.write_bytes(bodies.read_bytes()[:-20])
    elif harm == "cut the log":
        log.write_bytes(log.read_bytes()[:-20])
    elif harm == "no log":
        log.unlink()
    elif harm == "other bytes":
        bodies.write_bytes(bytes(len(bodies.read_bytes())))
    else:
        (folder / "collecting.json").write_text("{")
    assert verdicts(audit_at(azure, tmp_path)) == clean


def test_stopped_while_it_is_judged_nothing_is_read_again(
    azure: Simulator, tmp_path: Path, clean: Verdicts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "_evaluate", stopped)
        with pytest.raises(KeyboardInterrupt):
            audit_at(azure, tmp_path)
    azure.log.clear()
    assert verdicts(audit_at(azure, tmp_path)) == clean
    assert asked(azure) == []


def test_another_command_does_not_go_on_from_it(azure: Simulator, tmp_path: Path) -> None:
    with pytest.raises(asyncio.CancelledError):
        audit_at(azure, tmp_path, kind=stopping(6, "recovery_point"))
    place = pipeline.Settings(cloud="custom", arm_endpoint=azure.url)
    mine, another = pipeline.purpose(place), pipeline.purpose(replace(place, scope=Scope(subscriptions=("a",))))
    assert kept.find(tmp_path, another) is None
    assert kept.find(tmp_path, mine, AS_OF + timedelta(hours=1)) is None
    found = kept.find(tmp_path, mine)
    assert found is not None
    assert found.as_of == AS_OF


def test_a_failed_run_leaves_nothing(mixed: Estate, tmp_path: Path) -> None:
    from auditor.errors import NoRunError  # noqa: PLC0415 - only here

    with (
        Simulator(mixed, token=TOKEN, quota=None, faults=Faults(arg_429_always=True)) as served,
        pytest.raises(NoRunError),
    ):
        audit_at(served, tmp_path, patience=hurried())
    assert list(tmp_path.iterdir()) == []


def test_evidence_says_what_was_resumed(azure: Simulator, tmp_path: Path) -> None:
    with pytest.raises(asyncio.CancelledError):
        audit_at(azure, tmp_path, kind=stopping(6, "recovery_point"))
    made = audit_at(azure, tmp_path)
    lines = (made.folder / "raw" / "responses.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    assert all(len(entry["sha256"]) == 64 for entry in entries)
    assert sum(bool(entry.get("resumed")) for entry in entries) > 0
