"""Whatever Azure does, a verdict is that of a flawless run, or unknown; never a wrong one, never a traceback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from auditor import gate
from auditor.collect import Scope
from auditor.errors import NoRunError
from auditor.model import CoverageState
from auditor.simulator import Estate, Faults
from tests.audits import AS_OF, Audited, audit
from tests.azure.runs import ON_POINTS, Verdicts, differing, faulty, hurried, of_compute, verdicts

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

pytestmark = pytest.mark.slow

EVERY = frozenset(range(1, 5000))
SMALL_PAGES = {"payload_too_large_above": 3}

HARMLESS: dict[str, dict[str, Any]] = {
    "some of everything": {
        "arg_429": 4,
        "rest_429": 12,
        "arg_5xx": 4,
        "rest_5xx": 12,
        "retry_after": None,
        "reset_requests": frozenset({20, 31}),
        "truncated_requests": frozenset({22, 35}),
        "unauthorized_requests": frozenset({24, 40}),
        **SMALL_PAGES,
    },
    "a storm of 429 from Resource Graph": {"arg_429": 12},
    "a storm of 429 from Resource Graph that names no time": {"arg_429": 12, "retry_after": None},
    "a storm of 429 from the vaults": {"rest_429": 40},
    "a storm of 429 from the vaults that names no time": {"rest_429": 40, "retry_after": None},
    "429s that ask to wait no time at all": {"rest_429": 40, "retry_after": 0},
    "a burst of 503 from Resource Graph": {"arg_5xx": 9},
    "a burst of 502 from the vaults": {"rest_5xx": 25, "status_5xx": 502, "retry_after": None},
    "a burst of 500 after a storm": {"rest_429": 10, "rest_5xx": 10, "status_5xx": 500},
    "connections that are reset": {"reset_requests": frozenset(range(1, 60, 4))},
    "bodies that end in the middle": {"truncated_requests": frozenset(range(1, 60, 4))},
    "a token that ends in mid-run": {"unauthorized_requests": frozenset({1, 6, 13, 25})},
    "answers that are too large for a page": SMALL_PAGES,
    "rows that are told twice and rows they displace, on pages never read": {
        "duplicate_row_on_page": 40,
        **SMALL_PAGES,
    },
}
"""Faults that patience overcomes."""

LOSSES: dict[str, dict[str, Any]] = {
    "the vaults throttle for ever": {"rest_429_always": True},
    "the vaults throttle for ever and name no time": {"rest_429_always": True, "retry_after": None},
    "the token is refused from some moment on": {"unauthorized_requests": frozenset(range(40, 5000))},
    "lists of the vaults go on for ever": {"endless_next_link": True},
    "a row is lost on the first page": {"lost_row_on_page": 1},
    "a row is lost on the second page": {"lost_row_on_page": 2, **SMALL_PAGES},
    "a row comes twice and displaces another": {"duplicate_row_on_page": 2, **SMALL_PAGES},
    "results are cut short without a token": {"truncated_without_token": True, **SMALL_PAGES},
    "the list of VMs never comes whole": {"where": "compute/virtualmachines'", "truncated_requests": EVERY},
    "the list of disks never comes whole": {"where": "compute/disks", "truncated_requests": EVERY},
    "the list of vaults never comes": {"where": "recoveryservices/vaults'", "reset_requests": EVERY},
    "the items never come from Resource Graph": {"where": "protecteditems'", "truncated_requests": EVERY},
    "the policies never come": {"where": "backuppolicies", "truncated_requests": EVERY},
    "the resource groups never come": {"where": "resourcegroups'", "truncated_requests": EVERY},
    "no vault lists its items": {"where": "backupProtectedItems", "reset_requests": EVERY},
    "no recovery points come": {"where": "recoveryPoints", "truncated_requests": EVERY},
    "Resource Graph knows no backups while there are vaults": {
        "empty_tables": frozenset({"recoveryservicesresources"})
    },
    "one vault refuses": {"rest_denied_vaults": frozenset({"rsv-b"})},
    "one vault refuses and Resource Graph knows no backups": {
        "rest_denied_vaults": frozenset({"rsv-b"}),
        "empty_tables": frozenset({"recoveryservicesresources"}),
    },
}
"""Faults that cost evidence."""

UNSEEN_RESOURCES = {
    "a row is lost on the first page",
    "a row is lost on the second page",
    "a row comes twice and displaces another",
    "results are cut short without a token",
    "the list of VMs never comes whole",
    "the list of disks never comes whole",
}
"""Where resources themselves are missing: they can have no verdict, but their subscription counts as not read."""


def exit_code(made: Audited, threshold: str = "none") -> int:
    return gate.judge(made.results.findings, made.results.coverage, made.results.gaps, threshold=threshold).exit_code


def wrong(clean: Verdicts, got: Verdicts) -> Mapping[tuple[str, str], str]:
    """Give the verdicts that are neither those of the flawless run nor unknown."""
    assert got.keys() <= clean.keys()
    return {key: f"{clean[key]} -> {got[key]}" for key in got if got[key] not in (clean[key], "unknown")}


@pytest.mark.parametrize("fault", HARMLESS)
def test_a_fault_that_passes_changes_nothing(fault: str, mixed: Estate, clean: Verdicts, tmp_path: Path) -> None:
    made = faulty(mixed, tmp_path, **HARMLESS[fault])
    assert differing(clean, verdicts(made.bundle)) == {}
    assert made.results.run.complete
    assert exit_code(made) == 0


@pytest.mark.parametrize("fault", LOSSES)
def test_a_fault_that_costs_evidence_gives_unknown(fault: str, mixed: Estate, clean: Verdicts, tmp_path: Path) -> None:
    made = faulty(mixed, tmp_path, **LOSSES[fault])
    got = verdicts(made.bundle)
    assert wrong(clean, got) == {}
    if fault not in UNSEEN_RESOURCES:
        assert of_compute(got) == of_compute(clean)
        assert "unknown" in got.values()
    assert exit_code(made) == 3
    assert made.bundle.damage() == []


def test_items_seen_elsewhere_keep_their_verdicts(mixed: Estate, clean: Verdicts, tmp_path: Path) -> None:
    made = faulty(mixed, tmp_path, rest_denied_vaults=frozenset({"rsv-b"}))
    changed = {(rule, i.rsplit("/", 1)[1]) for rule, i in of_compute(differing(clean, verdicts(made.bundle)))}
    kept = {"good1", "good2", "good3", "short", "twice", "own", "aks"}
    assert {name for _, name in changed}.isdisjoint(kept)
    # Its item is seen in Resource Graph, so that only what depends on its points is unknown.
    assert {rule for rule, name in changed if name == "far"} == {
        *ON_POINTS, "backup-job-failing", "backup-success-rate-low",
    }  # fmt: skip
    assert ("vm-unprotected", "tagged") in changed
    state = {(row.table, row.state) for row in made.results.coverage if row.subscription_id == subscription(mixed, "b")}
    assert ("protected_item", CoverageState.PARTIAL) in state


def test_a_vault_hidden_from_every_list_is_remembered(mixed: Estate, flawless: Audited, clean: Verdicts) -> None:
    store = flawless.bundle.folder.parent
    late = flawless.bundle.as_of.replace(hour=7)
    made = later(mixed, store, late, denied_vaults=frozenset({"rsv-b"}))
    # What a cut of retention is, a second run can tell and the first could not.
    got = {key: status for key, status in verdicts(made.bundle).items() if key[0] != "retention-reduced"}
    assert wrong(clean, got) == {}
    assert {gap.resource_id.rsplit("/", 1)[1] for gap in made.results.gaps} == {"rsv-b"}
    assert exit_code(made) == 3
    # Not forgotten by the run that could not read it either.
    again = later(mixed, store, late.replace(hour=8), denied_vaults=frozenset({"rsv-b"}))
    assert {gap.resource_id.rsplit("/", 1)[1] for gap in again.results.gaps} == {"rsv-b"}


def later(estate: Estate, store: Path, as_of: datetime, **faults: Any) -> Audited:
    return audit(estate, store, faults=Faults(**faults), as_of=as_of, patience=hurried())


def subscription(estate: Estate, key: str) -> str:
    return estate.subscription_id(key)


@pytest.mark.parametrize("named", ["-s", "expected", "counted"])
def test_a_subscription_that_cannot_be_read_makes_absence_prove_nothing(
    named: str, mixed: Estate, clean: Verdicts, tmp_path: Path
) -> None:
    a, b = subscription(mixed, "a"), subscription(mixed, "b")
    scope = {
        "-s": Scope(subscriptions=(a, b)),
        "expected": Scope(expect_subscriptions=(a, b, "Sub C")),
        "counted": Scope(expect_subscriptions=3),
    }[named]
    made = faulty(mixed, tmp_path, scope=scope, denied_subscriptions=frozenset({"b"}))
    got = verdicts(made.bundle)
    assert wrong(clean, got) == {}
    unprotected = {i.rsplit("/", 1)[1]: s for (rule, i), s in got.items() if rule == "vm-unprotected"}
    assert unprotected["far"] == unprotected["tagged"] == "unknown"
    assert unprotected["good1"] == unprotected["twice"] == "pass"
    assert not made.results.run.complete
    assert exit_code(made) == 3


def test_zero_vms_in_readable_subscriptions_is_clean(tmp_path: Path) -> None:
    empty = Estate.from_dict({"estate": "empty", "subscriptions": {"a": {}, "b": {}}}, AS_OF)
    made = faulty(empty, tmp_path)
    assert (exit_code(made, "low"), made.results.run.complete) == (0, True)


@pytest.mark.parametrize(
    "faults",
    [
        {"denied_subscriptions": frozenset({"a", "b", "c"})},
        {"arg_429_always": True},
        {"arg_429_always": True, "retry_after": None},
        {"arg_5xx": 1000},
        {"unauthorized_requests": EVERY},
        {"truncated_requests": EVERY},
        {"reset_requests": EVERY},
        {"empty_tables": frozenset({"resourcecontainers"})},
        {"payload_too_large_above": 0},
    ],
)
def test_without_a_visible_subscription_there_is_no_run(faults: dict[str, Any], mixed: Estate, tmp_path: Path) -> None:
    with pytest.raises(NoRunError) as told:
        faulty(mixed, tmp_path, **faults)
    assert told.value.hint
    assert list(tmp_path.iterdir()) == []


def test_slow_answers_are_waited_for(mixed: Estate, clean: Verdicts, tmp_path: Path) -> None:
    made = faulty(mixed, tmp_path, delay=0.15)
    assert differing(clean, verdicts(made.bundle)) == {}
    assert made.results.run.complete
