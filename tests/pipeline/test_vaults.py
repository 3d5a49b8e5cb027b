"""Vaults under another standard, with gaps, and with sources that do not agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from auditor import inputs, standard
from auditor.azure.pacing import Patience
from auditor.simulator.estate import Estate
from auditor.simulator.faults import Faults
from tests.audits import AS_OF, Audited, audit
from tests.pipeline.test_verdicts import judged
from tests.simulator.oracle import Oracle
from tests.simulator.oracle.vaults import VAULT_EXTRAS, VAULT_RULES, Vaults
from tests.simulator.random_estates import random_estate
from tests.simulator.wire import CONTOSO

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from auditor.inputs import Inputs

pytestmark = pytest.mark.slow

PROXIES, DIAGNOSTICS = "backupResourceGuardProxies", "Microsoft.Insights/diagnosticSettings"


def standard_with(folder: Path, demands: str) -> Inputs:
    """Read the default standard with something more demanded of vaults, and the extras on vaults asked for."""
    text = standard.default_path().read_text(encoding="utf-8")
    assert "cmk: {required: false, double: false}" in text
    text = text.replace("cmk: {required: false, double: false}", demands)
    text = text.replace("extras: []", f"extras: [{', '.join(VAULT_EXTRAS)}]")
    path = folder / "standard.yaml"
    path.write_text(text, encoding="utf-8")
    return inputs.read(path)


def of_vaults(made: Audited) -> dict[tuple[str, str], tuple[str, str]]:
    """(rule, name of the vault) -> (status, reason code) of all that does not pass."""
    return {
        (f.rule, f.resource_name): (f.status.value, f.reason_code)
        for f in made.results.findings
        if f.resource_type == "vault"
    }


@pytest.fixture(scope="module")
def stricter(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    return standard_with(tmp_path_factory.mktemp("standard"), "cmk: {required: true, double: true}")


def test_a_standard_may_demand_keys(stricter: Inputs, tmp_path: Path) -> None:
    made = audit(Estate.load(CONTOSO, AS_OF), tmp_path, given=stricter)
    found = {name: verdict for (rule, name), verdict in of_vaults(made).items() if rule == "vault-cmk-missing"}
    assert "rsv-backup-weu-01" not in found  # it has a key, and its infrastructure is encrypted too
    assert found.pop("rsv-sap-next") == ("fail", "platform_key")
    assert found.pop("rsv-dr-eus") == ("fail", "platform_key")
    for of_disks in ("bv-disks-weu", "bv-dev"):
        assert found.pop(of_disks) == ("not_applicable", "operational_tier_only")
    assert set(found.values()) == {("fail", "platform_key_with_items")}
    assert len(found) == 6


@pytest.mark.parametrize("seed", range(3))
def test_the_extras_give_what_the_oracle_gives(seed: int, stricter: Inputs, tmp_path: Path) -> None:
    estate = Estate.from_dict(random_estate(seed, machines=10, snapshots=2), AS_OF)
    vaults = list(estate.vaults.values())
    settings = vaults[seed].document["properties"].get("restoreSettings")
    if settings:
        settings["crossSubscriptionRestoreSettings"]["crossSubscriptionRestoreState"] = "PermanentlyDisabled"
    made = audit(estate, tmp_path, given=stricter)
    got = {key: verdict for key, verdict in judged(made).items() if key[0] in VAULT_EXTRAS}
    assert got == dict(Vaults(Oracle(estate)).extras())


# -- one vault that is fine in every respect -------------------------------------------------------------


def fine() -> dict[str, Any]:
    """Make an estate whose vault passes every rule, and one beside it."""
    vault = {"mua": "far/rg-g/guard", "diagnostics": [{"name": "log", "workspace": "w"}]}
    return {
        "estate": "fine",
        "jobs_days": 0,
        "subscriptions": {"a": {}, "far": {}},
        "resource_guards": {"far/rg-g/guard": {}},
        "vaults": {"a/rg-v/good": vault, "a/rg-v/other": vault},
        "policies": {
            "std": {"daily": "22:00", "keep": {"daily": "30 Days", "weekly": "12 Weeks", "monthly": "84 Months"}}
        },
        "vms": [
            {"name": "one", "in": "a/rg-app", "backup": {"vault": "good", "policy": "std"}},
            {"name": "two", "in": "a/rg-app", "backup": {"vault": "other", "policy": "std"}},
        ],
        "action_groups": [{"name": "ag", "in": "far/rg-g", "emails": ["a@example.com"]}],
        "alert_rules": [{"name": "all", "in": "a/rg-v", "scopes": ["a"], "action_groups": ["ag"]}],
    }


UNASKED = {
    (rule, name): ("not_applicable", "tier_demands_none")
    for rule in ("vault-network-exposed", "vault-cmk-missing")
    for name in ("good", "other")
}


def changed(tmp_path: Path, change: Callable[[Any], None] | None = None, **faults: Any) -> dict[tuple[str, str], Any]:
    """Give what is not as it was when vault `good` is changed or something can't be read."""
    estate = Estate.from_dict(fine(), AS_OF)
    if change:
        change(next(vault for vault in estate.vaults.values() if vault.name == "good"))
    got = of_vaults(audit(estate, tmp_path, faults=Faults(**faults)))
    return {key: verdict for key, verdict in got.items() if UNASKED.get(key) != verdict}


