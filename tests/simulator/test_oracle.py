"""The oracle judges every resource of any estate by every rule."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from auditor.simulator import Estate
from tests.simulator.oracle import SNAPSHOT_RULES, VM_RULES, governance, readiness, verdicts
from tests.simulator.random_estates import random_estate, random_evidence
from tests.simulator.wire import AS_OF

if TYPE_CHECKING:
    from pathlib import Path


def test_random_estates_meet_every_verdict_that_a_rule_can_give(tmp_path: Path) -> None:
    met: Counter[tuple[str, str]] = Counter()
    for seed in range(25):
        estate = Estate.from_dict(random_estate(seed), AS_OF)
        random_evidence(seed, tmp_path / str(seed), AS_OF)
        found = verdicts(estate, tmp_path / str(seed) / "evidence")
        counted = Counter(rule for rule, _ in found)
        assert all(counted[rule] == 30 for rule in VM_RULES + governance.VM_RULES)
        assert all(counted[rule] == 20 for rule in SNAPSHOT_RULES)
        assert counted["azpolicy-backup-unassigned"] == len(estate.subscriptions)
        assert counted["azpolicy-exemption-weak"] == len(estate.exemptions)
        assert all(counted[rule] == len(readiness.CLASSES) for rule in readiness.RULES)
        met.update((rule, status) for (rule, _), (status, _) in found.items())
    three = {"pass", "fail", "not_applicable"}
    for rule in (*VM_RULES, *SNAPSHOT_RULES, *governance.VM_RULES, *governance.RULES, *readiness.RULES):
        expected = {
            "vm-snapshot-only": three - {"pass"},
            "vm-initial-backup-pending": {"pass", "not_applicable", "not_yet_due"},
            "azpolicy-backup-unassigned": {"pass", "fail", "unknown"},
            "restore-test-overdue": {"fail"},  # three classes, and no estate is so well tested
            "recovery-runbook-missing": {"pass", "fail"},
        }.get(rule, three)
        assert {status for name, status in met if name == rule} >= expected, rule


def test_the_same_seed_draws_the_same_estate() -> None:
    assert random_estate(7) == random_estate(7)
    assert random_estate(7) != random_estate(8)
