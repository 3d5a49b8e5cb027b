"""What a run must know of the runs before it: since when a thing is known, and which run came last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditor import bundle as bundles
from auditor.bundle import Bundle
from auditor.bundle.raw import SubjectReader
from auditor.collect import JOBS_DAYS
from auditor.engine import register
from auditor.inventory.database import connect
from auditor.inventory.facts import lay_keys
from auditor.standard.selector import quote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path
    from typing import Any

    import duckdb

    from auditor.bundle import Covered


def before(store: Path, as_of: datetime) -> Bundle | None:
    """Give the newest run of the store that is older than `as_of`; None for the first."""
    mark = f"run={bundles.run_id(as_of)}"
    earlier = [path for path in bundles.runs(store) if path.name < mark]
    return Bundle(earlier[-1]) if earlier else None


REUSED_RUNS = 4
"""Runs after which points are read again although nothing should have changed."""


def vaults(previous: Bundle | None) -> list[str]:
    """Give the lower-cased ids of the vaults that the run before knew; none before the first run."""
    if previous is None or not previous.history.exists():
        return []
    with connect() as con:
        known = f"read_parquet({quote(str(previous.history))})"
        return [key for (key,) in con.execute(f"SELECT key FROM {known} WHERE kind = 'vault' ORDER BY key").fetchall()]


class Earlier:
    """Recovery points that an earlier run read and that can't have grown since. Implements `collect.Kept`."""

    def __init__(self, previous: Bundle) -> None:
        """Read which answers the run before has."""
        self._run = previous.run["id"]
        self._points = SubjectReader(previous.folder, "recovery_point")

    def points(self, item_id: str, *, at_rest: bool) -> Sequence[tuple[Mapping[str, Any], bytes]] | None:
        """Give the answers of the run before, with the run they come from; see `collect.Kept`.

        The item must have been at rest (stopped or softly deleted) then as it is now.
        """
        found = self._points.answers(item_id) if at_rest else None
        if found is None or any(not e.get("at_rest") or self._age(e) > REUSED_RUNS for e, _ in found):
            return None
        return [
            ({**entry, "reused_from": {"run": self._origin(entry), "runs_ago": self._age(entry)}}, body)
            for entry, body in found
        ]

    def _origin(self, entry: Mapping[str, Any]) -> str:
        return str((entry.get("reused_from") or {}).get("run") or self._run)

    @staticmethod
    def _age(entry: Mapping[str, Any]) -> int:
        """Give how many runs ago it was read, seen from the run that is made now."""
        return int((entry.get("reused_from") or {}).get("runs_ago") or 0) + 1


