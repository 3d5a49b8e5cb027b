"""What one run leaves the next: the chain of manifests, and since when a thing is known."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from auditor.bundle import Bundle
from auditor.model import Status
from auditor.simulator import Estate
from tests.audits import AS_OF, Audited, audit
from tests.azure.runs import hurried, verdicts

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

WEEK = timedelta(days=7)


def company(week: int) -> Estate:
    """Give the company of a week: `wavers` is protected in the second alone, the others stay as they are."""
    wavers: dict[str, Any] = {"name": "wavers", "in": "a/rg"}
    if week == 1:
        wavers["backup"] = {"vault": "rsv", "policy": "p"}
    return Estate.from_dict(
        {
            "estate": "weeks",
            "jobs_days": 0,
            "subscriptions": {"a": {}},
            "vaults": {"a/rg/rsv": {}},
            "policies": {
                "p": {"daily": "22:00", "keep": {"daily": "30 Days", "weekly": "12 Weeks", "monthly": "84 Months"}}
            },
            "defaults": {"vm": {"age": "400d", "disks": []}},
            "vms": [
                {"name": "bare", "in": "a/rg"},
                wavers,
                {
                    "name": "pending",
                    "in": "a/rg",
                    "backup": {"vault": "rsv", "policy": "p", "state": "IRPending", "points": {"empty": True}},
                },
            ],
        },
        AS_OF + week * WEEK,
    )


@pytest.fixture(scope="module")
def weeks(tmp_path_factory: pytest.TempPathFactory) -> list[Audited]:
    store = tmp_path_factory.mktemp("weeks")
    return [audit(company(n), store, as_of=AS_OF + n * WEEK, patience=hurried()) for n in range(3)]


def status(made: Audited, rule: str, name: str) -> str:
    return next(s for (r, i), s in verdicts(made.bundle).items() if r == rule and i.endswith(f"/{name}"))


def since(made: Audited, rule: str, name: str) -> int:
    """Give the weeks a finding is known."""
    (found,) = (f for f in made.results.findings if f.rule == rule and f.resource_name == name)
    return (made.bundle.as_of - found.first_seen) // WEEK


def test_each_run_names_the_one_before_by_its_digest(weeks: list[Audited]) -> None:
    assert weeks[0].bundle.manifest["previous"] is None
    for before, after in itertools.pairwise(weeks):
        assert after.bundle.manifest["previous"]["manifest_digest"] == Bundle(before.bundle.folder).manifest_digest
        assert before.bundle.folder.name.endswith(after.bundle.manifest["previous"]["run"])


def test_each_run_remembers_those_before_it(weeks: list[Audited]) -> None:
    for number, made in enumerate(weeks):
        register = made.results.runs
        assert [past.id for past in register] == [it.bundle.run["id"] for it in weeks[: number + 1]]
        assert [past.manifest_digest for past in register] == [it.bundle.manifest_digest for it in weeks[: number + 1]]
        for past, of in zip(register, weeks, strict=False):
            fails = sum(rule.statuses[Status.FAIL] for rule in of.results.rules)
            assert (past.statuses[Status.FAIL], past.complete) == (fails, of.results.run.complete)
            assert past.failing == sum(Status.FAIL in it.statuses.values() for it in of.results.machines)
            assert (past.judged, past.scope) == (3, register[-1].scope)


def test_a_finding_is_as_old_as_its_first_run(weeks: list[Audited]) -> None:
    assert [since(made, "vm-unprotected", "bare") for made in weeks] == [0, 1, 2]


def test_a_finding_that_passed_in_between_starts_anew(weeks: list[Audited]) -> None:
    assert [status(made, "vm-unprotected", "wavers") for made in weeks] == ["fail", "pass", "fail"]
    assert since(weeks[2], "vm-unprotected", "wavers") == 0


def test_a_first_backup_that_is_pending_becomes_due(weeks: list[Audited]) -> None:
    assert [status(made, "vm-initial-backup-pending", "pending") for made in weeks] == ["not_yet_due", "fail", "fail"]


def test_an_earlier_moment_is_not_after_a_later_run(weeks: list[Audited], tmp_path: Path) -> None:
    del tmp_path
    store = weeks[0].bundle.folder.parent
    made = audit(company(0), store, as_of=AS_OF - WEEK, patience=hurried())
    assert made.bundle.manifest["previous"] is None
    assert status(made, "vm-initial-backup-pending", "pending") == "not_yet_due"
