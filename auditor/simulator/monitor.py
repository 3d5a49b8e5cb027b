"""ARM documents of Azure Monitor: alert processing rules, action groups, diagnostic settings.

Shapes: payload alertProcessingRules_list_2021-08-08; azure-rest-api-specs, Microsoft.Insights 2023-01-01,
listActionGroups.json and 2021-05-01-preview, listDiagnosticSettings.json.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from auditor.simulator.clock import seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from auditor.simulator.compute import Json, Place

ACTION_RULE = "Microsoft.AlertsManagement/actionRules"
ACTION_GROUP = "Microsoft.Insights/actionGroups"
CATEGORIES = (
    "CoreAzureBackup", "AddonAzureBackupJobs", "AddonAzureBackupAlerts", "AddonAzureBackupPolicy",
    "AddonAzureBackupStorage", "AddonAzureBackupProtectedInstance",
)  # fmt: skip
"""Log categories of a Recovery Services vault that reports on backup need."""
_RECEIVERS = (
    "emailReceivers", "smsReceivers", "webhookReceivers", "itsmReceivers", "azureAppPushReceivers",
    "automationRunbookReceivers", "voiceReceivers", "logicAppReceivers", "azureFunctionReceivers", "armRoleReceivers",
    "eventHubReceivers",
)  # fmt: skip


def action_rule_document(
    name: str, place: Place, scopes: Iterable[str], *, actions: list[Json], spec: Mapping[str, Any], created: datetime
) -> Json:
    """Body of an alert processing rule; `spec` keys: conditions, schedule, description, enabled, tags."""
    stamp = {"ByType": "User", "By": "platform@contoso.com", "At": seconds(created)}
    properties: Json = {
        "scopes": list(scopes),
        "conditions": spec.get("conditions") or [],
        "actions": actions,
        "description": str(spec.get("description", "")),
        "enabled": bool(spec.get("enabled", True)),
    }
    if spec.get("schedule"):
        properties["schedule"] = spec["schedule"]
    return {
        "id": place.id_of(ACTION_RULE, name),
        "type": ACTION_RULE,
        "name": name,
        "location": "Global",
        "tags": spec.get("tags") or {},
        "systemData": {f"{word}{key}": value for word in ("created", "lastModified") for key, value in stamp.items()},
        "properties": properties,
    }


def action_group_document(name: str, place: Place, spec: Mapping[str, Any]) -> Json:
    """Body of an action group; `spec` keys: short, emails, webhooks, enabled, tags."""
    receivers: Json = {kind: [] for kind in _RECEIVERS}
    receivers["emailReceivers"] = [
        {"name": address, "emailAddress": address, "status": "Enabled", "useCommonAlertSchema": True}
        for address in spec.get("emails") or ()
    ]
    receivers["webhookReceivers"] = [
        {"name": f"webhook {number}", "serviceUri": uri, "useCommonAlertSchema": True}
        for number, uri in enumerate(spec.get("webhooks") or (), 1)
    ]
    return {
        "id": place.id_of(ACTION_GROUP, name),
        "type": ACTION_GROUP,
        "name": name,
        "location": "Global",
        "tags": spec.get("tags") or {},
        "properties": {
            "groupShortName": str(spec.get("short", name[:12])),
            "enabled": bool(spec.get("enabled", True)),
            **receivers,
        },
    }


def diagnostic_setting_document(resource_id: str, name: str, place: Place, spec: Mapping[str, Any]) -> Json:
    """Body of a diagnostic setting; `spec` keys: workspace, storage (names), categories (default: all of backup)."""
    workspace, storage = spec.get("workspace"), spec.get("storage")
    return {
        # Azure Monitor writes the id of the resource in lower case.
        "id": f"{resource_id.lower()}/providers/microsoft.insights/diagnosticSettings/{name}",
        "type": "Microsoft.Insights/diagnosticSettings",
        "name": name,
        "properties": {
            "storageAccountId": place.id_of("Microsoft.Storage/storageAccounts", storage) if storage else None,
            "eventHubAuthorizationRuleId": None,
            "eventHubName": None,
            "workspaceId": place.id_of("Microsoft.OperationalInsights/workspaces", workspace) if workspace else None,
            "logAnalyticsDestinationType": "Dedicated" if workspace else None,
            "metrics": [
                {"category": "Health", "enabled": False, "retentionPolicy": {"enabled": False, "days": 0}},
            ],
            "logs": [
                {
                    "category": category,
                    "categoryGroup": None,
                    "enabled": True,
                    "retentionPolicy": {"enabled": False, "days": 0},
                }
                for category in spec.get("categories") or CATEGORIES
            ],
        },
    }
