"""Faults drawn at random, alone and together: verdicts are right, or unknown with exit 3; never a wrong one."""

from __future__ import annotations

import asyncio
import random
from dataclasses import fields, replace
from typing import TYPE_CHECKING

import pytest

from auditor import gate, pipeline
from auditor.collect import Scope
from auditor.errors import NoRunError
from auditor.simulator import Faults
from auditor.simulator.server import Simulator
from tests.audits import TOKEN, audit, audit_at
from tests.azure.runs import hurried, stopping, verdicts

if TYPE_CHECKING:
    from pathlib import Path

    from auditor.simulator import Estate
    from tests.audits import Audited
    from tests.azure.runs import Verdicts

pytestmark = pytest.mark.slow

SUBSCRIPTIONS, VAULTS = ("b", "c"), ("rsv-a", "rsv-b", "rsv-c")
NAMES = ("good1", "far", "bare", "orphan", "young", "rsv-b", "stopped")
NOT_TOLD_FROM_NONE = {"tags", "managedBy", "properties.timeCreated"}
"""Properties whose absence is an ordinary thing: no tags, no manager, a machine of before dates were kept."""


def drawn(seed: int) -> Faults:
    """Draw faults, less those that nobody could notice: a vault hidden from every list that no earlier run knew."""
    faults = Faults.random(seed, subscriptions=SUBSCRIPTIONS, vaults=VAULTS, names=NAMES)
    hidden = faults.rest_denied_vaults | faults.denied_vaults
    missing = faults.missing_properties - NOT_TOLD_FROM_NONE
    return replace(faults, denied_vaults=frozenset(), rest_denied_vaults=hidden, missing_properties=missing)


def judge(estate: Estate, clean: Verdicts, faults: Faults, store: Path) -> None:
    """Audit under faults and hold the outcome against a flawless run's."""
    print(faults)  # noqa: T201 - pasted into a test it gives the same again
    scope = Scope(expect_subscriptions=("Sub A", "Sub B", "Sub C"))
    try:
        made = audit(estate, store, scope=scope, faults=faults, patience=hurried())
    except NoRunError:
        assert list(store.iterdir()) == []
        return
    hold(made, clean, ghosts=faults.graph_ghosts, silent=bool(faults.missing_properties))


def hold(made: Audited, clean: Verdicts, *, ghosts: frozenset[str] = frozenset(), silent: bool = False) -> None:
    got = verdicts(made.bundle)
    if silent:
        # A safeguard of a vault that no source mentions counts as off, as Azure's own policies judge it, and says so.
        told = {(f.rule, f.resource_id) for f in made.results.findings if f.reason_code == "not_sent"}
        got = {
            key: clean.get(key, verdict) if key in told and verdict == "fail" else verdict
            for key, verdict in got.items()
        }
    # The item of a machine that is gone is rightly missed.
    judged = {key: verdict for key, verdict in got.items() if key[1].rsplit(";", 1)[-1] not in ghosts}
    wrong = {
        key: f"{clean.get(key)} -> {judged[key]}" for key in judged if judged[key] not in (clean.get(key), "unknown")
    }
    assert wrong == {}
    lost = {key for key in clean.keys() - got.keys() if key[1].rsplit("/", 1)[1] not in ghosts}
    unsure = lost or any(got[key] != clean.get(key) for key in got)
    code = gate.judge(made.results.findings, made.results.coverage, made.results.gaps, threshold="none").exit_code
    if unsure:
        assert code == 3
    assert code == (0 if made.results.run.complete and "unknown" not in got.values() else 3)
    assert made.bundle.damage() == []


@pytest.mark.parametrize("seed", [*range(2), *range(100, 150)])
def test_no_fault_gives_a_wrong_verdict(seed: int, mixed: Estate, clean: Verdicts, tmp_path: Path) -> None:
    judge(mixed, clean, drawn(seed), tmp_path)


@pytest.mark.parametrize("seed", [0, *range(200, 230)])
def test_no_combination_of_faults_gives_a_wrong_verdict(
    seed: int, mixed: Estate, clean: Verdicts, tmp_path: Path
) -> None:
    one, two = drawn(seed * 2), drawn(seed * 2 + 1)
    flawless = Faults()
    more = {f.name: getattr(two, f.name) for f in fields(two) if getattr(two, f.name) != getattr(flawless, f.name)}
    judge(mixed, clean, replace(one, **more), tmp_path)


PROPERTIES = (
    "currentProtectionState", "protectionState", "lastRecoveryPoint", "lastBackupTime", "policyId", "sourceResourceId",
    "virtualMachineId", "isScheduledForDeferredDelete", "deferredDeleteTimeInUTC", "backupManagementType",
    "retentionPolicy", "schedulePolicy", "timeZone",
    "recoveryPointTime", "recoveryPointTierDetails", "recoveryPointProperties", "creationData",
    "creationData.sourceUniqueId", "creationData.sourceResourceId", "storageProfile", "storageProfile.dataDisks",
    "uniqueId", "policyType", "extendedInfo", "vmId", "securitySettings", "redundancySettings",
)  # fmt: skip


@pytest.mark.parametrize("name", PROPERTIES)
def test_a_property_that_was_not_sent_is_unknown_or_told_by_another_source(
    name: str, mixed: Estate, clean: Verdicts, tmp_path: Path
) -> None:
    judge(mixed, clean, Faults(missing_properties=frozenset({f"properties.{name}"})), tmp_path)


# -- interrupted anywhere --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, *range(2, 14)])
def test_a_run_that_is_stopped_anywhere_ends_as_if_it_had_not_been(
    seed: int, mixed: Estate, clean: Verdicts, tmp_path: Path
) -> None:
    dice, store = random.Random(seed), tmp_path  # noqa: S311 - cases, not secrets
    stops = [dice.randint(0, 60) for _ in range(dice.randint(1, 3))]
    with Simulator(mixed, token=TOKEN, quota=None) as azure:
        for after in stops:
            with pytest.raises(asyncio.CancelledError):
                audit_at(azure, store, kind=stopping(after), patience=hurried())
        made = audit_at(azure, store, patience=hurried())
    assert verdicts(made) == clean
    assert pipeline.read(made).run.complete
    assert [path.name for path in store.iterdir()] == [made.folder.name]
