"""What a run must know of the runs before it: since when a thing is known, and which run came last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditor import bundle as bundles
from auditor.bundle import Bundle
from auditor.bundle.raw import SubjectReader
from auditor.inventory.database import connect
from auditor.standard.selector import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path
    from typing import Any


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
    previous: Bundle | None,
    inventory: Path,
    target: Path,
    as_of: datetime,
    unread: Iterable[str] = (),
    *,
    searched: Iterable[str] = (),
) -> None:
    """Write history.parquet (kind, key, first_seen): what is known by now, with the moment it was first seen.

    Kinds: `vm`, `protected_item` and `vault` (key: lower-cased ARM id); `promise` (a protected item with its policy and
    what that keeps daily, so that a changed policy begins anew; see the macro in inventory/resources.sql); `orphan`
    (key: id of a protected item whose VM was missed in a list read whole, and has not been seen since); and `finding`
    (key: `<rule>/<resource id>`, of those that did not pass when last looked at). A vault is forgotten when
    it is gone, not when it can't be read.

    Args:
        previous: the run before; None for the first.
        inventory: folder of the new run's tables.
        target: the file to write.
        as_of: the new run's moment.
        unread: lower-cased ids of vaults that are there, but could not be read.
        searched: lower-cased ids of the subscriptions whose list of VMs was read whole.
    """
    con = connect()
    con.execute("CREATE TABLE known (kind VARCHAR, key VARCHAR, first_seen TIMESTAMPTZ)")
    if previous is not None and previous.history.exists():
        con.execute(f"INSERT INTO known SELECT kind, key, first_seen FROM read_parquet({quote(str(previous.history))})")
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
            "INSERT INTO known SELECT 'finding', key, $1 FROM failing "
            "WHERE key NOT IN (SELECT key FROM known WHERE kind = 'finding')",
            [previous.as_of],
        )
    for kind in ("vm", "protected_item", "vault"):
        table = quote(str(inventory / f"{kind}.parquet"))
        con.execute(
            f"INSERT INTO known SELECT {quote(kind)}, resource_id, $1 FROM read_parquet({table}) "
            f"WHERE resource_id NOT IN (SELECT key FROM known WHERE kind = {quote(kind)})",
            [as_of],
        )
    items, policies = (quote(str(inventory / f"{kind}.parquet")) for kind in ("protected_item", "backup_policy"))
    con.execute(
        "INSERT INTO known SELECT 'promise', concat_ws('|', i.resource_id, p.resource_id, p.schedule, p.daily_count, "
        f"p.daily_unit) AS key, $1 FROM read_parquet({items}) i JOIN read_parquet({policies}) p "
        "ON p.resource_id = i.policy_id WHERE key NOT IN (SELECT key FROM known WHERE kind = 'promise')",
        [as_of],
    )
    machines = f"(SELECT resource_id FROM read_parquet({quote(str(inventory / 'vm.parquet'))}))"
    con.execute(
        f"DELETE FROM known WHERE kind = 'orphan' AND key IN "
        f"(SELECT resource_id FROM read_parquet({items}) WHERE vm_id IN {machines})"
    )
    con.execute(
        f"INSERT INTO known SELECT 'orphan', resource_id, $1 FROM read_parquet({items}) "
        f"WHERE vm_id NOT IN {machines} AND list_contains($2::VARCHAR[], split_part(vm_id, '/', 3)) "
        "AND resource_id NOT IN (SELECT key FROM known WHERE kind = 'orphan')",
        [as_of, list(searched)],
    )
    con.execute(
        f"DELETE FROM known WHERE kind = 'vault' AND NOT list_contains($1::VARCHAR[], key) AND key NOT IN "
        f"(SELECT resource_id FROM read_parquet({quote(str(inventory / 'vault.parquet'))}))",
        [list(unread)],
    )
    con.execute(
        f"COPY (SELECT kind, key, first_seen FROM known ORDER BY kind, key) TO {quote(str(target))} "
        "(FORMAT parquet, COMPRESSION zstd)"
    )
    con.close()
