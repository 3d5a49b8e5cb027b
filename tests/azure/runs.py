"""An estate with one of everything, and audits of it under faults, without the waiting."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import duckdb

from auditor.azure import AzureReader
from auditor.azure.pacing import Patience
from auditor.simulator import Estate, Faults
from tests.audits import AS_OF, Audited, audit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from auditor.bundle import Bundle
    from auditor.collect import Answer, Scope
    from auditor.inventory.catalogue import GraphQuestion, RestQuestion

Verdicts = dict[tuple[str, str], str]
"""(rule, resource id) -> status, passes included."""


def hurried() -> Patience:
    """Wait no time: a clock that every sleep puts forward."""
    ahead = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal ahead
        ahead += seconds
        await asyncio.sleep(0)

    return Patience(sleep=sleep, clock=lambda: asyncio.get_running_loop().time() + ahead)


def mixed() -> dict[str, Any]:
    """Make a small estate in which every kind of verdict occurs, over three subscriptions and three vaults."""
    keep = {"daily": "30 Days", "weekly": "12 Weeks", "monthly": "84 Months"}
    short = {"daily": "7 Days"}
    return {
        "estate": "mixed",
        "jobs_days": 0,
        "management_groups": {"mg-a": {"name": "Group A"}},
        "subscriptions": {"a": {"name": "Sub A", "group": "mg-a"}, "b": {"name": "Sub B"}, "c": {"name": "Sub C"}},
        "resource_groups": {
            "a/rg-dev": {"tags": {"environment": "dev"}},
            "a/mc_aks": {
                "managed_by": "/subscriptions/x/resourceGroups/r/providers/Microsoft.ContainerService/managedClusters/k"
            },
        },
        "vaults": {"a/rg-backup/rsv-a": {}, "b/rg-backup/rsv-b": {}, "c/rg-backup/rsv-c": {}},
        "policies": {
            "std": {"daily": "22:00", "keep": keep, "instant": 5},
            "short": {"daily": "22:00", "keep": short, "instant": 2},
        },
        "defaults": {"vm": {"age": "400d"}},
        "vms": [
            {"count": 3, "name": "good{n}", "in": "a/rg-app", "backup": {"vault": "rsv-a", "policy": "std"}},
            {"name": "short", "in": "a/rg-app", "backup": {"vault": "rsv-a", "policy": "short"}},
            {"name": "far", "in": "a/rg-app", "backup": {"vault": "rsv-b", "policy": "std"}},
            {
                "name": "late",
                "in": "a/rg-app",
                "backup": {"vault": "rsv-b", "policy": "std", "points": {"newest": "-90h"}},
            },
            {
                "name": "holes",
                "in": "a/rg-app",
                "backup": {"vault": "rsv-b", "policy": "std", "points": {"missing_days": list(range(3, 15))}},
            },
            {
                "name": "stopped",
                "in": "a/rg-app",
                "backup": {"vault": "rsv-a", "policy": "std", "state": "ProtectionStopped"},
            },
            {"name": "deleted", "in": "a/rg-app", "backup": {"vault": "rsv-b", "policy": "std", "deleted": "3d"}},
            {
                "name": "twice",
                "in": "a/rg-app",
                "backup": [
                    {"vault": "rsv-a", "policy": "std", "state": "ProtectionStopped"},
                    {"vault": "rsv-c", "policy": "std"},
                ],
            },
            {
                "name": "pending",
                "in": "b/rg-app",
                "backup": {"vault": "rsv-b", "policy": "std", "state": "IRPending", "points": {"empty": True}},
            },
            {
                "name": "pointless",
                "in": "b/rg-app",
                "backup": {"vault": "rsv-b", "policy": "std", "points": {"empty": True}},
            },
            {"name": "bare", "in": "b/rg-app"},
            {"name": "bare", "in": "c/rg-app"},
            {"name": "new", "in": "c/rg-app", "age": "2h"},
            {"name": "own", "in": "c/rg-app", "backup": {"vault": "rsv-c", "policy": "std"}},
            {"name": "dev", "in": "a/rg-dev"},
            {"name": "aks", "in": "a/mc_aks"},
            {"name": "tagged", "in": "a/rg-app", "tags": {"environment": "prod"}},
        ],
        "disks": [{"name": "loose", "in": "a/rg-app", "size": 32}],
        "snapshots": [
            {"name": "old", "in": "a/rg-app", "of": "good1", "age": "400d"},
            {"name": "young", "in": "a/rg-app", "of": "good2", "age": "1d"},
            {"name": "of-bare", "in": "b/rg-app", "of": "b/rg-app/bare", "age": "3d"},
            {"name": "orphan", "in": "a/rg-app", "of": "gone:lost", "age": "90d"},
            {"name": "loose-copy", "in": "a/rg-app", "of": "disk:loose", "age": "10d"},
        ],
    }


def mixed_estate() -> Estate:
    return Estate.from_dict(mixed(), AS_OF)


def faulty(estate: Estate, store: Path, scope: Scope | None = None, **faults: Any) -> Audited:
    """Audit under faults, in a hurry."""
    return audit(estate, store, scope=scope, faults=Faults(**faults), patience=hurried())


def verdicts(bundle: Bundle) -> Verdicts:
    """Read all verdicts of a sealed bundle, passes included."""
    where = str(bundle.folder / "findings" / "*.parquet").replace("'", "''")
    with duckdb.connect(":memory:") as con:
        rows = con.execute(
            f"SELECT parse_filename(filename, true), resource_id, status FROM read_parquet('{where}', filename = true)"
        ).fetchall()
    return {(rule, resource_id): status for rule, resource_id, status in rows}


def differing(clean: Verdicts, got: Verdicts) -> dict[tuple[str, str], str]:
    """Give the verdicts that differ from a flawless run's, as `pass -> unknown`; both must be on the same resources.

    A subscription, a vault and what lies in it have no verdict where they were not read at all.
    """
    assert of_compute(got) == of_compute(clean)
    assert got.keys() <= clean.keys()
    return {key: f"{clean[key]} -> {got[key]}" for key in got if clean[key] != got[key]}


ON_POINTS = {
    "backup-rpo-breached", "recovery-points-missing", "snapshot-daily-missing", "recovery-points-gfs-gap",
    "backup-not-vaulted", "oldest-point-younger-than-retention", "retention-reduced", "vm-disk-excluded",
}  # fmt: skip
"""Rules that look at the points of an item."""


def of_compute(verdicts_: Verdicts) -> set[tuple[str, str]]:
    """Give what was judged of machines, disks and snapshots."""
    return {(rule, i) for rule, i in verdicts_ if "/providers/microsoft.compute/" in i}


def named(verdicts_: dict[tuple[str, str], str]) -> dict[tuple[str, str], str]:
    """Shorten resource ids to `subscription/name`, for reading."""
    return {
        (rule, "/".join((i.split("/")[2][:4], i.rsplit("/", 1)[1]))): status for (rule, i), status in verdicts_.items()
    }


def stopping(after: int, table: str | None = None) -> type[AzureReader]:
    """Make a reader that is stopped when it has asked so many questions, of one table or of any."""
    left = [after]

    def count(asked: str) -> None:
        left[0] -= table in (None, asked)
        if left[0] < 0:
            raise asyncio.CancelledError

    class Stopped(AzureReader):
        async def query(
            self, question: GraphQuestion, subscriptions: Sequence[str] | None, *, top: int | None = None
        ) -> AsyncIterator[Answer]:
            count("")
            async for answer in super().query(question, subscriptions, top=top):
                yield answer

        async def ask(self, question: RestQuestion, subject: str, odata_filter: str | None) -> AsyncIterator[Answer]:
            count(question.table)
            async for answer in super().ask(question, subject, odata_filter):
                yield answer

    return Stopped
