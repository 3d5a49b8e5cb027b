"""What the annexes of a report list: Azure Policy's opinions, costs, vaults, backup policies and protected items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from auditor.engine import waivers as waiving
from auditor.model import CostLine, ItemRecord, PolicyExemption, PolicyOpinion, PolicyRecord, Status, VaultRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditor.engine.results import Judged
    from auditor.inventory.facts import Facts

OPINION = "azpolicy-disagreement"
_COUNTED = (Status.FAIL, Status.WAIVED, Status.UNKNOWN)
COSTS = ("cost-snapshot-waste", "cost-retention-over-standard")


def opinions(judged: Judged, facts: Facts) -> tuple[PolicyOpinion, ...]:
    """Give what Azure Policy says of each VM that it has an opinion on, or should have."""
    # Of a pass no evidence is kept: what it was judged by stands in the tables.
    known = {
        row["resource_id"]: (row["azure_state"], row["azure_state_age_hours"])
        for row in facts.rows(
            "SELECT v.resource_id, o.azure_state, o.azure_state_age_hours "
            "FROM vm v JOIN policy_opinion o ON o.vm_no = v.resource_no"
        )
    }
    return tuple(
        PolicyOpinion(
            row["resource_id"],
            row["name"],
            row["status"],
            row["reason"],
            row["said"],
            *known.get(row["resource_id"], (None, None)),
        )
        for rule in judged.book.rules
        if rule.id == OPINION
        for row in judged.verdicts(facts, rule)
    )


def exemptions(facts: Facts) -> tuple[PolicyExemption, ...]:
    """Give the exemptions from Azure Policy's demand of a backup."""
    return tuple(PolicyExemption(resource_id=row.pop("id"), **row) for row in map(dict, waiving.exemptions(facts)))


def costs(judged: Judged, facts: Facts) -> tuple[CostLine, ...]:
    """Give what the rules on cost found, in figures: what is too much, what is unknown, and what has no price."""
    return tuple(
        CostLine(
            rule=rule.id,
            resource_id=row["resource_id"],
            resource_name=row["name"],
            status=row["status"],
            reason=row["said"],
            gib=row["evidence"].get("most_gib"),
            month=row["evidence"].get("most_month"),
            currency=row["evidence"].get("currency") or judged.standard.file.cost.currency,
            unpriced=int(row["evidence"].get("unpriced_count") or 0),
        )
        for rule in judged.book.rules
        if rule.id in COSTS
        for row in judged.verdicts(facts, rule)
        if row["status"] in _COUNTED or row["evidence"].get("unpriced_count")
    )


def vaults(judged: Judged, facts: Facts) -> tuple[VaultRecord, ...]:
    """Give the vaults of both kinds that concern the scope."""
    return tuple(
        VaultRecord(statuses=statuses, **row)
        for row, statuses in _with_statuses(
            judged,
            facts,
            "vault",
            "n.kind, n.resource_group, n.location, n.tier, n.vm_count, n.redundancy, n.soft_delete_state, "
            "n.immutability_state",
        )
    )


def policies(judged: Judged, facts: Facts) -> tuple[PolicyRecord, ...]:
    """Give the backup policies with what each keeps."""
    kept = {
        row.pop("resource_id"): row
        for row in facts.rows(
            "SELECT resource_id, keep_days(daily_count, daily_unit) AS daily, keep_days(weekly_count, weekly_unit) "
            "AS weekly, keep_days(monthly_count, monthly_unit) AS monthly, keep_days(yearly_count, yearly_unit) AS "
            "yearly FROM raw.backup_policy"
        )
    }
    return tuple(
        PolicyRecord(keep_days=kept[row["resource_id"]], statuses=statuses, **row)
        for row, statuses in _with_statuses(judged, facts, "backup_policy", "n.vault_name, n.vm_count")
    )


def items(judged: Judged, facts: Facts) -> tuple[ItemRecord, ...]:
    """Give the protected items of Azure VM backup."""
    columns = "n.vault_name, n.protection_state, n.vm_id, n.newest_point_age_hours"
    return tuple(
        ItemRecord(statuses=statuses, **row)
        for row, statuses in _with_statuses(judged, facts, "protected_item", columns)
    )


def _with_statuses(
    judged: Judged, facts: Facts, kind: str, columns: str
) -> Iterator[tuple[dict[str, Any], dict[str, Status]]]:
    verdicts, joins, rules = judged.beside(kind)
    for row in facts.rows(
        f"SELECT n.resource_id, n.resource_name AS name, n.subscription_id, {columns}, [{verdicts}]::VARCHAR[] "
        f"AS verdicts FROM {kind} n {joins} ORDER BY n.resource_id"
    ):
        statuses = judged.by_rule(rules, row.pop("verdicts"))  # before the row is given, which is to hold the rest
        yield row, statuses
