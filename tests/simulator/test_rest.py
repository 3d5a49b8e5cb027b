"""The management API's manners: routes, filters, pages, errors, headers."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from auditor.simulator import Estate, Simulator
from tests.simulator.wire import AS_OF, GRAPH, Reply, everything, get, item, send, small, vault

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def paged() -> Iterator[Simulator]:
    with Simulator(Estate.from_dict(small(5), AS_OF), quota=None, page_size=2) as simulator:
        yield simulator


def test_the_subscription_list_names_them_all(simulator: Simulator) -> None:
    found = {row["displayName"] for row in everything(simulator, "/subscriptions")}
    assert found == {"Sub A", "Sub B", "c"}
    one = get(simulator, f"/subscriptions/{simulator.estate.subscription_id('a')}")
    assert one.body["displayName"] == "Sub A"


@pytest.mark.parametrize("kind", ["virtualMachines", "disks", "snapshots"])
def test_compute_is_listed_by_subscription(paged: Simulator, kind: str) -> None:
    subscription = paged.estate.subscription_id("a")
    rows = everything(paged, f"/subscriptions/{subscription}/providers/Microsoft.Compute/{kind}")
    assert len(rows) == (0 if kind == "snapshots" else 5)
    assert len({row["id"] for row in rows}) == len(rows)


def test_vaults_are_listed_and_got_whatever_the_case(simulator: Simulator) -> None:
    subscription = simulator.estate.subscription_id("b")
    rows = everything(simulator, f"/subscriptions/{subscription}/providers/microsoft.recoveryservices/Vaults")
    assert [row["name"] for row in rows] == ["rsv-1", "rsv-2"]
    assert get(simulator, vault(simulator).upper()).body == rows[0]


def test_items_page_by_next_link(paged: Simulator) -> None:
    path = f"{vault(paged)}/backupProtectedItems"
    rows = everything(paged, path, filter="backupManagementType eq 'AzureIaasVM' and itemType eq 'VM'")
    assert len({row["id"] for row in rows}) == 5
    assert everything(paged, path, filter="backupManagementType eq 'AzureWorkload'") == []
    assert get(paged, path, filter="colour eq 'red'").status == 400
    assert get(paged, path, filter="this is no filter").status == 400


def test_recovery_points_page_and_semicolons_may_be_encoded(paged: Simulator) -> None:
    identifier = item(paged)
    assert ";" in identifier
    rows = everything(paged, f"{identifier}/recoveryPoints")
    assert len(rows) > 40
    times = [row["properties"]["recoveryPointTime"] for row in rows]
    assert times == sorted(times, reverse=True)
    encoded = send(paged, "GET", f"{quote(identifier, safe='/')}/recoveryPoints?api-version=2026-10-01")
    assert "%3B" in quote(identifier, safe="/")
    assert encoded.body["value"] == rows[:2]
    assert get(paged, f"{identifier}/recoveryPoints/{rows[7]['name']}").body == rows[7]


def test_recovery_points_can_be_asked_for_a_range(simulator: Simulator) -> None:
    chosen = "startDate eq '2026-11-18 12:00:00 AM' and endDate eq '2026-11-20 11:59:59 PM'"
    rows = everything(simulator, f"{item(simulator)}/recoveryPoints", filter=chosen)
    assert [row["properties"]["recoveryPointTime"][:10] for row in rows] == ["2026-11-20", "2026-11-19", "2026-11-18"]


def test_the_last_page_says_so_with_a_null_link(simulator: Simulator) -> None:
    assert get(simulator, f"{item(simulator)}/recoveryPoints").body["nextLink"] is None


def test_extended_info_comes_only_when_it_is_asked_for(simulator: Simulator) -> None:
    identifier = item(simulator)
    assert "extendedInfo" not in get(simulator, identifier).body["properties"]
    info = get(simulator, identifier, filter="expand eq 'extendedinfo'").body["properties"]["extendedInfo"]
    assert info["recoveryPointCount"] == len(everything(simulator, f"{identifier}/recoveryPoints"))


def test_policies_are_listed_by_kind(simulator: Simulator) -> None:
    path = f"{vault(simulator)}/backupPolicies"
    names = {row["name"] for row in everything(simulator, path)}
    assert names == {"DefaultPolicy", "EnhancedPolicy", "HourlyLogBackup", "std"}
    machines = everything(simulator, path, filter="backupManagementType eq 'AzureIaasVM'")
    assert {row["name"] for row in machines} == names - {"HourlyLogBackup"}
    assert {row["name"]: row["properties"]["protectedItemsCount"] for row in machines}["std"] == 3
    assert get(simulator, f"{path}/STD").body["name"] == "std"


def test_jobs_can_be_filtered(company: Simulator) -> None:
    path = next(vault.id for vault in company.estate.vaults.values() if vault.name == "rsv-backup-weu-01")
    failed = everything(company, f"{path}/backupJobs", filter="operation eq 'Backup' and status eq 'Failed'")
    done = everything(company, f"{path}/backupJobs", filter="status eq 'Completed'")
    assert len(done) > len(failed) > 0
    assert all(row["properties"]["errorDetails"] for row in failed)


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("backupconfig/vaultconfig", "softDeleteFeatureState"),
        ("backupstorageconfig/vaultstorageconfig", "storageType"),
    ],
)
def test_a_vault_has_its_configurations(simulator: Simulator, path: str, key: str) -> None:
    assert key in get(simulator, f"{vault(simulator)}/{path}").body["properties"]


def test_a_guarded_vault_has_a_proxy(company: Simulator) -> None:
    counts = {
        vault.name: len(everything(company, f"{vault.id}/backupResourceGuardProxies"))
        for vault in company.estate.vaults.values()
    }
    assert counts["rsv-sap-weu"] == counts["rsv-dev-weu"] == 1
    assert counts["rsv-backup-eus"] == 0


def states(simulator: Simulator, scope: str, query: str = "") -> Reply:
    path = f"{scope}/providers/Microsoft.PolicyInsights/policyStates/latest/queryResults?api-version=2019-10-01{query}"
    return send(simulator, "POST", path)


def test_policy_states_page_by_posting_to_the_link(paged: Simulator) -> None:
    scope = f"/subscriptions/{paged.estate.subscription_id('a')}"
    reply = states(paged, scope)
    rows = list(reply.body["value"])
    while "@odata.nextLink" in reply.body:
        reply = send(paged, "POST", reply.body["@odata.nextLink"])
        rows += reply.body["value"]
    assert {row["complianceState"] for row in rows} == {"Compliant"}
    assert len(rows) == 5
    assert states(paged, "/providers/Microsoft.Management/managementGroups/mg-a").body["@odata.count"] == 2
    assert len(states(paged, scope, "&$top=1").body["value"]) == 1


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/subscriptions/00000000-0000-0000-0000-000000000000", 404, "SubscriptionNotFound"),
        ("GET", "/subscriptions/{b}/resourceGroups/none/providers/Microsoft.RecoveryServices/vaults/x", 404,
         "ResourceGroupNotFound"),
        ("GET", "/subscriptions/{b}/resourceGroups/rg-backup/providers/Microsoft.RecoveryServices/vaults/x", 404,
         "ResourceNotFound"),
        ("GET", "{v}/backupFabrics/Azure/protectionContainers/c/protectedItems/i", 404, "BMSUserErrorObjectNotFound"),
        ("GET", "{v}/backupFabrics/Azure/protectionContainers/c/protectedItems/i/recoveryPoints", 404,
         "BMSUserErrorObjectNotFound"),
        ("GET", "{v}/backupPolicies/none", 404, "BMSUserErrorObjectNotFound"),
        ("GET", "/providers/Microsoft.Nothing/things", 404, "InvalidResourceType"),
        ("PUT", "{v}", 405, "MethodNotAllowed"),
        ("DELETE", "{v}", 405, "MethodNotAllowed"),
        ("PATCH", "/anything", 405, "MethodNotAllowed"),
        ("POST", "/subscriptions/{b}/providers/Microsoft.Compute/register", 404, "InvalidResourceType"),
    ],
)  # fmt: skip
def test_what_is_not_there_or_not_reading_is_refused_and_logged(
    simulator: Simulator, method: str, path: str, status: int, code: str
) -> None:
    target = path.format(b=simulator.estate.subscription_id("b"), v=vault(simulator))
    reply = send(simulator, method, f"{target}?api-version=2026-10-01")
    assert (reply.status, reply.code) == (status, code)
    assert simulator.log[-1].method == method
    assert simulator.log[-1].status == status
    assert simulator.requests(method=method, path=target, status=status)


def test_the_api_version_is_demanded(simulator: Simulator) -> None:
    for method, path in (("GET", "/subscriptions"), ("POST", GRAPH.partition("?")[0])):
        reply = send(simulator, method, path, {"query": "resources"} if method == "POST" else None)
        assert (reply.status, reply.code) == (400, "MissingApiVersionParameter")


@pytest.mark.parametrize(("token", "code"), [(None, "AuthenticationFailed"), ("another", "InvalidAuthenticationToken")])
def test_only_the_token_opens(simulator: Simulator, token: str | None, code: str) -> None:
    reply = send(simulator, "GET", "/subscriptions?api-version=2022-12-01", token=token)
    assert (reply.status, reply.code) == (401, code)
    assert reply.headers["www-authenticate"].startswith("Bearer ")


def test_every_answer_carries_the_headers_that_support_asks_for(simulator: Simulator) -> None:
    wanted = {"x-ms-request-id", "x-ms-correlation-request-id", "date", "x-ms-ratelimit-remaining-subscription-reads"}
    for path in ("/subscriptions?api-version=2022-12-01", "/nowhere?api-version=1", "/subscriptions"):
        assert wanted <= send(simulator, "GET", path).headers.keys()


def test_the_log_tells_graph_queries_by_table(simulator: Simulator) -> None:
    before = len(simulator.graph_requests("resourcecontainers"))
    send(simulator, "POST", GRAPH, {"query": "// all\nresources | project id"})
    assert simulator.graph_requests("resources")[-1].body == {"query": "// all\nresources | project id"}
    send(simulator, "POST", GRAPH, {"query": "ResourceContainers | project id"})
    assert len(simulator.graph_requests("resourcecontainers")) == before + 1
    logged = simulator.log[-1]
    assert logged.body == {"query": "ResourceContainers | project id"}
    assert logged.query == {"api-version": "2021-03-01"}
