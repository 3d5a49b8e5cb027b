"""ARM documents -> the rows that Resource Graph shows of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditor.simulator.clock import seed
from auditor.simulator.naming import group_cased

if TYPE_CHECKING:
    from auditor.simulator.compute import Json

TEXT_COLUMNS = ("id", "name", "type", "tenantId", "kind", "location", "resourceGroup", "subscriptionId", "managedBy",
                "apiVersion")  # fmt: skip
DYNAMIC_COLUMNS = ("sku", "plan", "properties", "tags", "identity", "zones", "extendedLocation", "systemData")
COLUMNS = TEXT_COLUMNS[:-1] + DYNAMIC_COLUMNS + TEXT_COLUMNS[-1:]
"""Every column of every table, in the order a query without `project` shows them."""

TABLES = (
    "resources",
    "resourcecontainers",
    "recoveryservicesresources",
    "computeresources",
    "policyresources",
    "authorizationresources",
    "advisorresources",
    "alertsmanagementresources",
    "healthresources",
    "maintenanceresources",
    "patchassessmentresources",
    "securityresources",
    "servicehealthresources",
    "resourcechanges",
    "resourcecontainerchanges",
    "guestconfigurationresources",
    "extensibilityresources",
    "managedserviceresources",
)
"""Tables a query may name; those the estate says nothing about are empty."""


def graph_row(document: Json, tenant: str, *, table: str = "resources") -> Json:
    """Give the Resource Graph row of an ARM document.

    Types come lower-case, absent texts as "", absent objects as null; the resource group of about half the ids is
    lower-case although the provider's own answer spells it otherwise.
    """
    identifier: str = document["id"]
    parts = identifier.split("/")
    lower = table == "resources" and seed(identifier) % 2 == 0
    grouped = len(parts) > 4 and parts[3].lower() == "resourcegroups"  # noqa: PLR2004 - /subscriptions/s/resourceGroups/g
    group = parts[4] if grouped else ""
    return {
        "id": group_cased(identifier, "lower") if lower and grouped else identifier,
        "name": document["name"],
        "type": document["type"].lower(),
        "tenantId": tenant,
        "kind": "",
        "location": document.get("location", ""),
        "resourceGroup": group.lower() if table == "resources" else group,
        "subscriptionId": parts[2] if len(parts) > 2 and parts[1].lower() == "subscriptions" else "",  # noqa: PLR2004
        "managedBy": document.get("managedBy", ""),
        "sku": document.get("sku"),
        "plan": document.get("plan"),
        "properties": document.get("properties"),
        "tags": document.get("tags"),
        "identity": document.get("identity"),
        "zones": document.get("zones"),
        "extendedLocation": None,
        "systemData": document.get("systemData"),
        "apiVersion": "2024-11-01" if table == "resources" else "",
    }
