"""Holds what was read against what else is known of it: second sources, counters, and who asked with which rights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from auditor.model import Reconciliation
from auditor.standard.selector import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from auditor.bundle import Covered
    from auditor.inventory.facts import Facts

_ROLES = {
    "acdd72a7-3385-48ef-bd42-f606fba81ae7": "Reader",
    "a795c7a0-d4a2-40c1-ae25-d81f01202912": "Backup Reader",
    "b24988ac-6180-42a0-ab88-20f7382dd24c": "Contributor",
    "8e3af657-a8ff-443c-a75c-2fe8c4bcb635": "Owner",
}
"""Built-in roles that an auditing identity may hold; others are told by their id."""

_BY_ID = (
    "count(*) FILTER (r.in_graph) AS first_count, count(*) FILTER (r.in_list) AS second_count, "
    "count(*) FILTER (NOT r.in_list) AS only_first, count(*) FILTER (NOT r.in_graph) AS only_second"
)
_BY_NUMBER = (
    "coalesce(sum(first), 0)::BIGINT AS first_count, coalesce(sum(second), 0)::BIGINT AS second_count, "
    "coalesce(sum(greatest(first - second, 0)), 0)::BIGINT AS only_first, "
    "coalesce(sum(greatest(second - first, 0)), 0)::BIGINT AS only_second"
)
_OF_POLICIES = """
    WITH held AS (SELECT policy_id, count(*) AS items FROM raw.protected_item WHERE policy_id IS NOT NULL GROUP BY 1)
    SELECT coalesce(h.items, 0) AS first, p.protected_items_count AS second
    FROM raw.backup_policy p LEFT JOIN held h ON h.policy_id = p.resource_id
    WHERE lower(p.backup_management_type) = 'azureiaasvm' AND p.protected_items_count IS NOT NULL
      AND p.vault_id NOT IN (SELECT resource_id FROM gap WHERE table_name = 'vault')
"""
"""How many items follow a policy, and how many it says: a source that tells numbers only."""
_OF_ITEMS = """
    WITH read AS (SELECT item_no, count(*) AS points FROM raw.recovery_point GROUP BY 1)
    SELECT coalesce(r.points, 0) AS first, i.stated_point_count AS second
    FROM raw.protected_item i LEFT JOIN read r ON r.item_no = i.resource_no
    WHERE i.stated_point_count IS NOT NULL AND i.vm_id IN (SELECT resource_id FROM raw.vm)
      AND i.resource_id NOT IN (SELECT resource_id FROM gap WHERE table_name = 'recovery_point')
      AND i.resource_id NOT IN (SELECT resource_id FROM left_out) AND (SELECT points_read FROM setting)
"""
"""How many points of an item were read, and how many it says, where it says so."""


def sources(covered: Covered, facts: Facts) -> tuple[Reconciliation, ...]:
    """Hold the sources against each other, id by id, wherever both could be asked."""

    def held(table: str, first: str, second: str, sql: str, unread: int) -> Reconciliation:
        (counts,) = facts.rows(sql)
        return Reconciliation(table, first, second, unread=unread, **counts)

    listed = [row for row in covered.second if row.table in ("vm", "disk", "snapshot", "vault")]
    found = [
        held(
            table,
            "graph",
            "list",
            f"SELECT {_BY_ID} FROM raw.{table} r JOIN confirmed c ON c.table_name = {quote(table)} "
            "AND c.subscription_id = r.subscription_id",
            sum(row.table == table and not row.state.whole for row in listed),
        )
        for table in sorted({row.table for row in listed})
    ]
    vaults, items = (sum(gap.table == table for gap in covered.gaps) for table in ("vault", "recovery_point"))
    of_vms = (
        f"SELECT {_BY_ID} FROM raw.protected_item r WHERE lower(coalesce(r.backup_management_type, 'azureiaasvm')) = "
        "'azureiaasvm' AND r.vault_id NOT IN (SELECT resource_id FROM gap WHERE table_name = 'vault')"
    )
    return (
        *found,
        held("protected_item", "graph", "vaults", of_vms, vaults),
        held("protected_item", "graph", "policies", f"SELECT {_BY_NUMBER} FROM ({_OF_POLICIES})", vaults),
        held("recovery_point", "vaults", "items", f"SELECT {_BY_NUMBER} FROM ({_OF_ITEMS})", items),
    )


def uniform_scale_sets(facts: Facts) -> tuple[int, int]:
    """Count the uniform scale sets in scope and the machines that they are to have."""
    (row,) = facts.rows(
        "SELECT count(*) AS sets, coalesce(sum(capacity), 0)::BIGINT AS machines FROM raw.scale_set "
        "WHERE lower(orchestration_mode) = 'uniform'"
    )
    return row["sets"], row["machines"]


def roles(identity: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
    """Give the roles of whoever asked, as far as role assignments could be read; those of its groups are not known."""
    rows = facts.rows(
        "SELECT role_id, assigned_to FROM raw.role_assignment WHERE principal_id = $who ORDER BY assigned_to, role_id",
        {"who": str(identity.get("object_id") or "").lower()},
    )
    told = [f"{_ROLES.get(row['role_id'], row['role_id'])} at {row['assigned_to']}" for row in rows]
    return {"roles": ", ".join(told)} if told else {}
