"""The oracle judges every resource of any estate by every rule."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from auditor.simulator import Estate
from tests.simulator.oracle import (
    SNAPSHOT_RULES,
    VAULT_RULES,
    VM_RULES,
    costs,
    governance,
    judged_vaults,
    readiness,
    snapshots,
    verdicts,
)  # fmt: skip
from tests.simulator.random_estates import random_estate, random_evidence
from tests.simulator.wire import AS_OF

if TYPE_CHECKING:
    from pathlib import Path


def expected_numbers(estate: Estate) -> Counter[str]:
    """Give how many resources each rule judges."""
    items = [item for vault in estate.vaults.values() for item in vault.items.values()]
    policies = [policy for vault in estate.vaults.values() for policy in vault.policies.values()]
    kinds = {
        (*VM_RULES, *snapshots.VM_RULES): len(estate.machine_documents),
        (*SNAPSHOT_RULES, *snapshots.SNAPSHOT_RULES): len(estate.snapshot_documents),
        snapshots.DISK_RULES: len(estate.disk_documents),
        VAULT_RULES: judged_vaults(estate),
        costs.SUBSCRIPTION_RULES: len(estate.subscriptions),
        costs.POLICY_RULES: sum(p["properties"]["backupManagementType"] == "AzureIaasVM" for p in policies),
        costs.ITEM_RULES: sum(item.properties["backupManagementType"] == "AzureIaasVM" for item in items),
        governance.VM_RULES: len(estate.machine_documents),
        ("azpolicy-backup-unassigned",): len(estate.subscriptions),
        ("azpolicy-exemption-weak",): len(estate.exemptions),
        readiness.RULES: len(readiness.CLASSES),
    }
    return Counter({rule: number for rules, number in kinds.items() for rule in rules})


def test_random_estates_meet_every_verdict_that_a_rule_can_give(tmp_path: Path) -> None:
    met: Counter[tuple[str, str]] = Counter()
    for seed in range(25):
        estate = Estate.from_dict(random_estate(seed), AS_OF)
        random_evidence(seed, tmp_path / str(seed), AS_OF)
        found = verdicts(estate, tmp_path / str(seed) / "evidence")
        assert len(found) == sum(expected_numbers(estate).values())
        assert Counter(rule for rule, _ in found) == expected_numbers(estate)
        met.update((rule, status) for (rule, _), (status, _) in found.items())
    three = {"pass", "fail", "not_applicable"}
    for rule in expected_numbers(estate):
        expected = {
            "vm-snapshot-only": three - {"pass"},
            "vm-initial-backup-pending": {"pass", "not_applicable", "not_yet_due"},
            # These need more than one run, or jobs.
            "backup-success-rate-low": {"not_applicable", "not_yet_due"},
            "oldest-point-younger-than-retention": {"pass", "not_applicable", "not_yet_due"},
            "retention-reduced": {"fail", "not_applicable", "not_yet_due"},
            "vault-soft-delete-weak": {"pass", "fail"},  # every tier demands it
            "vault-cmk-missing": {"not_applicable"},  # and no tier of the default standard a key
            "vault-monitoring-missing": {*three, "unknown"},
            "snapshot-network-exposed": {"pass", "fail", "not_yet_due"},
            "snapshot-count-excessive": {"pass", "fail"},
            "cost-snapshot-waste": {"pass", "not_applicable"},  # the default standard has no prices
            "protected-item-orphaned": {*three, "not_yet_due"},
            "azpolicy-backup-unassigned": {"pass", "fail", "unknown"},
            "restore-test-overdue": {"fail"},  # three classes, and no estate is so well tested
            "recovery-runbook-missing": {"pass", "fail"},
        }.get(rule, three)
        assert {status for name, status in met if name == rule} >= expected, rule


def test_the_same_seed_draws_the_same_estate() -> None:
    assert random_estate(7) == random_estate(7)
    assert random_estate(7) != random_estate(8)
