"""What one run remembers of another."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from auditor.collect import Scope
from auditor.simulator.estate import Estate
from tests.audits import AS_OF, Audited, audit

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


def first_seen(made: Audited, name: str) -> str:
    return next(
        f.first_seen.date().isoformat()
        for f in made.results.findings
        if f.rule == "vm-unprotected" and f.resource_name == name
    )


def test_a_run_of_another_scope_does_not_reset_since_when_a_finding_stands(tmp_path: Path) -> None:
    document: dict[str, Any] = {
        "subscriptions": {"one": {"name": "One"}, "two": {"name": "Two"}},
        "vms": [{"name": "bare", "in": "one/rg", "age": "90d"}, {"name": "other", "in": "two/rg", "age": "90d"}],
    }
    days = [AS_OF + timedelta(days=n) for n in range(3)]
    whole = audit(Estate.from_dict(document, days[0]), tmp_path, as_of=days[0])
    assert first_seen(whole, "bare") == "2026-11-22"
    audit(Estate.from_dict(document, days[1]), tmp_path, as_of=days[1], scope=Scope(subscriptions=("Two",)))
    again = audit(Estate.from_dict(document, days[2]), tmp_path, as_of=days[2])
    assert first_seen(again, "bare") == "2026-11-22"
    assert first_seen(again, "other") == "2026-11-22"


def test_a_changed_policy_is_no_promise_of_the_days_before(tmp_path: Path) -> None:
    def estate(moment: Any, keep: str, points: dict[str, Any]) -> Estate:
        policy = {"vaults": ["v"], "daily": "22:00", "keep": {"daily": keep, "weekly": "12 Weeks"}}
        machine = {
            "name": "vm",
            "in": "one/rg",
            "age": "400d",
            "backup": {"vault": "v", "policy": "p", "points": points},
        }
        document: dict[str, Any] = {
            "subscriptions": {"one": {"name": "One"}},
            "vaults": {"one/rg/v": {}},
            "policies": {"p": policy},
            "vms": [machine],
        }
        return Estate.from_dict(document, moment)

    def missing(made: Audited) -> str:
        return made.results.machines[0].statuses["recovery-points-missing"].value

    # The policy kept 14 days; raised to 30, the days between have only their weekly points.
    raised = audit(estate(AS_OF, "30 Days", {"daily": 14, "weekly": 12}), tmp_path, as_of=AS_OF)
    assert missing(raised) == "pass"
    # Two weeks on the promise is known since then, and a day it missed is a day it missed.
    later = AS_OF + timedelta(days=14)
    assert missing(audit(estate(later, "30 Days", {"daily": 28, "missing_days": [5]}), tmp_path, as_of=later)) == "fail"
