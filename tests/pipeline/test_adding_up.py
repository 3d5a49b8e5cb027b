"""The statuses of each rule add up to its population: every resource of its kind is judged, once."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor import assets, inputs, rulebook, standard
from auditor.model import Status
from auditor.simulator import Faults
from auditor.simulator.estate import Estate
from auditor.standard import Waiver
from tests.audits import AS_OF, Audited, audit
from tests.azure.runs import hurried
from tests.pipeline.test_verdicts import AUDITS
from tests.simulator.oracle import judged_vaults
from tests.simulator.oracle.readiness import CLASSES
from tests.simulator.random_estates import random_estate

if TYPE_CHECKING:
    from pathlib import Path

    from auditor.inputs import Inputs

pytestmark = pytest.mark.slow

DENIED = ("recoveryPoints", "backupProtectedItems", "backupJobs", "backupconfig", "diagnosticSettings", "policyStates")


@pytest.fixture(scope="module")
def every_rule(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """Give the shipped standard with all extras, and waivers of every rule in a group."""
    rules = rulebook.read(whole=True).rules
    text = standard.default_path().read_text(encoding="utf-8")
    extras = [rule.id for rule in rules if rule.file.extra]
    assert "extras: []" in text
    path = tmp_path_factory.mktemp("standard") / "standard.yaml"
    path.write_text(text.replace("extras: []", f"extras: [{', '.join(extras)}]"), encoding="utf-8")
    read = inputs.read(path, beside=assets.samples())
    assert len(read.book.rules) == len(rules) == 52
    return replace(read, waivers=[_waiver(rule.id) for rule in rules])


def _waiver(rule: str) -> Waiver:
    said = {"reason": "r", "compensating_control": "c", "requester": "Ann", "approver": "Bob", "ticket": "T-1"}
    days = {"approved_on": date(2026, 1, 1), "expires_on": date(2026, 12, 31)}
    return Waiver.model_validate(
        {"id": f"W-{rule}", "rule": rule, "match": {"resource_group": "rg-app"}, **said, **days}
    )


def populations(estate: Estate, given: Inputs) -> dict[str, int]:
    """Count the resources of each kind in an estate; waivers are judged beside Azure Policy's exemptions."""
    items = [item for vault in estate.vaults.values() for item in vault.items.values()]
    policies = [policy for vault in estate.vaults.values() for policy in vault.policies.values()]
    return {
        "vm": len(estate.machine_documents),
        "snapshot": len(estate.snapshot_documents),
        "disk": len(estate.disk_documents),
        "vault": judged_vaults(estate),
        "protected_item": sum(item.properties["backupManagementType"] == "AzureIaasVM" for item in items),
        "backup_policy": sum(it["properties"]["backupManagementType"] == "AzureIaasVM" for it in policies),
        "subscription": len(estate.subscriptions),
        "policy_exemption": len(estate.exemptions) + len(given.waivers),
        "class": len(CLASSES),
    }


def adds_up(made: Audited, given: Inputs, expected: dict[str, int]) -> Counter[str]:
    """Hold each rule's verdicts against the resources of its kind; give how often each status was met."""
    met: Counter[str] = Counter()
    kinds = sorted({rule.resource_type for rule in made.results.rules})
    union = " UNION ALL ".join(f"SELECT '{kind}' AS kind, resource_id FROM {kind}" for kind in kinds)
    subjects: dict[str, list[str]] = {kind: [] for kind in kinds}
    for row in made.rows(union, given):
        subjects[row["kind"]].append(row["resource_id"])
    with duckdb.connect() as con:
        for rule in made.results.rules:
            path = made.bundle.folder / "findings" / f"{rule.id}.parquet"
            judged = [key for (key,) in con.execute(f"SELECT resource_id FROM '{path}'").fetchall()]
            assert len(set(judged)) == len(judged), rule.id
            assert sorted(judged) == sorted(subjects[rule.resource_type]), rule.id
            total = sum(rule.statuses.values())
            assert total == len(judged), rule.id
            assert total == expected[rule.resource_type], rule.id
            met.update({str(status): count for status, count in rule.statuses.items()})
    return met


def check(seed: int, given: Inputs, folder: Path, most: int) -> Counter[str]:
    """Audit an estate of at most so many machines, some unreadable; give how often each status was met."""
    draw = random.Random(seed)  # noqa: S311 - cases, not secrets
    tree = random_estate(seed, machines=draw.randint(8, most), snapshots=draw.randint(2, most))
    estate = Estate.from_dict(tree, AS_OF)
    denied = frozenset(draw.sample(DENIED, draw.randint(0, 3)))
    made = audit(estate, folder, given=given, faults=Faults(denied_paths=denied), patience=hurried())
    return adds_up(made, given, populations(estate, given))


def test_statuses_add_up_to_the_population(tmp_path: Path, every_rule: Inputs) -> None:
    met = check(0, every_rule, tmp_path / "store", most=20)
    assert all(met[status] for status in ("pass", "fail", "waived", "not_applicable")), met


def test_statuses_of_many_estates_add_up(tmp_path_factory: pytest.TempPathFactory, every_rule: Inputs) -> None:
    met: Counter[str] = Counter()

    @settings(AUDITS, max_examples=25)
    @given(seed=st.integers(2**32, 2**33))
    def adds_up_whatever_the_seed(seed: int) -> None:
        print(f"seed {seed}")  # noqa: T201 - told where it fails
        met.update(check(seed, every_rule, tmp_path_factory.mktemp("store"), most=40))

    adds_up_whatever_the_seed()
    # Of one estate a status may be lacking: what was denied may not be needed there.
    assert all(met[status] for status in Status), met
