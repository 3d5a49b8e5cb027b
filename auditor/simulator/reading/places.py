"""Management groups, subscriptions and resource groups, and the finding of places and scopes by name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from auditor.simulator.compute import Json, Place
from auditor.simulator.naming import group_id, guid

if TYPE_CHECKING:
    from auditor.simulator.reading.reader import Reader

_MANAGEMENT = "/providers/Microsoft.Management/managementGroups"


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription that the auditor may see."""

    key: str
    """Its short name in the estate file."""
    id: str
    name: str
    """Display name; two may share one."""
    tenant: str
    """Id of the tenant it belongs to: another than the auditor's where Lighthouse delegates it."""
    groups: tuple[str, ...]
    """Ids of its management groups, nearest first, tenant root last."""
    document: Json
    """Row properties, `state` and `subscriptionPolicies` included."""


class Places:
    """Where things are."""

    def __init__(self, read: Reader, name: str) -> None:
        """`name` is the company's: ids follow from it."""
        self._read = read
        self._name = name
        self.location = str(read.document.get("location", "westeurope"))
        self.tenant_id = guid(f"tenant {name}")
        self.management_groups: dict[str, Json] = {}
        """Id -> name, ancestors (nearest first) and parent (as Azure writes it)."""
        self.subscriptions: dict[str, Subscription] = {}
        self.groups: dict[tuple[str, str], Json] = {}
        """(subscription id, lower-cased name) -> ARM document."""
        self._read_management_groups()
        self._read_subscriptions()
        for where, key, value in read.section("resource_groups"):
            self.group(where, key, read.fields("resource group", where, value))

    def _read_management_groups(self) -> None:
        root = self.tenant_id
        self.management_groups[root] = {"name": "Tenant Root Group", "parent": None, "ancestors": ()}
        for where, key, value in self._read.section("management_groups"):
            fields = self._read.fields("management group", where, value)
            parent = str(fields.get("parent", root))
            if parent not in self.management_groups:
                raise self._read.wrong(f"{where}.parent", f"no management group {parent!r} above this line")
            above = self.management_groups[parent]
            self.management_groups[key] = {
                "name": str(fields.get("name", key)),
                "ancestors": (parent, *above["ancestors"]),
                "parent": {"id": f"{_MANAGEMENT}/{parent}", "name": parent, "displayName": above["name"]},
            }

    def _read_subscriptions(self) -> None:
        for where, key, value in self._read.section("subscriptions"):
            fields = self._read.fields("subscription", where, value)
            group = str(fields.get("group", self.tenant_id))
            if group not in self.management_groups:
                raise self._read.wrong(f"{where}.group", f"no management group {group!r}")
            # Lighthouse shows the subscription of a customer; the customer's management groups stay out of sight.
            tenant = guid(f"tenant {fields['tenant']}") if "tenant" in fields else self.tenant_id
            home = (group, *self.management_groups[group]["ancestors"]) if tenant == self.tenant_id else ()
            self.subscriptions[key] = Subscription(
                key=key,
                id=str(fields.get("id", guid(f"subscription {self._name} {key}"))).lower(),
                name=str(fields.get("name", key)),
                tenant=tenant,
                groups=home,
                document={
                    "state": str(fields.get("state", "Enabled")),
                    "tags": self._read.tags(f"{where}.tags", fields.get("tags")),
                    "subscriptionPolicies": {
                        "locationPlacementId": "Public_2014-09-01",
                        "quotaId": "EnterpriseAgreement_2014-09-01",
                        "spendingLimit": "Off",
                    },
                },
            )
        if not self.subscriptions:
            raise self._read.wrong("subscriptions", "an estate needs at least one subscription")

    def subscription(self, key: str) -> Subscription:
        """Find a subscription by its short name or its id; KeyError where there is none."""
        if key in self.subscriptions:
            return self.subscriptions[key]
        found = next((each for each in self.subscriptions.values() if each.id == key.lower()), None)
        if found is None:
            raise KeyError(key)
        return found

    def tenant_of(self, subscription: str) -> str:
        """Tenant of a subscription id."""
        return self.subscription(subscription).tenant

    def group(self, where: str, key: str, fields: Json) -> Place:
        """Find a resource group by `subscription/group`; it exists as soon as it is named."""
        subscription, _, group = str(key).partition("/")
        if subscription not in self.subscriptions or not group or "/" in group:
            message = f"{key!r} is not subscription/resource-group of a subscription in this file"
            raise self._read.wrong(where, message, f"Known subscriptions: {', '.join(self.subscriptions)}")
        identity = self.subscriptions[subscription].id
        found = self.groups.get((identity, group.lower()))
        if found is None:
            found = {
                "id": group_id(identity, group),
                "name": group,
                "type": "Microsoft.Resources/subscriptions/resourceGroups",
                "location": str(fields.get("location", self.location)),
                "tags": self._read.tags(f"{where}.tags", fields.get("tags")),
                "properties": {"provisioningState": "Succeeded"},
            }
            if fields.get("managed_by"):
                found["managedBy"] = str(fields["managed_by"])
            self.groups[identity, group.lower()] = found
        return Place(identity, found["name"], found["location"])

    def place(self, where: str, fields: Json) -> Place:
        """Read where an entry is: its `in`, and its `location` where that differs from the group's."""
        if "in" not in fields:
            raise self._read.wrong(f"{where}.in", "say where it is: subscription/resource-group")
        place = self.group(f"{where}.in", fields["in"], {})
        return replace(place, location=str(fields["location"])) if "location" in fields else place

    def placed(self, where: str, key: str, fields: Json) -> tuple[Place, str]:
        """Read the place and name in a key `subscription/group/name`."""
        group, _, name = key.rpartition("/")
        place = self.group(where, group, fields)
        return (replace(place, location=str(fields["location"])) if "location" in fields else place), name

    def holder(self, where: str, subscription: str, region: str) -> Place:
        """Give the group in which Azure Backup hides its restore points of a subscription and region."""
        key = next(each.key for each in self.subscriptions.values() if each.id == subscription)
        return self.group(where, f"{key}/AzureBackupRG_{region}_1", {
            "location": region,
            # Azure marks the group as its own with an id that leads nowhere.
            "managed_by": "subscriptions/00000000-0000-0000-0000-000000000000/",
        })  # fmt: skip
