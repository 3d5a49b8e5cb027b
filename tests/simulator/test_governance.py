"""Azure Policy and role assignments: scopes, what is inherited, what exempts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from auditor.simulator import Estate, Simulator
from auditor.simulator.policy import BACKUP_CHECK, BENCHMARK, BENCHMARK_REFERENCE
from tests.simulator.wire import AS_OF, ask, get, small

if TYPE_CHECKING:
    from collections.abc import Iterator

ASSIGNMENTS = "policyresources | where type =~ 'microsoft.authorization/policyassignments' | project id, name"
ROLES = "authorizationresources | where type =~ 'microsoft.authorization/roleassignments' | project id, properties"
STATES = "policyresources | where type =~ 'microsoft.policyinsights/policystates' | project id, properties"


def governed(**more: Any) -> dict[str, Any]:
    """Make subscriptions under two levels of management groups, with something assigned at every level."""
    return small() | {
        "subscriptions": {"a": {"group": "mg-b"}, "b": {"group": "mg-a"}, "c": {}},
        "policy_assignments": [
            {"name": "at-root"},
            {"name": "at-a", "scope": "mg-a"},
            {"name": "at-b", "scope": "mg-b"},
            {"name": "at-subscription", "scope": "a"},
            {"name": "at-group", "scope": "a/rg-app"},
            {"name": "elsewhere", "scope": "c"},
        ],
        "role_assignments": [
            {"scope": "mg-a", "role": "Reader"},
            {"scope": "a", "role": "Contributor", "kind": "ServicePrincipal"},
            {"scope": "vault:rsv-1", "role": "Owner"},
        ],
        **more,
    }


@pytest.fixture(scope="module")
def served() -> Iterator[Simulator]:
    with Simulator(Estate.from_dict(governed(), AS_OF), quota=None) as simulator:
        yield simulator


def seen(simulator: Simulator, scope: dict[str, Any], **options: str) -> set[str]:
    body = ask(simulator, ASSIGNMENTS, scope=scope, **options).body
    return {row["name"] for row in body["data"]}


BELOW = {"at-subscription", "at-group"}
ABOVE = {"at-root", "at-a", "at-b"}


@pytest.mark.parametrize(
    ("upward", "names"),
    [
        (None, BELOW),
        ("AtScopeAndBelow", BELOW),
        ("AtScopeExact", {"at-subscription"}),
        ("AtScopeAndAbove", ABOVE | {"at-subscription"}),
        ("AtScopeAboveAndBelow", ABOVE | BELOW),
        ("atscopeaboveandbelow", ABOVE | BELOW),
    ],
)
def test_a_subscription_sees_above_or_below_as_the_filter_says(
    served: Simulator, upward: str | None, names: set[str]
) -> None:
    options = {} if upward is None else {"authorizationScopeFilter": upward}
    assert seen(served, {"subscriptions": [served.estate.subscription_id("a")]}, **options) == names


@pytest.mark.parametrize(
    ("upward", "names"),
    [
        ("AtScopeAndBelow", {"at-a", "at-b"} | BELOW),
        ("AtScopeExact", {"at-a"}),
        ("AtScopeAndAbove", {"at-root", "at-a"}),
        ("AtScopeAboveAndBelow", ABOVE | BELOW),
    ],
)
def test_a_management_group_does_too(served: Simulator, upward: str, names: set[str]) -> None:
    assert seen(served, {"managementGroups": ["mg-a"]}, authorizationScopeFilter=upward) == names


def test_the_filter_is_only_about_policies_and_roles(served: Simulator) -> None:
    scope = {"subscriptions": [served.estate.subscription_id("a")]}
    query = "resourcecontainers | project id, type"
    wide = ask(served, f"{query} | order by id asc", scope=scope, authorizationScopeFilter="AtScopeAboveAndBelow")
    assert wide.body["data"] == ask(served, f"{query} | order by id asc", scope=scope).body["data"]


def test_there_are_only_four_filters(served: Simulator) -> None:
    scope = {"subscriptions": [served.estate.subscription_id("a")]}
    assert ask(served, ASSIGNMENTS, scope=scope, authorizationScopeFilter="Everything").status == 400


def test_role_assignments_name_scope_role_and_principal(served: Simulator) -> None:
    rows = ask(served, ROLES).body["data"]
    assert {row["properties"]["principalType"] for row in rows} == {"User", "ServicePrincipal"}
    owner = next(row["properties"] for row in rows if row["properties"]["scope"].endswith("/vaults/rsv-1"))
    assert owner["roleDefinitionId"].endswith("/8e3af657-a8ff-443c-a75c-2fe8c4bcb635")
    inherited = ask(served, ROLES, scope={"subscriptions": [served.estate.subscription_id("a")]},
                    authorizationScopeFilter="AtScopeAndAbove").body  # fmt: skip
    assert inherited["count"] == 2


def test_the_benchmark_is_found_at_the_tenant_and_carries_the_definition(served: Simulator) -> None:
    body = get(served, f"/providers/Microsoft.Authorization/policySetDefinitions/{BENCHMARK}").body
    (entry,) = [e for e in body["properties"]["policyDefinitions"] if e["policyDefinitionId"].endswith(BACKUP_CHECK)]
    assert entry["policyDefinitionReferenceId"] == BENCHMARK_REFERENCE
    assert body["properties"]["policyType"] == "BuiltIn"
    refused = get(served, "/providers/Microsoft.Authorization/policySetDefinitions/none")
    assert (refused.status, refused.code) == (404, "PolicySetDefinitionNotFound")


def test_own_initiatives_are_found_where_they_are_defined() -> None:
    estate = Estate.from_dict(governed(initiatives=[
        {"name": "one", "scope": "mg-a", "definitions": [BACKUP_CHECK]},
        {"name": "two", "scope": "a", "definitions": [{"definition": BACKUP_CHECK, "reference": "check"}]},
    ]), AS_OF)  # fmt: skip
    with Simulator(estate, quota=None) as simulator:
        kind = "providers/Microsoft.Authorization/policySetDefinitions"
        one = get(simulator, f"/providers/Microsoft.Management/managementGroups/MG-A/{kind}/one")
        assert one.body["properties"]["policyType"] == "Custom"
        home = f"/subscriptions/{estate.subscription_id('a')}"
        assert get(simulator, f"{home}/{kind}/TWO").body["name"] == "two"
        assert get(simulator, f"{home}/{kind}/one").status == 404
        query = "policyresources | where type =~ 'microsoft.authorization/policysetdefinitions' | project id, name"
        assert {row["name"] for row in ask(simulator, query).body["data"]} == {"one", "two"}


def states(**more: Any) -> dict[str, list[str]]:
    """Compliance of each machine of subscription `a`, sorted."""
    estate = Estate.from_dict(governed(**more), AS_OF)
    found: dict[str, list[str]] = {}
    for state in estate.policy_states(estate.subscription_id("a")):
        found.setdefault(state["resourceId"].rpartition("/")[2], []).append(state["complianceState"])
    return {name: sorted(values) for name, values in found.items()}


MACHINES = [
    {"name": "safe", "in": "a/rg-app", "backup": {"vault": "rsv-1", "state": "ProtectionStopped"}},
    {"name": "bare", "in": "a/rg-app"},
    {"name": "worker", "in": "a/databricks-rg-x"},
    {"name": "node", "in": "a/rg-app", "image": "azureopenshift:aro4:aro_414:1"},
]


def test_the_definition_asks_for_an_item_only_and_leaves_out_what_others_manage() -> None:
    found = states(vms=MACHINES, policy_assignments=[{"name": "one", "scope": "a"}])
    assert found == {"safe": ["Compliant"], "bare": ["NonCompliant"]}


def test_every_assignment_that_reaches_a_machine_gives_a_state() -> None:
    found = states(vms=MACHINES, initiatives=[{"name": "set", "scope": "mg-a", "definitions": [BACKUP_CHECK]}],
                   policy_assignments=[
                       {"name": "root"},
                       {"name": "group", "scope": "a/RG-APP"},
                       {"name": "other", "scope": "a/rg-app2"},
                       {"name": "own", "scope": "mg-b", "initiative": "set", "enforced": False},
                       {"name": "left-out", "scope": "mg-a", "not_scopes": ["a/rg-app"]},
                       {"name": "another", "scope": "a", "definition": "345fa903-145c-4fe1-8bcd-93ec2adccde8"},
                   ])  # fmt: skip
    assert found["bare"] == ["NonCompliant"] * 3


def test_a_state_by_an_initiative_says_so() -> None:
    estate = Estate.from_dict(governed(policy_assignments=[{"name": "asc", "scope": "a", "initiative": "mcsb"}]), AS_OF)
    state = estate.policy_states(estate.subscription_id("a"))[0]
    assert state["policySetDefinitionName"] == BENCHMARK
    assert state["policyDefinitionReferenceId"] == BENCHMARK_REFERENCE
    assert state["policyDefinitionGroupNames"] == [f"Azure_Security_Benchmark_v3.0_BR-{n}" for n in (1, 2)]


@pytest.mark.parametrize(
    ("exemption", "exempt"),
    [
        ({"scope": "vm:a/rg-app/bare"}, True),
        ({"scope": "mg-a", "expires": "+1d"}, True),
        ({"scope": "a/rg-app", "expires": "-1d"}, False),
        ({"scope": "a/rg-other"}, False),
        ({"scope": "a", "references": ["another"]}, False),
        ({"scope": "a", "assignment": "another"}, False),
    ],
)
def test_an_exemption_exempts_what_it_names_until_it_ends(exemption: dict[str, Any], exempt: bool) -> None:
    assignments = [{"name": "one", "scope": "a"}, {"name": "another", "scope": "c"}]
    found = states(vms=MACHINES, policy_assignments=assignments, exemptions=[{"assignment": "one"} | exemption])
    assert found["bare"] == ["Exempt" if exempt else "NonCompliant"]


def test_states_are_the_same_by_both_ways(served: Simulator) -> None:
    rows = ask(served, STATES, scope={"subscriptions": [served.estate.subscription_id("a")]}).body["data"]
    direct = served.estate.policy_states(served.estate.subscription_id("a"))
    assert len(rows) == len(direct) == 3 * 5
    assert {row["id"] for row in rows} == {row["id"].lower() for row in rows}
