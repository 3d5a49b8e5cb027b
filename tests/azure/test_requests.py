"""What goes over the wire: documented shapes only, as few requests as pages, and never faster than the quota."""

from __future__ import annotations

import asyncio
import math
import os
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from auditor import bundle
from auditor.azure import AzureReader, cloud
from auditor.collect import Scope, collect
from auditor.inventory import catalogue
from auditor.simulator import Estate, Faults, Simulator
from auditor.simulator.quota import Quota
from tests.audits import AS_OF, TOKEN, Audited
from tests.azure.runs import faulty, hurried

if TYPE_CHECKING:
    from pathlib import Path

    from auditor.azure.pacing import Patience
    from auditor.bundle import Covered
    from auditor.simulator.server import Request

pytestmark = pytest.mark.slow

GRAPH = "/providers/Microsoft.ResourceGraph/resources"
SUBSCRIPTION = r"/subscriptions/[^/]+"
VAULT = rf"{SUBSCRIPTION}/resourceGroups/[^/]+/providers/Microsoft\.RecoveryServices/vaults/[^/]+"
ITEM = rf"{VAULT}/backupFabrics/Azure/protectionContainers/[^/]+/protectedItems/[^/]+"
BACKUP = "2026-10-01"
READS = {
    r"/subscriptions": "2022-12-01",
    rf"{SUBSCRIPTION}/providers/Microsoft\.Compute/virtualMachines": "2024-11-01",
    rf"{SUBSCRIPTION}/providers/Microsoft\.Compute/(?:disks|snapshots)": "2023-10-02",
    rf"{SUBSCRIPTION}/providers/Microsoft\.RecoveryServices/vaults": "2025-02-01",
    rf"{SUBSCRIPTION}/resourceGroups/[^/]+/providers/Microsoft\.Compute/restorePointCollections/[^/]+": "2024-03-01",
    rf"{VAULT}/backup(?:ProtectedItems|Jobs|ResourceGuardProxies)": BACKUP,
    rf"{VAULT}/backup(?:config/vaultconfig|storageconfig/vaultstorageconfig)": BACKUP,
    rf"{VAULT}/providers/Microsoft\.Insights/diagnosticSettings": "2021-05-01-preview",
    rf"{ITEM}/recoveryPoints": BACKUP,
    r"(?:/providers/Microsoft\.Management/managementGroups/[^/]+|/subscriptions/[^/]+)?"
    r"/providers/Microsoft\.Authorization/policySetDefinitions/[^/]+": "2023-04-01",
    r"/providers/Microsoft\.Management/managementGroups/[^/]+/descendants": "2020-05-01",
}
"""Every path that is read, with the version of its API, as Microsoft documents them."""
STATES = rf"{SUBSCRIPTION}/providers/Microsoft\.PolicyInsights/policyStates/latest/queryResults"


def collected(
    estate: Estate, store: Path, *, quota: Quota | None, patience: Patience | None = None, **faults: Any
) -> tuple[list[Request], Covered]:
    """Collect only: what was asked, and what was covered."""
    os.environ["AUDITOR_TOKEN"] = TOKEN
    with Simulator(estate, token=TOKEN, quota=quota, faults=Faults(**faults)) as azure:

        async def run() -> Covered:
            draft = bundle.create(store, AS_OF)
            try:
                async with AzureReader(cloud(arm_endpoint=azure.url), patience=patience) as reader:
                    return await collect(reader, Scope(), draft)
            finally:
                draft.abandon()

        covered = asyncio.run(run())
        return list(azure.log), covered


def machines(count: int, groups: int = 1) -> Estate:
    return Estate.from_dict(
        {
            "estate": "many",
            "jobs_days": 0,
            "subscriptions": {f"s{n}": {} for n in range(groups)},
            "vms": [{"count": count, "name": "vm{n:04d}", "in": "s0/rg", "disks": []}] if count else [],
        },
        AS_OF,
    )


def tables(log: list[Request]) -> Counter[str]:
    """Count the queries of each table by its question."""
    names = {table.graph.kql: table.name for table in catalogue.tables() if table.graph}
    return Counter(names[request.body["query"]] for request in log if request.path == GRAPH)


@pytest.mark.parametrize("count", [0, 1000, 1001, 2500])
def test_rows_come_in_as_few_pages_as_there_can_be(count: int, tmp_path: Path) -> None:
    log, covered = collected(machines(count), tmp_path, quota=None, patience=hurried())
    asked = tables(log)
    assert asked["vm"] == max(math.ceil(count / 1000), 1)
    assert max(asked[name] for name in asked if name not in ("vm", "disk")) == 1
    (row,) = (row for row in covered.coverage if row.table == "vm")
    assert (row.state.value, row.received) == ("complete", count)


