"""Resource Graph's manners: pages, scopes, refusals, quota."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from auditor.simulator import Estate, Faults, Quota, Simulator
from tests.simulator.wire import AS_OF, GRAPH, ITEMS, MACHINES, ask, pages, send, small

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def large() -> Iterator[Simulator]:
    with Simulator(Estate.from_dict(small(2500), AS_OF), quota=None) as simulator:
        yield simulator


def exactly(count: int) -> str:
    """A query for so many of the machines, in order of their ids, that still pages."""
    return (
        "resources | where type =~ 'microsoft.compute/virtualmachines' and name startswith 'vm' "
        f"| where toint(substring(name, 2)) <= {count} | project id, name | order by id asc"
    )


@pytest.mark.parametrize(("count", "expected"), [(1000, [1000]), (1001, [1000, 1]), (2500, [1000, 1000, 500])])
def test_every_row_is_on_one_page_and_only_the_last_page_has_no_token(
    large: Simulator, count: int, expected: list[int]
) -> None:
    bodies = pages(large, exactly(count))
    assert [body["count"] for body in bodies] == expected
    assert {body["totalRecords"] for body in bodies} == {count}
    assert {body["resultTruncated"] for body in bodies} == {"false"}
    ids = [row["id"].lower() for body in bodies for row in body["data"]]
    assert len(set(ids)) == count


def test_the_page_size_is_what_top_says(large: Simulator) -> None:
    assert [body["count"] for body in pages(large, exactly(1001), top=400)] == [400, 400, 201]


def test_skip_overrides_the_offset(large: Simulator) -> None:
    body = ask(large, exactly(1001), skip=1000).body
    assert [row["name"] for row in body["data"]] == ["vm1001"]
    assert "$skipToken" not in body


def test_without_an_id_column_there_is_no_token_and_the_rest_is_lost(large: Simulator) -> None:
    body = ask(large, MACHINES.replace("project id, name", "project name").replace("by id", "by name")).body
    assert (body["count"], body["totalRecords"]) == (1000, 2502)
    assert body["resultTruncated"] == "true"
    assert "$skipToken" not in body


def test_limit_is_the_paging(large: Simulator) -> None:
    body = ask(large, f"{MACHINES} | limit 1500").body
    assert (body["count"], body["totalRecords"], body["resultTruncated"]) == (1000, 1500, "true")
    assert "$skipToken" not in body
    few = ask(large, f"{MACHINES} | take 3").body
    assert (few["count"], few["totalRecords"], few["resultTruncated"]) == (3, 3, "false")


def test_without_order_by_each_call_gives_another_order(large: Simulator) -> None:
    query = "resources | project id"
    first, second = (ask(large, query).body["data"] for _ in range(2))
    assert first != second


def test_a_token_goes_with_its_own_query_only(large: Simulator) -> None:
    token = ask(large, exactly(2500)).body["$skipToken"]
    assert ask(large, exactly(1001), skipToken=token).details == ["InvalidSkipToken"]
    assert ask(large, exactly(2500), skipToken="nonsense").status == 400


def test_a_page_over_sixteen_mebibytes_is_refused_and_a_smaller_one_is_not() -> None:
    estate = Estate.from_dict(small(300), AS_OF)
    with Simulator(estate, quota=None, payload_limit=200_000) as simulator:
        refused = ask(simulator, MACHINES)
        assert (refused.status, refused.code, refused.details) == (400, "BadRequest", ["ResponsePayloadTooLarge"])
        assert sum(body["count"] for body in pages(simulator, MACHINES, top=50)) == 302


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("nowhere | project id", "DisallowedLogicalTableName"),
        ("resources | evaluate bag_unpack(tags)", "ParserFailure"),
        ("resources | serialize | project id", "ParserFailure"),
        ("let x = 1; resources | project id", "ParserFailure"),
        ("resources | where", "ParserFailure"),
        ("resources | join kind=leftanti (resources | project id) on id", "UnsupportedJoinFlavor"),
        ("resources | project ID", "InvalidQuery"),
        ("resources | project resourcegroup", "InvalidQuery"),
        ("resources | project nonsense", "InvalidQuery"),
        ("resources " + "| join kind=inner (resources | project id) on id " * 4, "DisallowedMaxNumberOfRemoteTables"),
    ],
)
def test_what_resource_graph_does_not_know_is_a_400_with_details(simulator: Simulator, query: str, code: str) -> None:
    reply = ask(simulator, query)
    assert (reply.status, reply.code) == (400, "BadRequest")
    assert reply.details[-1] == code


@pytest.mark.parametrize("kind", ["innerunique", "inner", "leftouter", "fullouter"])
def test_the_four_joins_work(simulator: Simulator, kind: str) -> None:
    query = (
        f"Resources | where type =~ 'microsoft.compute/virtualmachines' | join kind={kind} (ResourceContainers "
        "| where type =~ 'microsoft.resources/subscriptions' | project subscriptionId, subscription=name) "
        "on subscriptionId | project id, subscription | order by id asc"
    )
    body = ask(simulator, query).body
    assert {"Sub A", "Sub B"} <= {row["subscription"] for row in body["data"]}


def test_the_column_kind_and_the_kind_of_a_join_are_told_apart(simulator: Simulator) -> None:
    query = "resources | join kind=inner (resources | project id) on id | where kind == '' | project id, kind"
    assert {row["kind"] for row in ask(simulator, query).body["data"]} == {""}


def test_an_operator_named_in_a_text_or_a_comment_is_none(simulator: Simulator) -> None:
    assert ask(simulator, "resources // | evaluate\n| where name != 'a | serialize' | project id").status == 200


def test_values_keep_their_types(simulator: Simulator) -> None:
    query = (
        "resources | where type =~ 'microsoft.compute/disks' | extend size=properties.diskSizeGB, "
        "born=todatetime(properties.timeCreated), far=isnotempty(managedBy) "
        "| project id, size, born, far, sku, plan, kind, tags | order by id asc"
    )
    row = ask(simulator, query).body["data"][0]
    assert isinstance(row["size"], int)
    assert row["born"].endswith("Z")
    assert row["far"] is True
    assert isinstance(row["sku"], dict)
    assert (row["plan"], row["kind"], row["tags"]) == (None, "", None)


def test_the_table_form_has_columns_and_rows(simulator: Simulator) -> None:
    data = ask(simulator, "resources | project id, properties | order by id asc", resultFormat="table").body["data"]
    assert data["columns"] == [{"name": "id", "type": "string"}, {"name": "properties", "type": "object"}]
    assert all(isinstance(row[1], dict) for row in data["rows"])


def identity(simulator: Simulator, key: str) -> str:
    return simulator.estate.subscription_id(key)


def test_a_subscription_scope_shows_its_own_rows(simulator: Simulator) -> None:
    body = ask(simulator, MACHINES, scope={"subscriptions": [identity(simulator, "c").upper()]}).body
    assert [row["name"] for row in body["data"]] == ["bare"]


def test_a_management_group_scope_reaches_down_but_not_up(simulator: Simulator) -> None:
    assert ask(simulator, MACHINES, scope={"managementGroups": ["MG-A"]}).body["count"] == 4
    assert ask(simulator, MACHINES, scope={"managementGroups": ["mg-b"]}).body["count"] == 1
    groups = "resourcecontainers | where type =~ 'microsoft.management/managementgroups' | project id, name"
    body = ask(simulator, groups, scope={"managementGroups": ["mg-b"]}).body
    assert [row["name"] for row in body["data"]] == ["mg-b"]


def test_no_scope_is_the_whole_tenant(simulator: Simulator) -> None:
    assert ask(simulator, MACHINES).body["count"] == 5


def test_both_scopes_at_once_are_refused(simulator: Simulator) -> None:
    scope = {"subscriptions": [identity(simulator, "a")], "managementGroups": ["mg-a"]}
    assert ask(simulator, MACHINES, scope=scope).status == 400


def test_assignments_of_groups_above_need_the_scope_filter(simulator: Simulator) -> None:
    query = "policyresources | where type =~ 'microsoft.authorization/policyassignments' | project id, name"
    scope = {"subscriptions": [identity(simulator, "a")]}
    assert ask(simulator, query, scope=scope).body["count"] == 0
    seen = ask(simulator, query, scope=scope, authorizationScopeFilter="AtScopeAboveAndBelow")
    assert seen.body["count"] == 1


def test_an_unreadable_subscription_is_dropped_without_a_word_unless_nothing_is_left() -> None:
    estate = Estate.from_dict(small(), AS_OF)
    both = {"subscriptions": [estate.subscription_id("a"), estate.subscription_id("c")]}
    alone = {"subscriptions": [estate.subscription_id("c")]}
    with Simulator(estate, quota=None, faults=Faults(denied_subscriptions=frozenset({"c"}))) as simulator:
        assert ask(simulator, MACHINES, scope=both).body["count"] == 3
        assert ask(simulator, MACHINES).body["count"] == 4
        refused = ask(simulator, MACHINES, scope=alone)
        assert (refused.status, refused.code) == (403, "Forbidden")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"query": "resources", "options": {"$top": 1001}}, 400),
        ({"query": "resources", "options": {"$top": 0}}, 400),
        ({"query": "resources", "options": {"resultFormat": "csv"}}, 400),
        ({"query": "resources | project id"}, 200),
    ],
)
def test_the_request_has_to_have_the_documented_form(simulator: Simulator, body: Any, status: int) -> None:
    assert send(simulator, "POST", GRAPH, body).status == status


def test_a_body_that_is_not_called_json_is_an_internal_error(simulator: Simulator) -> None:
    reply = send(simulator, "POST", GRAPH, {"query": "resources | project id"}, content_type="text/plain")
    assert reply.status == 500


def test_the_window_can_run_on_another_clock() -> None:
    now = [5.0]
    quota = Quota(queries=2, window=5, clock=lambda: now[0])
    with Simulator(Estate.from_dict(small(), AS_OF), quota=quota) as simulator:
        assert [ask(simulator, "resources | project id").status for _ in range(3)] == [200, 200, 429]
        now[0] += 4.9
        assert ask(simulator, "resources | project id").status == 429
        now[0] += 0.1
        replies = [ask(simulator, "resources | project id") for _ in range(3)]
        assert [reply.status for reply in replies] == [200, 200, 429]
        assert replies[2].headers["x-ms-user-quota-resets-after"] == "00:00:05"


@pytest.mark.parametrize("promised", [True, False])
def test_the_window_of_queries_is_counted_down_and_then_throttles(promised: bool) -> None:
    quota = Quota(queries=3, window=0.4, retry_after=promised)
    with Simulator(Estate.from_dict(small(), AS_OF), quota=quota) as simulator:
        replies = [ask(simulator, "resources | project id") for _ in range(4)]
        assert [reply.status for reply in replies] == [200, 200, 200, 429]
        assert [reply.headers["x-ms-user-quota-remaining"] for reply in replies] == ["2", "1", "0", "0"]
        assert {reply.headers["x-ms-user-quota-resets-after"] for reply in replies} == {"00:00:01"}
        assert (replies[-1].code, replies[-1].details) == ("RateLimiting", ["RateLimiting"])
        assert ("retry-after" in replies[-1].headers) is promised
        time.sleep(0.45)
        assert ask(simulator, "resources | project id").status == 200


def test_the_whole_tenant_shows_items_wherever_their_vault_is(simulator: Simulator) -> None:
    rows = ask(simulator, ITEMS).body["data"]
    assert len(rows) == 4
    assert {row["properties"]["backupManagementType"] for row in rows} == {"AzureIaasVM"}