def test_a_good_vault_passes(tmp_path: Path) -> None:
    assert changed(tmp_path) == {}


def _differ(vault: Any) -> None:
    vault.config["properties"]["softDeleteFeatureState"] = "Disabled"


def _other_days(vault: Any) -> None:
    vault.config["properties"]["softDeleteRetentionPeriodInDays"] = 90


def _off_in_both(vault: Any) -> None:
    _said(vault).update(softDeleteState="Disabled")
    vault.config["properties"] |= {"softDeleteFeatureState": "Disabled", "softDeleteRetentionPeriodInDays": 0}


def _short_in_both(vault: Any) -> None:
    _said(vault).update(softDeleteRetentionPeriodInDays=7)
    vault.config["properties"] |= {"softDeleteRetentionPeriodInDays": 5}


def _reversible_in_both(vault: Any) -> None:
    _said(vault).update(softDeleteState="Enabled")
    vault.config["properties"] |= {"softDeleteFeatureState": "Enabled", "softDeleteRetentionPeriodInDays": 30}


def _said(vault: Any) -> dict[str, Any]:
    settings: dict[str, Any] = vault.document["properties"]["securitySettings"]["softDeleteSettings"]
    return settings


def _in_other_case(vault: Any) -> None:
    vault.document["properties"]["redundancySettings"]["standardTierStorageRedundancy"] = "geoRedundant"
    _said(vault).update(softDeleteState="AlwaysOn")


def _empty_texts(vault: Any) -> None:
    settings = vault.document["properties"]
    settings["redundancySettings"] = {"standardTierStorageRedundancy": "", "crossRegionRestore": ""}
    settings["securitySettings"] = {
        "softDeleteSettings": {"softDeleteState": ""},
        "immutabilitySettings": {"state": ""},
        "multiUserAuthorization": "",
    }
    settings["monitoringSettings"] = {"azureMonitorAlertSettings": {"alertsForAllJobFailures": ""}}
    vault.storage["properties"] |= {"crossRegionRestoreFlag": True}


def _other_storage(vault: Any) -> None:
    vault.storage["properties"] |= {"storageModelType": "LocallyRedundant", "crossRegionRestoreFlag": False}


def _zones_too(vault: Any) -> None:
    vault.storage["properties"] |= {"storageModelType": "ReadAccessGeoZoneRedundant", "crossRegionRestoreFlag": True}