def test_subscriptions_are_asked_in_groups(tmp_path: Path) -> None:
    log, covered = collected(machines(1, groups=301), tmp_path, quota=None, patience=hurried())
    assert tables(log)["vm"] == tables(log)["vault"] == 2
    assert {len(r.body["subscriptions"]) for r in log if "subscriptions" in (r.body or ())} == {300, 1}
    assert sum(row.table == "vm" for row in covered.coverage) == 301


@pytest.mark.parametrize(
    ("queries", "retry_after"),
    [(3, False), (15, True), (1, False)],
)
def test_no_429_is_provoked_while_the_quota_is_on(queries: int, *, retry_after: bool, tmp_path: Path) -> None:
    quota = Quota(queries=queries, window=1.0 if queries < 15 else 5.0, retry_after=retry_after)
    log, covered = collected(machines(2500 if queries == 15 else 3, groups=302), tmp_path, quota=quota)
    assert {request.status for request in log} == {200}
    assert all(row.state.whole for row in covered.coverage)


def test_only_reads_in_documented_shapes_are_sent(flawless: Audited) -> None:
    assert {request.method for request in flawless.log} == {"GET", "POST"}
    for request in flawless.log:
        if request.path == GRAPH:
            options = request.body["options"]
            inherited = options.get("authorizationScopeFilter")
            assert (request.method, inherited) in (("POST", None), ("POST", "AtScopeAboveAndBelow"))
            assert request.query == {"api-version": "2022-10-01" if inherited else "2021-03-01"}
            assert request.body.keys() <= {"query", "subscriptions", "options"}
            known = {"$top", "$skipToken", "resultFormat", "allowPartialScopes", "authorizationScopeFilter"}
            assert options.keys() <= known
            assert options["resultFormat"] == "objectArray"
            assert 1 <= options["$top"] <= 1000
            assert request.body["query"].rstrip().endswith("| order by id asc")
        elif request.method == "POST":
            assert re.fullmatch(STATES, request.path, re.IGNORECASE), request.path
            assert request.query.keys() <= {"api-version", "$filter", "$skiptoken"}
            assert request.body is None
        else:
            (version,) = {api for path, api in READS.items() if re.fullmatch(path, request.path, re.IGNORECASE)}
            assert request.query["api-version"] == version, request.path
            assert request.query.keys() <= {"api-version", "$filter", "$expand", "$skipToken"}
            assert request.body is None


def test_the_shapes_stay_the_same_when_all_goes_wrong(mixed: Estate, tmp_path: Path) -> None:
    made = faulty(
        mixed,
        tmp_path,
        rest_429=5,
        arg_429=3,
        unauthorized_requests=frozenset({9}),
        reset_requests=frozenset({12}),
        rest_denied_vaults=frozenset({"rsv-b"}),
        payload_too_large_above=4,
    )
    test_only_reads_in_documented_shapes_are_sent(made)


def test_a_page_repeats_query_and_scope_with_its_token(mixed: Estate, tmp_path: Path) -> None:
    log, _ = collected(mixed, tmp_path, quota=None, patience=hurried(), payload_too_large_above=4)
    machines_ = [r.body for r in log if r.path == GRAPH and r.status == 200 and "virtualmachines'" in r.body["query"]]
    assert len(machines_) > 3
    assert len({(body["query"], *body["subscriptions"]) for body in machines_}) == 1
    tokens = [body["options"].get("$skipToken") for body in machines_]
    assert tokens[0] is None
    assert len(set(tokens)) == len(tokens)


def test_the_vaults_lists_are_paged_by_their_links(tmp_path: Path) -> None:
    document = {
        "estate": "paged",
        "jobs_days": 0,
        "subscriptions": {"a": {}},
        "vaults": {"a/rg/rsv": {}},
        "policies": {"p": {"daily": "22:00", "keep": {"daily": "3 Days"}}},
        "vms": [
            {
                "count": 450,
                "name": "v{n}",
                "in": "a/rg",
                "disks": [],
                "backup": {"vault": "rsv", "policy": "p", "points": {"empty": True}},
            }
        ],
    }
    log, covered = collected(Estate.from_dict(document, AS_OF), tmp_path, quota=None, patience=hurried())
    assert sum(request.path.endswith("/backupProtectedItems") for request in log) == 3
    assert sum(request.path.endswith("/recoveryPoints") for request in log) == 450
    assert all(row.state.whole for row in covered.coverage)
