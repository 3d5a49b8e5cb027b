"""Each fault does what its name says, and nothing else."""

from __future__ import annotations

import json
import time
from dataclasses import fields
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import Any

import pytest

from auditor.simulator import Estate, Faults, Quota, Simulator
from tests.simulator.wire import AS_OF, ITEMS, MACHINES, ask, get, item, pages, send, small, vault

VAULTS = "resources | where type =~ 'microsoft.recoveryservices/vaults' | project id, name | order by id asc"


def faulty(count: int = 3, **faults: Any) -> Simulator:
    return Simulator(Estate.from_dict(small(count), AS_OF), quota=None, page_size=20, faults=Faults(**faults))


def test_a_denied_subscription_is_invisible_and_forbidden() -> None:
    with faulty(denied_subscriptions=frozenset({"b"})) as simulator:
        assert {row["displayName"] for row in get(simulator, "/subscriptions").body["value"]} == {"Sub A", "c"}
        assert ask(simulator, ITEMS).body["totalRecords"] == 0
        refused = get(simulator, vault(simulator))
        assert (refused.status, refused.code) == (403, "AuthorizationFailed")


def test_a_denied_vault_is_forbidden_and_its_rows_are_gone() -> None:
    with faulty(denied_vaults=frozenset({"RSV-1"})) as simulator:
        assert [row["name"] for row in ask(simulator, VAULTS).body["data"]] == ["rsv-2"]
        assert ask(simulator, ITEMS).body["totalRecords"] == 1
        for path in (
            "", "/backupProtectedItems", "/backupPolicies", "/backupJobs", "/backupJobs/x", "/backupconfig/vaultconfig",
            "/backupstorageconfig/vaultstorageconfig", "/backupResourceGuardProxies", "/usages",
            "/backupUsageSummaries",
            "/backupEncryptionConfigs/backupResourceEncryptionConfig",
            "/providers/Microsoft.Insights/diagnosticSettings",
        ):  # fmt: skip
            assert get(simulator, vault(simulator) + path).status == 403
        assert get(simulator, vault(simulator, "rsv-2")).status == 200


def test_a_vault_can_be_denied_by_rest_only() -> None:
    with faulty(rest_denied_vaults=frozenset({"rsv-1"})) as simulator:
        assert ask(simulator, ITEMS).body["totalRecords"] == 4
        identifier = ask(simulator, ITEMS).body["data"][0]["id"]
        refused = get(simulator, f"{identifier}/recoveryPoints")
        assert refused.status == 403
        action = (
            "Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems/recoveryPoints/read"
        )
        assert action in refused.body["error"]["message"]


@pytest.mark.parametrize("promised", [None, 1])
def test_a_storm_of_429_passes(promised: float | None) -> None:
    with faulty(arg_429=2, rest_429=1, retry_after=promised) as simulator:
        replies = [ask(simulator, MACHINES) for _ in range(3)]
        assert [reply.status for reply in replies] == [429, 429, 200]
        assert replies[0].code == "RateLimiting"
        assert replies[0].headers["x-ms-user-quota-remaining"] == "0"
        assert ("retry-after" in replies[0].headers) is (promised is not None)
        first = get(simulator, vault(simulator))
        assert (first.status, first.code) == (429, "SubscriptionRequestsThrottled")
        assert get(simulator, vault(simulator)).status == 200


def test_permanent_429_never_ends() -> None:
    with faulty(arg_429_always=True) as simulator:
        assert {ask(simulator, MACHINES).status for _ in range(5)} == {429}
        assert get(simulator, vault(simulator)).status == 200
    with faulty(rest_429_always=True) as simulator:
        assert {get(simulator, vault(simulator)).status for _ in range(5)} == {429}
        assert ask(simulator, MACHINES).status == 200


def test_a_burst_of_5xx_passes() -> None:
    with faulty(arg_5xx=1, rest_5xx=1, status_5xx=502) as simulator:
        assert [ask(simulator, MACHINES).status for _ in range(2)] == [502, 200]
        assert [get(simulator, vault(simulator)).status for _ in range(2)] == [502, 200]


def test_the_nth_matching_request_is_reset() -> None:
    with faulty(reset_requests=frozenset({2}), where="recoveryPoints") as simulator:
        path = f"{item(simulator)}/recoveryPoints"
        assert get(simulator, path).status == 200
        with pytest.raises((ConnectionError, HTTPException)):
            get(simulator, path)
        assert get(simulator, path).status == 200
        assert [request.status for request in simulator.requests(path="recoveryPoints")] == [200, 0, 200]


