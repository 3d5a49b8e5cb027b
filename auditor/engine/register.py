"""The run register: what a run keeps of those before it, so that it can tell of them without their bundles."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from auditor.bundle import digest_of
from auditor.model import PastRun, Status
from auditor.standard.selector import quote

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import duckdb

    from auditor.bundle import Bundle
    from auditor.inventory.facts import Facts

_ASKED = ("subscriptions", "management_groups", "tenant", "exclude_subscriptions")
"""What decides which resources a run is about."""

_MACHINE = "/providers/microsoft.compute/virtualmachines/[^/]+$"


def entry(con: duckdb.DuckDBPyConnection, found: Bundle, findings: Path) -> PastRun:
    """Give what is kept of a run, counted from its findings."""
    everything = f"read_parquet({quote(str(findings / '*.parquet'))}, union_by_name = true)"
    if not any(findings.glob("*.parquet")):  # a standard may have turned every rule off
        everything = "(SELECT NULL::VARCHAR AS resource_id, NULL::VARCHAR AS status WHERE false)"
    counts = dict(con.execute(f"SELECT status, count(*) FROM {everything} GROUP BY 1").fetchall())
    judged, failing = con.execute(
        "SELECT count(*), count(*) FILTER (fails) FROM (SELECT bool_or(status = 'fail') AS fails, "
        f"bool_or(status <> 'not_applicable') AS applies FROM {everything} "
        "WHERE regexp_matches(resource_id, $1) GROUP BY resource_id) WHERE applies",
        [_MACHINE],
    ).fetchall()[0]
    run = found.run
    scope = {key: run["scope"].get(key) for key in _ASKED}
    return PastRun(
        id=run["id"],
        as_of=found.as_of,
        manifest_digest=found.manifest_digest,
        standard=f"{run['standard']['name']} {run['standard']['version']}",
        standard_digest=run["standard"]["digest"],
        rules_digest=run["rules_digest"],
        scope=digest_of(run["cloud"], urlsplit(run["arm_endpoint"]).hostname or "", json.dumps(scope, sort_keys=True)),
        complete=found.covered().complete,
        statuses={status: int(counts.get(status.value, 0)) for status in Status},
        judged=int(judged),
        failing=int(failing),
    )


def written(kept: PastRun) -> str:
    """Write an entry as the text that history.parquet holds; its id and moment are the row's own."""
    return json.dumps(
        {
            "manifest_digest": kept.manifest_digest,
            "standard": kept.standard,
            "standard_digest": kept.standard_digest,
            "rules_digest": kept.rules_digest,
            "scope": kept.scope,
            "complete": kept.complete,
            "statuses": kept.statuses,
            "judged": kept.judged,
            "failing": kept.failing,
        },
        sort_keys=True,
    )


def read(facts: Facts, found: Bundle, findings: Path, as_of: datetime) -> tuple[PastRun, ...]:
    """Give the runs that a bundle remembers, and it itself as judged in `findings`, oldest first."""
    rows = facts.rows("SELECT key, epoch(first_seen) AS at, value FROM known WHERE kind = 'run' ORDER BY key")
    here = replace(entry(facts.con, found, findings), as_of=as_of)
    return (*(_parsed(row["key"], row["at"], json.loads(row["value"])) for row in rows), here)


def _parsed(key: str, at: float, value: Mapping[str, Any]) -> PastRun:
    statuses = {Status(name): int(count) for name, count in value["statuses"].items()}
    return PastRun(id=key, as_of=datetime.fromtimestamp(at, UTC), **{**value, "statuses": statuses})
