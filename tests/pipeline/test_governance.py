"""What Azure Policy says where it could not be read: nothing is concluded from its absence."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from auditor.simulator import Estate
from auditor.simulator.faults import Faults
from tests.audits import AS_OF, audit
from tests.azure.runs import hurried

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

ESTATE: dict[str, Any] = {
    "estate": "governed",
    "jobs_days": 0,
    "management_groups": {"mg-a": {"name": "A"}},
    "subscriptions": {"a": {"group": "mg-a"}},
    "vaults": {"a/rg-v/v1": {}},
    "policies": {"std": {"daily": "22:00", "keep": {"daily": "30 Days"}}},
    "vms": [{"name": "one", "in": "a/rg-app", "backup": {"vault": "v1", "policy": "std"}}],
    "policy_assignments": [{"name": "asc", "scope": "mg-a", "initiative": "mcsb"}],
    "exemptions": [{"scope": "a/rg-app", "assignment": "asc"}],
}
RULES = ("azpolicy-backup-unassigned", "azpolicy-exemption-weak", "azpolicy-disagreement")


def statuses(folder: Path, **faults: Any) -> list[str]:
    made = audit(Estate.from_dict(ESTATE, AS_OF), folder, faults=Faults(**faults), patience=hurried())
    counts = {rule.id: Counter(rule.statuses) for rule in made.results.rules}
    return ["".join(status.value for status in +counts[rule]) for rule in RULES]


def test_a_policy_that_reaches_through_an_initiative_counts(tmp_path: Path) -> None:
    assert statuses(tmp_path) == ["pass", "fail", "pass"]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("policyassignments'", ["unknown", "unknown", "pass"]),
        ("policySetDefinitions", ["unknown", "unknown", "pass"]),
        ("policyStates", ["pass", "fail", "unknown"]),
    ],
)
def test_what_could_not_be_read_is_unknown(where: str, expected: list[str], tmp_path: Path) -> None:
    assert statuses(tmp_path, where=where, reset_requests=frozenset(range(1, 500))) == expected