def carry(
    previous: Bundle | None, inventory: Path, target: Path, as_of: datetime, covered: Covered, *, change_tag: str | None
) -> None:
    """Write history.parquet (kind, key, first_seen, last_seen, value): what is known by now, and since when.

    Kinds:
        `vm`, `protected_item`, `vault` -- key: lower-cased ARM id. A vault is forgotten when it is gone, not when it
            can't be read.
        `finding` -- key: `<rule>/<resource id>`, of those that did not pass when last looked at.
        `promise` -- a protected item with its policy and what that keeps daily, so that a changed policy begins anew;
            see inventory/keys.sql.
        `retention` -- key: `<item id>|<days>|<days>|<days>|<days>`, what the item's policy keeps daily, weekly,
            monthly and yearly; value: the four. Those of before stay for a while: they show what was cut.
        `change` -- key: `<id of a VM or vault>|<value>` of its tag that refers to a change, since it was first seen so.
        `expiry` -- key: `<item id>|<point>` of a point in the vault that somebody made by hand; value: the latest end,
            in seconds since 1970, that it was seen with. Forgotten when that has come.
        `guard` -- key: `<vault id>|…`; value: `soft delete days|soft delete state|immutability` of the vault.
        `orphan` -- key: id of a protected item whose VM was missed in a list read whole, and not seen since.
        `deallocated` -- key: id of a VM that stands still, since it was first seen so.
        `backup_days` -- key: id of the item; value: `<day>:<a letter a day>` from that day on, in days since
            1970-01-01 of the policy's zone: S a backup succeeded, F backups failed, - there was none, ? not read or
            not ended.
        `run` -- key: id of an earlier run; value: see engine/register.py. All runs stay: a report on a year needs them.

    Args:
        previous: the run before; None for the first.
        inventory: folder of the new run's tables.
        target: the file to write.
        as_of: the new run's moment.
        covered: what of them could not be read.
        change_tag: the standard's tag that refers to an approved change, if it accepts one.
    """
    con = connect()
    lay_keys(con)
    con.execute(
        "CREATE TABLE known (kind VARCHAR, key VARCHAR, first_seen TIMESTAMPTZ, last_seen TIMESTAMPTZ, value VARCHAR)"
    )
    for path in sorted(inventory.glob("*.parquet")):
        con.execute(
            f"CREATE VIEW {path.stem} AS SELECT * FROM read_parquet({quote(str(path))}, hive_partitioning = false)"
        )
    if previous is not None and previous.history.exists():
        earlier = f"read_parquet({quote(str(previous.history))}, hive_partitioning = false)"
        con.execute(
            f"INSERT INTO known BY NAME SELECT kind, key, first_seen, * EXCLUDE (kind, key, first_seen) FROM {earlier}"
        )
        _findings(con, previous)
    if previous is not None:
        past = register.entry(con, previous, previous.folder / "findings")
        con.execute("INSERT INTO known VALUES ('run', $1, $2, $2, $3)", [past.id, past.as_of, register.written(past)])
    unread = {kind: [gap.resource_id for gap in covered.gaps if gap.table == kind] for kind in ("vault", "backup_job")}
    closed = [row.subscription_id for row in covered.coverage if row.table == "backup_job" and not row.state.whole]
    con.execute("CREATE TABLE unread AS SELECT unnest($1::VARCHAR[]) AS vault_id", [unread["vault"]])
    con.execute(
        "CREATE TABLE job_read AS SELECT resource_id AS vault_id FROM vault WHERE NOT list_contains($1::VARCHAR[], "
        "resource_id) AND NOT list_contains($2::VARCHAR[], subscription_id)",
        [unread["vault"] + unread["backup_job"], closed],
    )
    for kind in ("vm", "protected_item", "vault"):
        con.execute(
            f"INSERT INTO known SELECT {quote(kind)}, resource_id, $1, NULL, NULL FROM {kind} "
            f"WHERE resource_id NOT IN (SELECT key FROM known WHERE kind = {quote(kind)})",
            [as_of],
        )
    con.execute(
        "DELETE FROM known WHERE kind = 'vault' AND key NOT IN (SELECT vault_id FROM unread) "
        "AND key NOT IN (SELECT resource_id FROM vault)"
    )
    con.execute(
        "INSERT INTO known SELECT 'promise', promise(i.resource_id, p.resource_id, p.schedule, p.daily_count, "
        "p.daily_unit) AS key, $1, NULL, NULL FROM protected_item i "
        "JOIN backup_policy p ON p.resource_id = i.policy_id "
        "WHERE key NOT IN (SELECT key FROM known WHERE kind = 'promise')",
        [as_of],
    )
    _orphans(con, as_of, [row.subscription_id for row in covered.coverage if row.table == "vm" and row.state.whole])
    states = _STATES | ({"change": _referring(change_tag)} if change_tag else {})
    for kind, rows in states.items():
        _state(con, kind, rows, as_of, previous.as_of if previous else None)
    _expiries(con, as_of)
    _backup_days(con, as_of)
    con.execute(
        "COPY (SELECT kind, key, first_seen, last_seen, value FROM known ORDER BY kind, key) "
        f"TO {quote(str(target))} (FORMAT parquet, COMPRESSION zstd)"
    )
    con.close()


def _findings(con: duckdb.DuckDBPyConnection, previous: Bundle) -> None:
    """Bring the findings up to the run before: what failed there is known since, what passed begins anew."""
    con.execute("CREATE TABLE failing (key VARCHAR)")
    con.execute("CREATE TABLE passing (key VARCHAR)")
    for path in sorted((previous.folder / "findings").glob("*.parquet")):
        for table, status in (("failing", "NOT IN"), ("passing", "IN")):
            con.execute(
                f"INSERT INTO {table} SELECT {quote(path.stem)} || '/' || resource_id "
                f"FROM read_parquet({quote(str(path))}) WHERE status {status} ('pass', 'not_applicable')"
            )
    # A finding that passed in between begins anew; one that a run of another scope did not look at does not.
    con.execute("DELETE FROM known WHERE kind = 'finding' AND key IN (SELECT key FROM passing)")
    con.execute(
        "INSERT INTO known SELECT 'finding', key, $1, NULL, NULL FROM failing "
        "WHERE key NOT IN (SELECT key FROM known WHERE kind = 'finding')",
        [previous.as_of],
    )