def test_a_body_can_end_in_the_middle() -> None:
    with faulty(truncated_requests=frozenset({1}), where="recoveryservicesresources") as simulator:
        assert ask(simulator, MACHINES).status == 200
        broken = ask(simulator, ITEMS)
        with pytest.raises(json.JSONDecodeError):
            broken.body  # noqa: B018 - reading it is the test
        assert ask(simulator, ITEMS).body["count"] == 4


def test_a_token_can_expire_in_mid_run() -> None:
    with faulty(unauthorized_requests=frozenset({2})) as simulator:
        assert [ask(simulator, MACHINES).status for _ in range(3)] == [200, 401, 200]


def test_a_row_can_be_lost_on_a_page() -> None:
    with faulty(25, lost_row_on_page=2) as simulator:
        bodies = pages(simulator, MACHINES, top=10)
        assert [body["count"] for body in bodies] == [10, 9, 7]
        assert {body["totalRecords"] for body in bodies} == {27}


def test_a_row_can_be_on_two_pages() -> None:
    with faulty(25, duplicate_row_on_page=2) as simulator:
        ids = [row["id"] for body in pages(simulator, MACHINES, top=10) for row in body["data"]]
        assert (len(ids), len(set(ids))) == (27, 26)


def test_paging_can_break_off_without_a_token() -> None:
    with faulty(25, truncated_without_token=True) as simulator:
        body = ask(simulator, MACHINES, top=10).body
        assert (body["resultTruncated"], body["count"], body["totalRecords"]) == ("true", 10, 27)
        assert "$skipToken" not in body
        assert ask(simulator, MACHINES).body["resultTruncated"] == "false"


def test_a_table_can_be_empty_although_vaults_exist() -> None:
    with faulty(empty_tables=frozenset({"recoveryservicesresources"})) as simulator:
        assert ask(simulator, ITEMS).body["totalRecords"] == 0
        assert ask(simulator, VAULTS).body["totalRecords"] == 2


def test_pages_above_a_size_can_be_too_large() -> None:
    with faulty(25, payload_too_large_above=10) as simulator:
        refused = ask(simulator, MACHINES)
        assert (refused.status, refused.details) == (400, ["ResponsePayloadTooLarge"])
        assert sum(body["count"] for body in pages(simulator, MACHINES, top=10)) == 27


def test_answers_can_be_slow() -> None:
    with faulty(delay=0.15) as simulator:
        started = time.monotonic()
        ask(simulator, MACHINES)
        assert time.monotonic() - started >= 0.15


def test_next_links_can_go_round_for_ever() -> None:
    with faulty(endless_next_link=True) as simulator:
        reply = get(simulator, f"{vault(simulator)}/backupProtectedItems")
        for _ in range(5):
            reply = send(simulator, "GET", reply.body["nextLink"])
            assert reply.body["value"]


def test_paths_can_be_denied_one_by_one() -> None:
    with faulty(denied_paths=frozenset({r"GET .*/backupconfig/", r"/policyStates/"})) as simulator:
        refused = get(simulator, f"{vault(simulator)}/backupconfig/vaultconfig")
        assert (refused.status, refused.code) == (403, "AuthorizationFailed")
        assert "'Microsoft.RecoveryServices/vaults/backupconfig/read'" in refused.body["error"]["message"]
        path = f"/subscriptions/{simulator.estate.subscription_id('a')}/providers/Microsoft.PolicyInsights/policyStates"
        refused = send(simulator, "POST", f"{path}/latest/queryResults?api-version=2019-10-01")
        assert "'Microsoft.PolicyInsights/policyStates/queryResults/action'" in refused.body["error"]["message"]
        assert get(simulator, vault(simulator)).status == 200
    with faulty(denied_paths=frozenset({"ResourceGraph"})) as simulator:
        refused = ask(simulator, MACHINES)
        assert (refused.status, refused.code, refused.details) == (403, "Forbidden", ["AccessDenied"])


def test_paths_can_be_absent() -> None:
    with faulty(absent_paths=frozenset({r"/backupstorageconfig/"})) as simulator:
        missing = get(simulator, f"{vault(simulator)}/backupstorageconfig/vaultstorageconfig")
        assert (missing.status, missing.code) == (404, "ResourceNotFound")
        assert get(simulator, f"{vault(simulator)}/backupconfig/vaultconfig").status == 200


def named(simulator: Simulator, kind: str) -> set[str]:
    """Names of a compute kind in subscription `a`, by REST."""
    path = f"/subscriptions/{simulator.estate.subscription_id('a')}/providers/Microsoft.Compute/{kind}"
    return {row["name"] for row in get(simulator, path).body["value"]}


def test_resource_graph_can_lag_behind() -> None:
    with faulty(graph_lag=frozenset({"VM0001", "rsv-2"})) as simulator:
        shown = {row["name"] for row in ask(simulator, MACHINES).body["data"]}
        assert named(simulator, "virtualMachines") - shown == {"vm0001"}
        assert [row["name"] for row in ask(simulator, VAULTS).body["data"]] == ["rsv-1"]
        assert get(simulator, vault(simulator, "rsv-2")).status == 200


