"""Azure Policy as it works: what reaches which VM, who is exempt, and whether its opinion is ours."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tests.simulator.oracle import DEV, HYBRID, MISSION, Oracle, Verdict, folded, when

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

RULES = ("azpolicy-backup-unassigned", "azpolicy-exemption-weak")
VM_RULES = ("azpolicy-disagreement",)
AUDIT = "013e242c-8828-4970-87b3-ab247555486d"
DEPLOY = {
    "09ce66bc-1220-4153-8104-e3f51c936913", "345fa903-145c-4fe1-8bcd-93ec2adccde8",
    "98d0b9f8-fd90-49c9-88e2-d3baf3b0dd86", "83644c87-93dd-49fe-bf9f-6aff8fd0834e",
}  # fmt: skip
_GROUP = "/providers/microsoft.management/managementgroups/"


def verdicts(oracle: Oracle) -> Iterator[tuple[tuple[str, str], Verdict]]:
    estate = oracle.estate
    judged = [m for m in estate.machine_documents if not oracle._excluded(m)]
    for subscription in estate.subscriptions.values():
        mine = [m for m in judged if m["id"].lower().split("/")[2] == subscription.id]
        yield (RULES[0], f"/subscriptions/{subscription.id}"), _assigned(oracle, subscription.id, mine)
    for exemption in estate.exemptions:
        yield (RULES[1], exemption["id"].lower()), _exemption(oracle, exemption, judged)
    states: dict[str, list[Any]] = {}
    for subscription in estate.subscriptions.values():
        for state in estate.policy_states(subscription.id):
            states.setdefault(state["resourceId"].lower(), []).append(state)
    for machine in estate.machine_documents:
        identifier = machine["id"].lower()
        yield (VM_RULES[0], identifier), _opinion(oracle, machine, states.get(identifier, []))


def _places(oracle: Oracle, machine: Any) -> set[str]:
    """Every scope that a machine lies in, itself included."""
    identifier = machine["id"].lower()
    parts = identifier.split("/")
    above = {_GROUP + name.lower() for name in oracle.estate.ancestors(parts[2])}
    return above | {identifier, "/".join(parts[:3]), "/".join(parts[:5])}


def _assigned(oracle: Oracle, subscription: str, machines: Sequence[Any]) -> Verdict:
    if not machines:
        return "not_applicable", None
    if all(any(_demands(oracle, a, m) for a in oracle.estate.assignments) for m in machines):
        return "pass", None
    return ("fail", "medium") if oracle.estate.ancestors(subscription) else ("unknown", None)


def _members(oracle: Oracle, assignment: Any) -> Iterator[tuple[str, str | None, dict[str, Any]]]:
    """Definitions that an assignment carries: name, reference id and the values of its parameters."""
    properties = assignment["properties"]
    target = properties["policyDefinitionId"].lower()
    given = {name: entry["value"] for name, entry in properties["parameters"].items()}
    if "/policysetdefinitions/" not in target:
        yield target.rpartition("/")[2], None, given
        return
    initiative = next(d for d in oracle.estate.all_initiatives() if d["id"].lower() == target)["properties"]
    defaults = {name: entry.get("defaultValue") for name, entry in initiative["parameters"].items()}
    for member in initiative["policyDefinitions"]:
        values = {}
        for name, entry in member["parameters"].items():
            named = re.fullmatch(r"\[parameters\('(.+)'\)\]", str(entry["value"]))
            values[name] = given.get(named[1], defaults.get(named[1])) if named else entry["value"]
        yield member["policyDefinitionId"].lower().rpartition("/")[2], member["policyDefinitionReferenceId"], values


def _chosen(selector: Any, value: str | None) -> bool:
    listed = [str(it).lower() for it in selector.get("in", ())]
    spared = [str(it).lower() for it in selector.get("notIn", ())]
    return ("in" not in selector or value in listed) and value not in spared


def _demands(oracle: Oracle, assignment: Any, machine: Any) -> bool:
    properties, places = assignment["properties"], _places(oracle, machine)
    if properties["scope"].lower() not in places or places & {scope.lower() for scope in properties["notScopes"]}:
        return False
    if properties["enforcementMode"] != "Default":
        return False
    location = machine["location"].lower()
    selected = [
        all(_chosen(it, location) for it in entry["selectors"] if it["kind"] == "resourceLocation")
        for entry in properties.get("resourceSelectors", ())
    ]
    if selected and not any(selected):
        return False
    return any(_binds(assignment, machine, *member) for member in _members(oracle, assignment))


def _binds(assignment: Any, machine: Any, name: str, reference: str | None, values: dict[str, Any]) -> bool:
    """Tell whether a definition, as an assignment carries it, demands the backup of a machine in its reach."""
    effect = values.get("effect") or ("AuditIfNotExists" if name == AUDIT else "DeployIfNotExists")
    for change in assignment["properties"].get("overrides", ()):
        if all(_chosen(it, reference and reference.lower()) for it in change.get("selectors", ())):
            effect = change["value"]
    helpless = effect.lower() == "deployifnotexists" and "identity" not in assignment
    if name not in {AUDIT, *DEPLOY} or effect.lower() == "disabled" or helpless:
        return False
    location = machine["location"].lower()
    tags = {key: value.lower() for key, value in folded(machine.get("tags")).items()}
    wanted = [str(value).lower() for value in values.get("inclusionTagValue") or ()]
    spared = [str(value).lower() for value in values.get("exclusionTagValue") or ()]
    left = values.get("inclusionTagName") and wanted and tags.get(values["inclusionTagName"].lower()) not in wanted
    off = values.get("exclusionTagName") and tags.get(values["exclusionTagName"].lower()) in spared
    return values.get("vaultLocation", location).lower() == location and not left and not off


def _exemption(oracle: Oracle, exemption: Any, judged: Sequence[Any]) -> Verdict:
    properties = exemption["properties"]
    wanted = {reference.lower() for reference in properties["policyDefinitionReferenceIds"]}
    assignment = next(
        (a for a in oracle.estate.assignments if a["id"].lower() == properties["policyAssignmentId"].lower()), None
    )
    about = assignment is not None and any(
        name in {AUDIT, *DEPLOY} and (not wanted or reference is None or reference.lower() in wanted)
        for name, reference, _ in _members(oracle, assignment)
    )
    if not about:
        return "not_applicable", None
    scope = exemption["id"].lower().partition("/providers/microsoft.authorization/")[0]
    machines = [m for m in judged if scope in _places(oracle, m)]
    tiers = [oracle._tier(m) for m in machines]
    tier = min(tiers, key=(MISSION, HYBRID, DEV).index) if tiers else HYBRID
    if "expiresOn" in properties:
        left = when(properties["expiresOn"]) - oracle.as_of
        if left <= timedelta():
            bare = any(not _active(oracle, m["id"].lower()) for m in machines)
            return oracle._fail("medium", tier) if bare else ("pass", None)
        if left <= timedelta(days=365) and properties["description"].strip():
            return "pass", None
    return oracle._fail("medium", tier)


def _active(oracle: Oracle, identifier: str) -> bool:
    return any(
        not item.properties["isScheduledForDeferredDelete"]
        and item.properties["protectionState"] in ("Protected", "IRPending", "ProtectionError")
        for item in oracle.items.get(identifier, [])
    )


def _opinion(oracle: Oracle, machine: Any, states: Sequence[Any]) -> Verdict:
    if oracle._excluded(machine) or not states:
        return "not_applicable", None
    identifier, tier = machine["id"].lower(), oracle._tier(machine)
    ours = oracle._judged(machine, identifier, tier)
    judged = [
        ours.get(rule, ("", None))[0] for rule in ("vm-unprotected", "vm-protection-stopped", "backup-rpo-breached")
    ]
    bad = "fail" in judged
    waits = "not_yet_due" in judged or ours.get("vm-initial-backup-pending", ("", None))[0] == "not_yet_due"
    words = {state["complianceState"] for state in states}
    if waits or words == {"Exempt"} or bad is ("NonCompliant" in words):
        return "pass", None
    if bad:
        return oracle._fail("medium", tier)
    looked = max(when(state["timestamp"]) for state in states)
    taken = [point.taken for item in oracle.items[identifier] for point in item.points(oracle.as_of)]
    return ("pass", None) if min(taken) > looked else oracle._fail("low", tier)
