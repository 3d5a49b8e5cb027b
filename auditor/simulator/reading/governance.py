"""Resource guards, Azure Policy, role assignments, alert rules and action groups."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from auditor.simulator import dataprotection, monitor, policy
from auditor.simulator.clock import seconds, ticks
from auditor.simulator.naming import guid

if TYPE_CHECKING:
    from auditor.simulator.compute import Json
    from auditor.simulator.reading.machines import Machines
    from auditor.simulator.reading.places import Places
    from auditor.simulator.reading.reader import Reader
    from auditor.simulator.reading.vaults import Vaults

_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MANAGEMENT = "/providers/Microsoft.Management/managementGroups"
_KINDS = frozenset({"User", "Group", "ServicePrincipal"})
_CATEGORIES = frozenset({"Waiver", "Mitigated"})


class Guards:
    """Resource guards; a vault names the one that guards it."""

    def __init__(self, read: Reader, places: Places) -> None:
        """Read the section `resource_guards`."""
        self._read, self._places = read, places
        self.documents: list[Json] = []
        for where, key, value in read.section("resource_guards"):
            fields = read.fields("resource guard", where, value)
            place, name = places.placed(where, key, fields)
            tags = read.tags(f"{where}.tags", fields.get("tags"))
            excluded = tuple(map(str, fields.get("excluded") or ()))
            self.documents.append(dataprotection.guard_document(name, place, tags, excluded))

    def find(self, where: str, key: str) -> str:
        """Id of a guard, by `subscription/group/name`."""
        place, name = self._places.placed(where, key, {})
        wanted = place.id_of(dataprotection.GUARD, name)
        if all(document["id"] != wanted for document in self.documents):
            raise self._read.wrong(where, f"no resource guard {key!r}")
        return wanted


class Governance:
    """What is said about scopes: it is read last, since a scope may be anything."""

    def __init__(self, read: Reader, places: Places, vaults: Vaults, machines: Machines) -> None:
        """Read all sections on Azure Policy, roles and Azure Monitor."""
        self._read, self._places, self._vaults, self._machines = read, places, vaults, machines
        self.initiatives: list[Json] = []
        self.assignments: list[Json] = []
        self.exemptions: list[Json] = []
        self.roles: list[Json] = []
        self.action_groups: list[Json] = []
        self.alert_rules: list[Json] = []
        for where, fields in read.listed("initiatives", "initiative"):
            self._initiative(where, fields)
        for where, fields in read.listed("policy_assignments", "policy assignment"):
            self._assignment(where, fields)
        for where, fields in read.listed("exemptions", "exemption"):
            self._exemption(where, fields)
        for where, fields in read.listed("role_assignments", "role assignment"):
            self._role(where, fields)
        for where, name, fields, _ in read.named("action_groups", "action group"):
            self._action_group(where, name, fields)
        for where, name, fields, _ in read.named("alert_rules", "alert rule"):
            self._alert_rule(where, name, fields)

    def _scope(self, where: str, text: str) -> str:
        """Path of a scope: management group, subscription, `subscription/group`, `vault:name`, `vm:name` or an id."""
        kind, colon, rest = text.partition(":")
        if text.startswith("/"):
            return text
        if colon and kind == "vault":
            return self._vaults.find(where, rest).id
        if colon and kind == "vm":
            return self._machines.find(where, rest).id
        if text in self._places.subscriptions:
            return f"/subscriptions/{self._places.subscriptions[text].id}"
        if text in self._places.management_groups:
            return f"{_MANAGEMENT}/{text}"
        if "/" in text:
            place = self._places.group(where, text, {})
            return place.id_of("x", "x").partition("/providers/")[0]
        message = f"{text!r} is neither a subscription nor a management group, resource group, vault:name or vm:name"
        raise self._read.wrong(where, message)

    def _initiative(self, where: str, fields: Json) -> None:
        members = []
        for number, entry in enumerate(fields.get("definitions") or ()):
            named: Json = {"definition": entry} if isinstance(entry, str) else dict(entry)
            unknown = set(named) - {"definition", "reference", "groups", "parameters"}
            if unknown or "definition" not in named:
                raise self._read.wrong(f"{where}.definitions[{number}]", "write a definition's id, or a mapping of it")
            members.append(policy.Member(
                definition=str(named["definition"]),
                reference=str(named.get("reference", guid(f"reference {named['definition']}"))),
                groups=tuple(named.get("groups") or ()),
                parameters=named.get("parameters"),
            ))  # fmt: skip
        if "name" not in fields:
            raise self._read.wrong(f"{where}.name", "it needs a name")
        scope = self._scope(f"{where}.scope", str(fields.get("scope", self._places.tenant_id)))
        title = str(fields.get("display_name", fields["name"]))
        self.initiatives.append(policy.initiative_document(scope, str(fields["name"]), title, members, fields))

    def _target(self, where: str, fields: Json) -> str:
        """Id of what an assignment assigns."""
        if "initiative" not in fields:
            return policy.definition_id(str(fields.get("definition", policy.BACKUP_CHECK)))
        name = str(fields["initiative"])
        if name in ("mcsb", policy.BENCHMARK):
            return policy.set_id("", policy.BENCHMARK)
        found = next((document["id"] for document in self.initiatives if document["name"] == name), None)
        if found is None:
            raise self._read.wrong(f"{where}.initiative", f"no initiative {name!r}; mcsb is the built-in benchmark")
        return str(found)

    def _assignment(self, where: str, fields: Json) -> None:
        scope = self._scope(f"{where}.scope", str(fields.get("scope", self._places.tenant_id)))
        excluded = [self._scope(f"{where}.not_scopes", str(text)) for text in fields.get("not_scopes") or ()]
        spec = {"location": self._places.location} | fields | {"not_scopes": excluded}
        name = str(fields.get("name", "backup-vms"))
        target = self._target(where, fields)
        self.assignments.append(policy.assignment_document(scope, name, target, spec, self._places.tenant_id))

    def _exemption(self, where: str, fields: Json) -> None:
        read = self._read
        wanted = str(fields.get("assignment", "backup-vms"))
        assignment = next((document["id"] for document in self.assignments if document["name"] == wanted), None)
        if assignment is None:
            raise read.wrong(f"{where}.assignment", f"no policy assignment {wanted!r}")
        scope = self._scope(f"{where}.scope", str(fields.get("scope", self._places.tenant_id)))
        read.choice(f"{where}.category", fields.get("category", "Waiver"), _CATEGORIES)
        expires = fields.get("expires")
        spec = fields | {"expires": None if expires is None else seconds(read.when(f"{where}.expires", expires))}
        created = ticks(read.when(f"{where}.age", fields.get("age", "60d")))
        name = str(fields.get("name", guid(f"exemption {scope}")))
        self.exemptions.append(policy.exemption_document(scope, name, str(assignment), spec, created))

    def _role(self, where: str, fields: Json) -> None:
        read = self._read
        scope = self._scope(f"{where}.scope", str(fields.get("scope", self._places.tenant_id)))
        role = str(fields.get("role", "Reader"))
        if role not in policy.ROLES and not _GUID.fullmatch(role):
            raise read.wrong(f"{where}.role", f"role {role!r} is not known", f"Known: {', '.join(policy.ROLES)}")
        kind = read.choice(f"{where}.kind", fields.get("kind", "User"), _KINDS)
        principal = guid(f"principal {fields.get('principal', 'somebody')}")
        created = ticks(read.when(f"{where}.age", fields.get("age", "300d")))
        role_id = policy.ROLES.get(role, role)
        self.roles.append(policy.role_assignment_document(scope, role_id, principal, kind, created))

    def _action_group(self, where: str, name: str, fields: Json) -> None:
        spec = fields | {"tags": self._read.tags(f"{where}.tags", fields.get("tags"))}
        place = self._places.place(where, fields)
        self.action_groups.append(monitor.action_group_document(name, place, spec))

    def _alert_rule(self, where: str, name: str, fields: Json) -> None:
        read = self._read
        place = self._places.place(where, fields)
        scopes = [self._scope(f"{where}.scopes", str(text)) for text in fields.get("scopes") or ()]
        actions: list[Json] = []
        if fields.get("suppress"):
            actions.append({"actionType": "RemoveAllActionGroups"})
        named = [str(group) for group in fields.get("action_groups") or ()]
        if named:
            known = {document["name"]: document["id"] for document in self.action_groups}
            missing = [group for group in named if group not in known]
            if missing:
                raise read.wrong(f"{where}.action_groups", f"no action group {missing[0]!r}")
            actions.append({"actionType": "AddActionGroups", "actionGroupIds": [known[group] for group in named]})
        created = read.when(f"{where}.age", fields.get("age", "400d"))
        spec = fields | {"tags": read.tags(f"{where}.tags", fields.get("tags"))}
        document = monitor.action_rule_document(name, place, scopes, actions=actions, spec=spec, created=created)
        self.alert_rules.append(document)