def _orphans(con: duckdb.DuckDBPyConnection, as_of: datetime, searched: Sequence[str]) -> None:
    """Note the items whose VM is missed, in subscriptions whose list of VMs was read whole."""
    con.execute(
        "DELETE FROM known WHERE kind = 'orphan' AND key IN "
        "(SELECT resource_id FROM protected_item WHERE vm_id IN (SELECT resource_id FROM vm))"
    )
    con.execute(
        "INSERT INTO known SELECT 'orphan', resource_id, $1, NULL, NULL FROM protected_item "
        "WHERE vm_id NOT IN (SELECT resource_id FROM vm) AND list_contains($2::VARCHAR[], split_part(vm_id, '/', 3)) "
        "AND resource_id NOT IN (SELECT key FROM known WHERE kind = 'orphan')",
        [as_of, searched],
    )


_STATES = {
    "retention": "SELECT i.resource_id AS subject, spans(p.daily_count, p.daily_unit, p.weekly_count, p.weekly_unit, "
    "p.monthly_count, p.monthly_unit, p.yearly_count, p.yearly_unit) AS value FROM protected_item i "
    "JOIN backup_policy p ON p.resource_id = i.policy_id WHERE lower(p.backup_management_type) = 'azureiaasvm'",
    "guard": "SELECT v.resource_id AS subject, concat_ws('|', coalesce(v.soft_delete_days, c.soft_delete_days, 0), "
    "lower(coalesce(v.soft_delete_state, c.soft_delete_state, '')), lower(coalesce(v.immutability_state, ''))) "
    "AS value FROM vault v LEFT JOIN vault_config c ON c.vault_id = v.resource_id",
    "deallocated": "SELECT resource_id AS subject, '' AS value FROM vm "
    "WHERE lower(power_state) = 'powerstate/deallocated'",
}
"""What may change and come back: kind -> what is seen now, as subject and value."""
REMEMBERED_DAYS = 400
"""How long a state that is no more is kept, and how far back the days of backups reach."""


def _referring(tag: str) -> str:
    """Give the SQL of the VMs and vaults that carry a tag, with its value."""
    return (
        "SELECT resource_id AS subject, trim(list_filter(map_entries(tags), "
        f"lambda t: lower(trim(t.key)) = {quote(tag.casefold())})[1].value) AS value "
        "FROM (SELECT resource_id, tags FROM vm UNION ALL SELECT resource_id, tags FROM vault) WHERE value <> ''"
    )


def _expiries(con: duckdb.DuckDBPyConnection, as_of: datetime) -> None:
    """Note until when the points that somebody made by hand are kept: no policy says it of them."""
    con.execute("DELETE FROM known WHERE kind = 'expiry' AND value::BIGINT < epoch($1::TIMESTAMPTZ)", [as_of])
    # Azure names the rule of the policy that keeps a point. Where it names none of an item's, all might be by hand.
    con.execute(
        """
        CREATE TABLE by_hand AS
        SELECT concat_ws('|', i.resource_id, p.resource_name) AS key, max(epoch(p.expires_at))::BIGINT AS ends
        FROM recovery_point p JOIN protected_item i ON i.resource_no = p.item_no
        WHERE p.vaulted AND NOT p.soft_deleted AND p.expires_at > $1 AND nullif(p.rule_name, '') IS NULL
          AND p.item_no IN (SELECT item_no FROM recovery_point WHERE nullif(rule_name, '') IS NOT NULL)
        GROUP BY 1
        """,
        [as_of],
    )
    con.execute(
        "UPDATE known SET last_seen = $1, value = b.ends::VARCHAR FROM by_hand b "
        "WHERE known.kind = 'expiry' AND known.key = b.key AND b.ends >= known.value::BIGINT",
        [as_of],
    )
    con.execute(
        "INSERT INTO known SELECT 'expiry', key, $1, $1, ends::VARCHAR FROM by_hand "
        "WHERE key NOT IN (SELECT key FROM known WHERE kind = 'expiry')",
        [as_of],
    )