def _silent(vault: Any) -> None:
    for name in ("redundancySettings", "monitoringSettings"):
        del vault.document["properties"][name]
    vault.storage["properties"] |= {"crossRegionRestoreFlag": True}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (_differ, {"vault-soft-delete-weak": ("unknown", "sources_differ")}),
        (_other_days, {"vault-soft-delete-weak": ("unknown", "sources_differ")}),
        (_off_in_both, {"vault-soft-delete-weak": ("fail", "soft_delete_off")}),
        (_short_in_both, {"vault-soft-delete-weak": ("fail", "kept_too_short")}),
        (_reversible_in_both, {"vault-soft-delete-weak": ("fail", "reversible")}),
        (_in_other_case, {}),
        (
            _empty_texts,  # as good as not sent
            {
                "vault-immutability-weak": ("fail", "not_sent"),
                "vault-monitoring-missing": ("unknown", "alerts_not_sent"),
            },
        ),
        (
            _other_storage,
            {
                "vault-redundancy-below-standard": ("unknown", "sources_differ"),
                "vault-crr-disabled": ("unknown", "redundancy_unknown"),
            },
        ),
        (_zones_too, {}),
        (_silent, {"vault-monitoring-missing": ("unknown", "alerts_not_sent")}),  # the rest the vault itself tells
    ],
)
def test_two_sources_are_held_against_each_other(
    change: Callable[[Any], None], expected: dict[str, Any], tmp_path: Path
) -> None:
    assert changed(tmp_path, change) == {(rule, "good"): verdict for rule, verdict in expected.items()}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("backupconfig/vaultconfig", {}),  # Resource Graph says it all
        ("backupstorageconfig/vaultstorageconfig", {}),
        (PROXIES, {"vault-mua-missing": ("unknown", "guard_unread")}),
        (DIAGNOSTICS, {"vault-monitoring-missing": ("unknown", "log_unread")}),
    ],
)
def test_a_denied_question_makes_unknown_what_depends_on_it(
    path: str, expected: dict[str, Any], tmp_path: Path
) -> None:
    denied = frozenset({rf"/vaults/good/(providers/)?{path}"})
    assert changed(tmp_path, denied_paths=denied) == {(rule, "good"): verdict for rule, verdict in expected.items()}


def test_an_alert_processing_rule_is_on_where_azure_does_not_say_otherwise(tmp_path: Path) -> None:
    estate = Estate.from_dict(fine(), AS_OF)
    properties = next(it for it in estate._other_resources if "/actionrules/" in it["id"].lower())["properties"]
    del properties["enabled"]
    for action in properties["actions"]:
        action["actionType"] = action["actionType"].lower()
    assert {key for key in of_vaults(audit(estate, tmp_path)) if key[0] == "vault-monitoring-missing"} == set()


def test_where_neither_source_answers_the_gap_is_named(tmp_path: Path) -> None:
    def bare(vault: Any) -> None:
        for name in ("redundancySettings", "securitySettings"):
            del vault.document["properties"][name]

    denied = frozenset({r"/vaults/good/backup(config|storageconfig|ResourceGuardProxies)"})
    assert changed(tmp_path, bare, denied_paths=denied) == {
        ("vault-redundancy-below-standard", "good"): ("unknown", "storage_config_unread"),
        ("vault-crr-disabled", "good"): ("unknown", "redundancy_unknown"),
        ("vault-soft-delete-weak", "good"): ("unknown", "config_unread"),
        ("vault-immutability-weak", "good"): ("fail", "not_sent"),
        ("vault-mua-missing", "good"): ("unknown", "guard_unread"),
    }


def test_a_vault_without_backups_is_let_off_though_what_it_replicates_was_not_read(tmp_path: Path) -> None:
    document = fine()
    document["vaults"]["a/rg-v/bare"] = {"redundancy": "LocallyRedundant", "alerts": "Disabled"}
    document["vaults"]["a/rg-v/far"] = {"crr": False}
    unread = Faults(truncated_requests=frozenset(range(1, 99)), where="replicationprotecteditems")
    patience = Patience(attempts=1)
    got = of_vaults(audit(Estate.from_dict(document, AS_OF), tmp_path, faults=unread, patience=patience))
    for rule in ("vault-redundancy-below-standard", "vault-monitoring-missing"):
        assert got[rule, "bare"] == ("not_applicable", "vault_empty")
    assert got["vault-crr-disabled", "far"] == ("unknown", "replicas_unread")


def test_a_vault_whose_items_were_not_read_may_have_to_be_more(tmp_path: Path) -> None:
    got = changed(tmp_path, rest_denied_vaults=frozenset({"good"}))
    assert {rule for rule, name in got if name == "good"} == set(VAULT_RULES)
    assert {verdict for (_, name), verdict in got.items() if name == "good"} == {("unknown", "demand_unread")}
    assert not {rule for rule, name in got if name == "other"}, "the vault beside it was read"


