"""Each fault does what its name says, and nothing else."""

from __future__ import annotations

import json
import time
from http.client import HTTPException
from typing import Any

import pytest

from auditor.simulator import Estate, Faults, Simulator
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
        for path in ("", "/backupProtectedItems", "/backupPolicies", "/backupJobs", "/backupconfig/vaultconfig"):
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
