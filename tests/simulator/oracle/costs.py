"""What backups cost beyond what the standard asks for, once more over Azure's own documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.simulator import oracle
from tests.simulator.oracle import snapshots

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditor.simulator import backup
    from tests.simulator.oracle import Oracle, Tier, Verdict

SUBSCRIPTION_RULES = ("cost-snapshot-waste",)
POLICY_RULES = ("cost-retention-over-standard",)
ITEM_RULES = ("protected-item-orphaned",)

_TEN_YEARS = 3652.5


def verdicts(judge: Oracle) -> Iterator[tuple[tuple[str, str], Verdict]]:
    for subscription in judge.estate.subscriptions.values():
        # The default standard has no prices: what is wasted can be told in GiB, not in money.
        found: Verdict = ("not_applicable", None) if waste(judge, subscription.id) else ("pass", None)
        yield ("cost-snapshot-waste", f"/subscriptions/{subscription.id.lower()}"), found
    for vault in judge.estate.vaults.values():
        for policy in vault.policies.values():
            if policy["properties"]["backupManagementType"] == "AzureIaasVM":
                yield ("cost-retention-over-standard", policy["id"].lower()), _too_long(judge, vault, policy)
        for item in vault.items.values():
            if item.properties["backupManagementType"] == "AzureIaasVM":
                yield ("protected-item-orphaned", item.id.lower()), _orphaned(judge, item)


def waste(judge: Oracle, subscription: str) -> list[Any]:
    """Give the snapshots of a subscription that one of the four rules fails."""
    found = []
    for snapshot in judge.estate.snapshot_documents:
        if snapshot["id"].lower().split("/")[2] == subscription.lower():
            own = dict(judge._snapshot(snapshot))
            own["full", ""], own["premium", ""] = snapshots.full(judge, snapshot), snapshots.premium(judge, snapshot)
            if any(status == "fail" for status, _ in own.values()):
                found.append(snapshot)
    return found


def _machines(judge: Oracle) -> dict[str, Any]:
    return {machine["id"].lower(): machine for machine in judge.estate.machine_documents}


def _tiers(judge: Oracle, items: list[backup.Item]) -> list[Tier]:
    """Give the tiers of the judged VMs behind some items."""
    known = _machines(judge)
    found = [known.get(item.properties["sourceResourceId"].lower()) for item in items]
    return [judge._tier(machine) for machine in found if machine is not None and not judge._excluded(machine)]


def _too_long(judge: Oracle, vault: backup.Vault, policy: Any) -> Verdict:
    served = [
        item
        for item in vault.items.values()
        if item.properties["policyId"].lower() == policy["id"].lower()
        and item.properties["backupManagementType"] == "AzureIaasVM"
        and not item.properties["isScheduledForDeferredDelete"]
        and item.properties["protectionState"] != "ProtectionStopped"
    ]
    tiers = _tiers(judge, served)
    if not tiers:
        return "not_applicable", None
    yearly = _TEN_YEARS if oracle.MISSION in tiers else 0
    demands = {
        "daily": max(tier.daily or 0 for tier in tiers),
        "weekly": max(tier.weekly for tier in tiers),
        "monthly": max(tier.monthly or 0 for tier in tiers),
        "yearly": yearly,
    }
    for kind, demanded in demands.items():
        span = policy["properties"]["retentionPolicy"].get(f"{kind}Schedule")
        if span and demanded:
            lasting = span["retentionDuration"]
            if lasting["count"] * oracle._DAYS[lasting["durationType"]] > 2 * demanded:
                return judge._fail("low", _strictest(judge, vault))
    return judge._fail("low", _strictest(judge, vault)) if _kept_for_ever(judge, served) else ("pass", None)


def _kept_for_ever(judge: Oracle, served: list[backup.Item]) -> bool:
    """Tell whether a judged VM behind these items has a stopped one too: nothing ends what that keeps."""
    known = _machines(judge)
    for identifier in {item.properties["sourceResourceId"].lower() for item in served}:
        if identifier in known and not judge._excluded(known[identifier]):
            for item in judge.items[identifier]:
                stopped = item.properties["protectionState"] == "ProtectionStopped"
                tags = oracle.folded(item.vault.document.get("tags"))
                held = tags.get("legal-hold", "no").casefold() not in ("no", "false", "")
                if stopped and not held and not item.properties["isScheduledForDeferredDelete"]:
                    return True
    return False


def _strictest(judge: Oracle, vault: backup.Vault) -> Tier:
    """Give the tier that a vault is judged by: the strictest of its VMs, else its own."""
    tiers = _tiers(judge, list(vault.items.values()))
    return max(tiers, key=lambda tier: (tier.shift, -tier.rpo)) if tiers else judge._tier(vault.document)


def _orphaned(judge: Oracle, item: backup.Item) -> Verdict:
    if item.properties["sourceResourceId"].lower() in _machines(judge):
        return "pass", None
    if item.properties["isScheduledForDeferredDelete"]:
        return "not_applicable", None
    state = item.properties["protectionState"]
    if state == "BackupsSuspended":
        return "pass", None
    if not item.extended["isDatasourceDeleted"]:
        return "not_yet_due", None
    return judge._fail("low" if state in ("ProtectionStopped", "ProtectionPaused") else "medium", oracle.HYBRID)
