"""What a large estate costs: as few queries as its rows need, at the pace that Resource Graph's quota allows."""

from __future__ import annotations

import asyncio
import math
import os
import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from auditor import bundle
from auditor.azure import AzureReader, cloud
from auditor.azure.pacing import Patience
from auditor.collect import Scope, collect
from auditor.inventory import catalogue
from auditor.simulator import Estate
from auditor.simulator.quota import Quota
from auditor.simulator.server import Simulator
from tests.audits import AS_OF, TOKEN

if TYPE_CHECKING:
    from pathlib import Path

    from auditor.bundle import Covered
    from auditor.simulator.server import Request

pytestmark = pytest.mark.slow

SUBSCRIPTIONS = 10


class Hurried:
    """A clock of its own that client and server share: only sleeping puts it forward, and takes no time."""

    def __init__(self) -> None:
        self.slept = 0.0

    def clock(self) -> float:
        return self.slept

    async def sleep(self, seconds: float) -> None:
        self.slept += seconds
        await asyncio.sleep(0)

    def patience(self) -> Patience:
        return Patience(sleep=self.sleep, clock=self.clock)


def estate(machines: int) -> Estate:
    each = machines // SUBSCRIPTIONS
    document = {
        "estate": "large",
        "jobs_days": 0,
        "subscriptions": {f"s{number}": {} for number in range(SUBSCRIPTIONS)},
        "vms": [{"count": each, "name": "vm{n:06d}", "in": f"s{n}/rg", "disks": []} for n in range(SUBSCRIPTIONS)],
    }
    return Estate.from_dict(document, AS_OF)


def bound(queries: int, quota: Quota) -> float:
    """Give the seconds that the quota alone makes so many queries take."""
    return (math.ceil(queries / quota.queries) - 1) * quota.window


def collected(
    machines: int, store: Path, quota: Quota, patience: Patience | None = None
) -> tuple[list[Request], Covered]:
    os.environ["AUDITOR_TOKEN"] = TOKEN
    with Simulator(estate(machines), token=TOKEN, quota=quota, page_size=5000) as azure:

        async def run() -> Covered:
            async with AzureReader(cloud(arm_endpoint=azure.url), patience=patience) as reader:
                draft = bundle.create(store, AS_OF)
                try:
                    return await collect(reader, Scope(), draft)
                finally:
                    draft.abandon()

        covered = asyncio.run(run())
        return list(azure.log), covered


@pytest.mark.parametrize("machines", [3_000, 100_000])
def test_a_large_estate_is_read_as_fast_as_the_quota_allows(machines: int, tmp_path: Path) -> None:
    hurried = Hurried()
    quota = Quota(clock=hurried.clock)
    log, covered = collected(machines, tmp_path, quota, hurried.patience())
    assert all(row.state.whole for row in covered.coverage)
    assert sum(row.received for row in covered.coverage if row.table == "vm") == machines
    assert Counter(request.status for request in log)[429] == 0

    kql = {table.graph.kql: table.name for table in catalogue.tables() if table.graph}
    queries = Counter(kql[request.body["query"]] for request in log if re.search("ResourceGraph", request.path))
    rows = Counter[str]()
    for row in covered.coverage:
        rows[row.table] += row.received
    for table, asked in queries.items():
        assert asked <= math.ceil(rows[table] / 1000) + 1, table

    assert hurried.slept <= 1.1 * bound(queries.total(), quota) + 1


def test_in_real_time_too(tmp_path: Path) -> None:
    quota = Quota()
    log, covered = collected(6_000, tmp_path, quota)
    assert all(row.state.whole for row in covered.coverage)
    sent = [request.at for request in log if "ResourceGraph" in request.path]
    assert Counter(request.status for request in log)[429] == 0
    # Of a few windows, the computing between the last queries is a part too.
    # Four seconds for what a busy machine does beside waiting; the bound itself is ten.
    assert max(sent) - min(sent) <= 1.1 * bound(len(sent), quota) + 4
