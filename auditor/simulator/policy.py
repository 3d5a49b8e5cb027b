"""Azure Policy and role assignments: ARM documents, and Azure Policy's own opinion on each VM.

Shapes: payloads policyAssignments_list, policyExemption_get, policyStates_queryResults; azure-rest-api-specs,
Microsoft.Authorization 2023-04-01 getPolicyAssignmentWithIdentity.json, getBuiltInPolicySetDefinition.json,
getPolicySetDefinitionAtManagementGroup.json and 2022-04-01 RoleAssignments_ListForScope.json; the benchmark:
Azure/azure-policy, built-in-policies/policySetDefinitions/Security Center/AzureSecurityCenter.json.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from auditor.simulator.clock import ticks
from auditor.simulator.naming import guid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from auditor.simulator.compute import Json, Machine

AUTHORIZATION = "Microsoft.Authorization"
BACKUP_CHECK = "013e242c-8828-4970-87b3-ab247555486d"
"""Built-in definition "Azure Backup should be enabled for Virtual Machines"."""
BENCHMARK = "1f3afdf9-d0c9-4c3d-847f-89da613e70a8"
"""Built-in initiative "Microsoft cloud security benchmark"."""
BENCHMARK_REFERENCE = "azureBackupShouldBeEnabledForVirtualMachinesMonitoringEffect"
"""What the benchmark calls the definition, and the parameter that sets its effect."""
_NOT_EVALUATED = ("azuredatabricks", "azureopenshift")
ROLES = {
    "Owner": "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
    "Contributor": "b24988ac-6180-42a0-ab88-20f7382dd24c",
    "Reader": "acdd72a7-3385-48ef-bd42-f606fba81ae7",
    "User Access Administrator": "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9",
    "Backup Contributor": "5e467623-bb1f-42f4-a55d-6e525e11384b",
    "Backup Operator": "00c29273-979b-4161-815c-10b084fb9324",
    "Backup Reader": "a795c7a0-d4a2-40c1-ae25-d81f01202912",
    "Site Recovery Contributor": "6670b86e-a3f7-4917-ac9b-5d6ab1be4567",
    "Virtual Machine Contributor": "9980e02c-c2be-4d73-94e8-173b1dc7cf3c",
}
"""Built-in roles an estate may name."""


def definition_id(name: str) -> str:
    """Id of a built-in policy definition."""
    return f"/providers/{AUTHORIZATION}/policyDefinitions/{name}"


def set_id(scope: str, name: str) -> str:
    """Id of an initiative; `scope` is empty for built-in ones."""
    return f"{scope}/providers/{AUTHORIZATION}/policySetDefinitions/{name}"


@dataclass(frozen=True, slots=True)
class Member:
    """A definition inside an initiative."""

    definition: str
    """Name of a built-in definition."""
    reference: str
    groups: tuple[str, ...] = ()
    parameters: Mapping[str, Any] | None = None


def initiative_document(scope: str, name: str, title: str, members: Iterable[Member], spec: Mapping[str, Any]) -> Json:
    """Body of an initiative; `spec` keys: description, category, version, parameters, groups, built_in."""
    listed = tuple(members)
    groups = spec.get("groups") or sorted({group for member in listed for group in member.groups})
    version = str(spec.get("version", "1.0.0"))
    properties: Json = {
        "displayName": title,
        "policyType": "BuiltIn" if spec.get("built_in") else "Custom",
        "description": str(spec.get("description", "")),
        "metadata": {"version": version, "category": str(spec.get("category", "Backup"))},
        "version": version,
        "versions": [version],
        "parameters": spec.get("parameters") or {},
        "policyDefinitions": [],
    }
    for member in listed:
        entry: Json = {
            "policyDefinitionId": definition_id(member.definition),
            "policyDefinitionReferenceId": member.reference,
            "parameters": dict(member.parameters or {}),
        }
        if member.groups:
            entry["groupNames"] = list(member.groups)
        properties["policyDefinitions"].append(entry)
    if groups:
        properties["policyDefinitionGroups"] = [{"name": group} for group in groups]
    return {
        "id": set_id(scope, name),
        "type": f"{AUTHORIZATION}/policySetDefinitions",
        "name": name,
        "properties": properties,
    }


def _benchmark() -> Json:
    """Make the benchmark, shortened to the definitions on backup and on the machines beside them."""
    group = "Azure_Security_Benchmark_v3.0_"
    members = {
        "a4fe33eb-e377-4efb-ab31-0784311bc499": ("installLogAnalyticsAgentOnVmMonitoring", ("LT-5",)),
        "ae89ebca-1c92-4898-ac2c-9f63decb045c": ("gcExtOnVMMonitoring", ("PV-4",)),
        "404c3081-a854-4457-ae30-26a93ef643f9": ("secureTransferToStorageAccountMonitoring", ("DP-3",)),
        BACKUP_CHECK: (BENCHMARK_REFERENCE, ("BR-1", "BR-2")),
        "1f90fc71-a595-4066-8974-d4d0802e8ef0": ("MicrosoftDefenderCSPMShouldBeEnabledMonitoringEffect", ("LT-1",)),
    }
    listed, parameters = [], {}
    for definition, (reference, groups) in members.items():
        effect = reference if reference.endswith("Effect") else f"{reference}Effect"
        named = tuple(group + name for name in groups)
        listed.append(Member(definition, reference, named, {"effect": {"value": f"[parameters('{effect}')]"}}))
        parameters[effect] = {
            "type": "string",
            "defaultValue": "AuditIfNotExists",
            "allowedValues": ["AuditIfNotExists", "Disabled"],
            "metadata": {"displayName": effect, "description": "Enable or disable the execution of the policy"},
        }
    return initiative_document("", BENCHMARK, "Microsoft cloud security benchmark", listed, {
        "built_in": True,
        "version": "57.30.0",
        "category": "Security Center",
        "parameters": parameters,
        "description": "The Microsoft cloud security benchmark initiative represents the policies and controls "
        "implementing security recommendations defined in Microsoft cloud security benchmark, "
        "see https://aka.ms/azsecbm.",
    })  # fmt: skip


BUILT_IN: Mapping[str, Json] = {BENCHMARK: _benchmark()}
"""Built-in initiatives by name."""


def assignment_document(scope: str, name: str, target: str, spec: Mapping[str, Any], tenant: str) -> Json:
    """Body of an assignment of the definition or initiative `target`.

    `spec` keys: display_name, description, not_scopes, parameters, enforced, identity, location, overrides,
    resource_selectors.
    """
    document: Json = {
        "id": f"{scope}/providers/{AUTHORIZATION}/policyAssignments/{name}",
        "name": name,
        "type": f"{AUTHORIZATION}/policyAssignments",
        "location": "",
        "properties": {
            "displayName": str(spec.get("display_name", name)),
            "description": str(spec.get("description", "")),
            "policyDefinitionId": target,
            "scope": scope,
            "notScopes": list(spec.get("not_scopes") or ()),
            "parameters": spec.get("parameters") or {},
            "enforcementMode": "Default" if spec.get("enforced", True) else "DoNotEnforce",
            "metadata": {"assignedBy": "Platform team"},
        },
    }
    for key, field in (("overrides", "overrides"), ("resource_selectors", "resourceSelectors")):
        if spec.get(key):
            document["properties"][field] = spec[key]
    if spec.get("identity"):
        document["location"] = str(spec.get("location", "westeurope"))
        document["identity"] = {
            "type": "SystemAssigned",
            "principalId": guid(f"identity {document['id']}"),
            "tenantId": tenant,
        }
    return document


def exemption_document(scope: str, name: str, assignment_id: str, spec: Mapping[str, Any], created: str) -> Json:
    """Body of an exemption; `spec` keys: references, category, expires (Azure's text), display_name, description,
    metadata.
    """  # noqa: D205 - one sentence
    properties: Json = {
        "policyAssignmentId": assignment_id,
        "policyDefinitionReferenceIds": list(spec.get("references") or ()),
        "exemptionCategory": str(spec.get("category", "Waiver")),
        "displayName": str(spec.get("display_name", name)),
        "description": str(spec.get("description", "")),
        "metadata": spec.get("metadata") or {},
    }
    if spec.get("expires"):
        properties["expiresOn"] = spec["expires"]
    stamp = {"By": "platform@contoso.com", "ByType": "User", "At": created}
    return {
        "properties": properties,
        "systemData": {f"{word}{key}": value for word in ("created", "lastModified") for key, value in stamp.items()},
        "id": f"{scope}/providers/{AUTHORIZATION}/policyExemptions/{name}",
        "type": f"{AUTHORIZATION}/policyExemptions",
        "name": name,
    }


def role_assignment_document(scope: str, role: str, principal: str, kind: str, created: str) -> Json:
    """Body of a role assignment; `role`: GUID of the role definition, `principal`: object id."""
    name = guid(f"role {scope} {role} {principal}")
    return {
        "properties": {
            "roleDefinitionId": f"/providers/{AUTHORIZATION}/roleDefinitions/{role}",
            "principalId": principal,
            "principalType": kind,
            "scope": scope,
            "createdOn": created,
            "updatedOn": created,
            "createdBy": guid("auditor"),
            "updatedBy": guid("auditor"),
        },
        "id": f"{scope}/providers/{AUTHORIZATION}/roleAssignments/{name}",
        "type": f"{AUTHORIZATION}/roleAssignments",
        "name": name,
    }


@dataclass(frozen=True, slots=True)
class Insights:
    """What Azure Policy needs to know to judge the VMs of an estate."""

    assignments: tuple[Json, ...]
    initiatives: Mapping[str, Json]
    """Lower-cased id -> initiative, built-in ones included."""
    exemptions: tuple[Json, ...]
    covered: frozenset[str]
    """Lower-cased ids of the machines that have a protected item: a stopped one is compliant to the definition."""

    def states(
        self, machines: Iterable[Machine], subscription: str, groups: tuple[str, ...], as_of: datetime
    ) -> Iterator[Json]:
        """Give the state of each machine of a subscription by each assignment; `groups`: nearest first."""
        mine = [machine for machine in machines if machine.place.subscription == subscription]
        for assignment in self.assignments:
            found = self._check_of(assignment)
            if found is None:
                continue
            initiative, reference, categories = found
            for machine in mine:
                if self._reaches(assignment, machine, groups):
                    yield self._state(assignment, machine, groups, as_of, (initiative, reference, categories))

    def _check_of(self, assignment: Json) -> tuple[Json | None, str | None, list[str] | None] | None:
        """Find the backup definition in an assignment: initiative, reference id and groups; None: it has none."""
        target = assignment["properties"]["policyDefinitionId"]
        if target.endswith(BACKUP_CHECK):
            return None, None, None
        initiative = self.initiatives.get(target.lower())
        for entry in initiative["properties"]["policyDefinitions"] if initiative else ():
            if entry["policyDefinitionId"].endswith(BACKUP_CHECK):
                return initiative, entry["policyDefinitionReferenceId"], entry.get("groupNames")
        return None

    @staticmethod
    def _reaches(assignment: Json, machine: Machine, groups: tuple[str, ...]) -> bool:
        # The definition itself leaves out what Databricks and OpenShift manage.
        publisher = machine.image[0].lower() if machine.image else ""
        if "/resourcegroups/databricks-rg-" in machine.id.lower() or publisher in _NOT_EVALUATED:
            return False
        properties = assignment["properties"]
        if not _within(machine.id, properties["scope"], groups):
            return False
        return not any(_within(machine.id, scope, groups) for scope in properties["notScopes"])

    def _state(
        self,
        assignment: Json,
        machine: Machine,
        groups: tuple[str, ...],
        as_of: datetime,
        check: tuple[Json | None, str | None, list[str] | None],
    ) -> Json:
        initiative, reference, categories = check
        compliant = machine.id.lower() in self.covered
        exempt = any(
            self._binds(exemption, assignment, reference, as_of)
            and _within(machine.id, exemption["id"].rpartition(f"/providers/{AUTHORIZATION}/")[0], groups)
            for exemption in self.exemptions
        )
        title = "Exempt" if exempt else "Compliant" if compliant else "NonCompliant"
        return {
            "@odata.id": None,
            "@odata.context": f"https://management.azure.com/subscriptions/{machine.place.subscription}"
            "/providers/Microsoft.PolicyInsights/policyStates/$metadata#latest/$entity",
            "timestamp": ticks(as_of - timedelta(hours=9)),
            "resourceId": machine.id,
            "policyAssignmentId": assignment["id"],
            "policyDefinitionId": definition_id(BACKUP_CHECK),
            "effectiveParameters": None,
            "isCompliant": compliant,
            "subscriptionId": machine.place.subscription,
            "resourceType": "Microsoft.Compute/virtualMachines",
            "resourceLocation": machine.place.location,
            "resourceGroup": machine.place.group,
            "resourceTags": "tbd",
            "policyAssignmentName": assignment["name"],
            "policyAssignmentOwner": "tbd",
            "policyAssignmentParameters": "{}",
            "policyAssignmentScope": assignment["properties"]["scope"],
            "policyDefinitionName": BACKUP_CHECK,
            "policyDefinitionAction": "auditifnotexists",
            "policyDefinitionCategory": "tbd",
            "policySetDefinitionId": initiative["id"] if initiative else None,
            "policySetDefinitionName": initiative["name"] if initiative else None,
            "policySetDefinitionOwner": None,
            "policySetDefinitionCategory": None,
            "policySetDefinitionParameters": None,
            "managementGroupIds": ",".join(groups),
            "policyDefinitionReferenceId": reference,
            "complianceState": title,
            "policyDefinitionGroupNames": categories,
        }

    @staticmethod
    def _binds(exemption: Json, assignment: Json, reference: str | None, as_of: datetime) -> bool:
        """Tell whether an exemption is in force and of this assignment and definition."""
        properties = exemption["properties"]
        listed = properties["policyDefinitionReferenceIds"]
        return (
            properties["policyAssignmentId"].lower() == assignment["id"].lower()
            and (not listed or reference in listed)
            and properties.get("expiresOn", "9999") > ticks(as_of)
        )


def _within(identifier: str, scope: str, groups: tuple[str, ...]) -> bool:
    """Tell whether a resource is at or below a scope; `groups`: the management groups above it."""
    text = scope.lower()
    if text.startswith("/providers/microsoft.management/"):
        return text.rpartition("/")[2] in (group.lower() for group in groups)
    return f"{identifier.lower()}/".startswith(f"{text}/")