# -- Backup vaults: only where they hold backups of a judged VM's disks -----------------------------------


def of_backup_vault(tmp_path: Path, spec: dict[str, Any], *, alone: bool = False, **faults: Any) -> dict[str, Any]:
    """Give rule -> (status, reason) of a Backup vault that holds the disk of a VM; `alone`: of one that holds none."""
    document = fine() | {
        "backup_vaults": {"a/rg-v/bv": spec},
        "disk_backups": [
            {"vault": "elsewhere" if alone else "bv", "in": "a/rg-v", "of": "one", "snapshot_group": "a/rg-copies"}
        ],
    }
    made = audit(Estate.from_dict(document, AS_OF), tmp_path, faults=Faults(**faults))
    assert made.results.population
    vaults = next(it.total for it in made.results.population if it.resource_type == "vault")
    assert vaults == len(made.results.vaults) == 3
    assert all(sum(rule.statuses.values()) == vaults for rule in made.results.rules if rule.resource_type == "vault")
    return {rule: verdict for (rule, name), verdict in of_vaults(made).items() if name == "bv"}


LEFT_ALONE = {
    "vault-redundancy-below-standard": ("not_applicable", "operational_tier_only"),
    "vault-crr-disabled": ("not_applicable", "operational_tier_only"),
    "vault-cmk-missing": ("not_applicable", "operational_tier_only"),
    "vault-network-exposed": ("not_applicable", "no_such_setting"),
}
"""Rules that have no meaning for snapshots of disks."""
NOT_TOLD = {
    "vault-mua-missing": ("unknown", "guard_not_seen"),
    "vault-monitoring-missing": ("unknown", "log_not_collected"),
}
"""What a good Backup vault can't be known to have."""
GOOD = {"soft_delete": "AlwaysOn", "soft_delete_days": 14, "immutability": "Unlocked", "guarded": True}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, {}),
        ({"soft_delete": "Off"}, {"vault-soft-delete-weak": ("fail", "soft_delete_off")}),
        ({"soft_delete": "On"}, {"vault-soft-delete-weak": ("fail", "reversible")}),
        ({"soft_delete_days": 13}, {"vault-soft-delete-weak": ("fail", "kept_too_short")}),
        ({"immutability": "Disabled"}, {"vault-immutability-weak": ("fail", "disks_not_immutable")}),
        ({"guarded": False}, {"vault-mua-missing": ("fail", "unguarded")}),
        ({"alerts": "Disabled"}, {"vault-monitoring-missing": ("fail", "alerts_off")}),
        (
            {"bare": True},
            {
                "vault-soft-delete-weak": ("unknown", "state_not_sent"),
                "vault-immutability-weak": ("unknown", "state_not_sent"),
                "vault-mua-missing": ("unknown", "guard_not_sent"),
                "vault-monitoring-missing": ("unknown", "alerts_not_sent"),
            },
        ),
    ],
)
def test_a_backup_vault_is_judged_by_what_it_says(changed: dict[str, Any], expected: Any, tmp_path: Path) -> None:
    assert of_backup_vault(tmp_path, GOOD | changed) == LEFT_ALONE | NOT_TOLD | expected


def test_a_backup_vault_without_disks_of_a_judged_vm_is_none_of_our_business(tmp_path: Path) -> None:
    assert of_backup_vault(tmp_path, {"soft_delete": "Off"}, alone=True) == {}


def test_an_alert_rule_for_backup_vaults_alone_reaches_them_alone(tmp_path: Path) -> None:
    document = fine() | {
        "backup_vaults": {"a/rg-v/bv": GOOD},
        "disk_backups": [{"vault": "bv", "in": "a/rg-v", "of": "one", "snapshot_group": "a/rg-copies"}],
    }
    kind = {"field": "TargetResourceType", "operator": "Equals", "values": ["Microsoft.DataProtection/backupVaults"]}
    document["alert_rules"][0]["conditions"] = [kind]
    got = of_vaults(audit(Estate.from_dict(document, AS_OF), tmp_path))
    assert got["vault-monitoring-missing", "good"] == ("fail", "unrouted")
    assert got["vault-monitoring-missing", "bv"] == NOT_TOLD["vault-monitoring-missing"]