def _state(con: duckdb.DuckDBPyConnection, kind: str, rows: str, as_of: datetime, before: datetime | None) -> None:
    """Bring a state up to now: one that comes back after a run without it begins anew."""
    con.execute(
        f"CREATE OR REPLACE TABLE seen AS SELECT concat_ws('|', subject, nullif(value, '')) AS key, value FROM ({rows})"
    )
    con.execute(
        "DELETE FROM known WHERE kind = $1 AND (last_seen < $2::TIMESTAMPTZ - to_days($3) "
        "OR last_seen < $4 AND key IN (SELECT key FROM seen))",
        [kind, as_of, REMEMBERED_DAYS, before],
    )
    con.execute("UPDATE known SET last_seen = $2 WHERE kind = $1 AND key IN (SELECT key FROM seen)", [kind, as_of])
    con.execute(
        "INSERT INTO known SELECT $1, key, $2, $2, value FROM seen "
        "WHERE key NOT IN (SELECT key FROM known WHERE kind = $1)",
        [kind, as_of],
    )


def _backup_days(con: duckdb.DuckDBPyConnection, as_of: datetime) -> None:
    """Add the days of which the vaults still know the backup jobs; Azure forgets them, this does not."""
    con.execute(
        """
        CREATE TABLE day AS
        -- A scheduled job is of the day it was due, even where it began after midnight; one by hand of its own day.
        SELECT i.resource_id AS item_id,
               floor((epoch(j.started_at) + coalesce(p.standard_offset_minutes, 0) * 60
                      - CASE WHEN j.user_triggered THEN 0 ELSE coalesce(p.run_minutes, 0) * 60 END)
                     / 86400)::INTEGER AS day_no,
               bool_or(lower(j.status) IN ('completed', 'completedwithwarnings')) AS good,
               bool_or(lower(j.status) = 'inprogress') AS running
        FROM backup_job j
        JOIN protected_item i ON i.vault_id = j.vault_id AND i.container_name = j.container_name
        LEFT JOIN backup_policy p ON p.resource_id = i.policy_id
        WHERE lower(j.operation) = 'backup' AND j.started_at IS NOT NULL
        GROUP BY 1, 2
        """
    )
    con.execute(
        """
        CREATE TABLE fresh AS
        WITH asked AS (
                 SELECT i.resource_id AS item_id,
                        floor((epoch($1::TIMESTAMPTZ) + coalesce(p.standard_offset_minutes, 0) * 60)
                              / 86400)::INTEGER AS today
                 FROM protected_item i LEFT JOIN backup_policy p ON p.resource_id = i.policy_id
                 WHERE lower(coalesce(i.backup_management_type, 'azureiaasvm')) = 'azureiaasvm'
                   AND i.vault_id IN (SELECT vault_id FROM job_read)
             ),
             known_day AS (
                 SELECT item_id, list(day_no) FILTER (good) AS good, list(day_no) FILTER (running) AS running,
                        list(day_no) FILTER (NOT good AND NOT running) AS bad
                 FROM day GROUP BY 1
             )
        SELECT a.item_id, a.today, array_to_string(list_transform(range(a.today - $2, a.today), lambda n:
                   CASE WHEN list_contains(k.good, n) THEN 'S' WHEN list_contains(k.running, n) THEN '?'
                        WHEN list_contains(k.bad, n) THEN 'F' ELSE '-' END),
                   '') AS letters
        FROM asked a LEFT JOIN known_day k USING (item_id)
        """,
        [as_of, JOBS_DAYS - 1],
    )
    con.execute(
        """
        CREATE TABLE merged AS
        WITH old AS (
            SELECT key AS item_id, split_part(value, ':', 1)::INTEGER AS first, split_part(value, ':', 2) AS letters
            FROM known WHERE kind = 'backup_days'
        ),
        joined AS (
            -- What lies between the last day known and the first one read anew is not known.
            SELECT f.item_id, f.today, coalesce(left(rpad(o.letters, greatest(f.today - $1 - o.first, 0), '?'),
                                                     greatest(f.today - $1 - o.first, 0)), '') || f.letters AS letters
            FROM fresh f LEFT JOIN old o USING (item_id)
        )
        SELECT item_id, today, right(letters, $2) AS letters FROM joined
        """,
        [JOBS_DAYS - 1, REMEMBERED_DAYS],
    )
    con.execute("DELETE FROM known WHERE kind = 'backup_days' AND key IN (SELECT item_id FROM merged)")
    con.execute(
        "INSERT INTO known SELECT 'backup_days', item_id, $1, $1, (today - length(letters)) || ':' || letters "
        "FROM merged",
        [as_of],
    )