def test_resource_graph_can_show_what_is_gone() -> None:
    with faulty(graph_ghosts=frozenset({"vm0001", "vm0002", "rsv-2"})) as simulator:
        shown = {row["name"] for row in ask(simulator, MACHINES).body["data"]}
        assert shown - named(simulator, "virtualMachines") == {"vm0001", "vm0002", "bare", "second"}
        # Items go by their friendly names: these two are gone as well.
        items = {row["id"].rpartition(";")[2]: row["id"] for row in ask(simulator, ITEMS).body["data"]}
        listed = get(simulator, f"{vault(simulator)}/backupProtectedItems").body["value"]
        assert [entry["properties"]["friendlyName"] for entry in listed] == ["vm0003"]
        for path in (items["vm0001"], f"{items['vm0001']}/recoveryPoints"):
            assert get(simulator, path).code == "BMSUserErrorObjectNotFound"
        assert get(simulator, vault(simulator, "rsv-2")).code == "ResourceNotFound"
        assert len(ask(simulator, VAULTS).body["data"]) == 2


def test_azures_clock_can_be_wrong() -> None:
    for offset in (-3600, 0, 90):
        with faulty(clock_offset=offset) as simulator:
            told = parsedate_to_datetime(ask(simulator, MACHINES).headers["date"])
            assert abs((told - datetime.now(UTC)).total_seconds() - offset) < 5


def test_properties_can_be_missing_everywhere() -> None:
    missing = {"properties.lastRecoveryPoint", "properties.storageProfile.osDisk.name", "tags",
               "properties.recoveryPointTierDetails.status"}  # fmt: skip
    with faulty(missing_properties=frozenset(missing)) as simulator:
        for row in ask(simulator, ITEMS).body["data"]:
            assert "lastRecoveryPoint" not in row["properties"]
            assert "lastBackupTime" in row["properties"]
        identifier = item(simulator)
        listed = get(simulator, f"{vault(simulator)}/backupProtectedItems").body["value"]
        for reply in (get(simulator, identifier).body, *listed):
            assert "lastRecoveryPoint" not in reply["properties"]
        point = get(simulator, f"{identifier}/recoveryPoints").body["value"][0]["properties"]
        (tier, *_) = point["recoveryPointTierDetails"]
        assert tier.keys() == {"type"}
        machine = ask(simulator, f"{MACHINES} | take 1").body["data"][0]["properties"]["storageProfile"]
        assert "name" not in machine["osDisk"]
        assert "osType" in machine["osDisk"]
        containers = ask(simulator, "resourcecontainers | project id, tags").body["data"]
        assert {row["tags"] for row in containers} == {None}


def test_a_storm_ends_by_the_clock() -> None:
    now = [1000.0]
    quota = Quota(queries=100, clock=lambda: now[0])
    estate = Estate.from_dict(small(), AS_OF)
    with Simulator(estate, quota=quota, faults=Faults(storm_seconds=30)) as simulator:
        assert {ask(simulator, MACHINES).status, get(simulator, vault(simulator)).status} == {429}
        now[0] += 29
        assert ask(simulator, MACHINES).status == 429
        now[0] += 1
        assert {ask(simulator, MACHINES).status, get(simulator, vault(simulator)).status} == {200}
        assert [request.at for request in simulator.log] == [1000, 1000, 1029, 1030, 1030]


def test_random_faults_can_be_pasted_from_what_is_printed() -> None:
    names = {"subscriptions": ["a", "b"], "vaults": ["rsv-1"], "names": ["vm0001"]}
    drawn = [Faults.random(seed, **names) for seed in range(300)]
    for seed, faults in enumerate(drawn):
        assert eval(repr(faults)) == faults == Faults.random(seed, **names)  # noqa: S307 - our own text
        assert faults != Faults()
    used = {field.name for field in fields(Faults) for faults in drawn if getattr(faults, field.name) != field.default}
    # What never ends, and what only slows down, is for tests of its own.
    left_out = {"arg_429_always", "rest_429_always", "endless_next_link", "delay", "storm_seconds"}
    assert used == {field.name for field in fields(Faults)} - left_out
    assert repr(Faults()) == "Faults()"


def test_random_faults_are_of_the_whole_estate_unless_names_are_given() -> None:
    named_only = ("denied_subscriptions", "denied_vaults", "rest_denied_vaults", "graph_lag", "graph_ghosts")
    for seed in range(100):
        faults = Faults.random(seed)
        assert not any(getattr(faults, name) for name in named_only)
