"""The smallest role that suffices, as Azure, Bicep and Terraform take it: made from what the questions need."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from auditor.errors import UsageError
from auditor.inventory import catalogue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditor.collect import Scope

NAME = "Azure Backup Auditor"
DESCRIPTION = "Reads what azure-backup-auditor needs to judge backups and snapshots; no wildcard, no data, no write."
PLACEHOLDER = "/providers/Microsoft.Management/managementGroups/REPLACE-WITH-YOUR-MANAGEMENT-GROUP"
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", flags=re.IGNORECASE)
_GROUP = re.compile(r"[\w().-]{1,90}", flags=re.ASCII)

FORMS = ("json", "bicep", "terraform")


def scopes(scope: Scope) -> list[str]:
    """Give where the role is to be assignable, as ARM ids; none where the scope names nothing.

    Raises:
        UsageError: a subscription is not named by its id, or Azure allows no such scope.
    """
    for name in scope.subscriptions:
        if not _ID.fullmatch(name):
            raise UsageError(f"--subscription {name}: a role is tied to the id of a subscription", "give its id")
    for name in scope.management_groups:
        if not _GROUP.fullmatch(name):
            remedy = "letters, digits and -_.() are allowed; give its id, not its display name"
            raise UsageError(f"--management-group {name}: not the id of a management group", remedy)
    if len(scope.management_groups) > 1:
        raise UsageError("a role can be assignable in one management group only", "name the one above them")
    groups = [f"/providers/Microsoft.Management/managementGroups/{name}" for name in scope.management_groups]
    return [*groups, *(f"/subscriptions/{name.lower()}" for name in scope.subscriptions)]


def write(form: str, where: Sequence[str]) -> str:
    """Write the role in one of FORMS; `where` are ARM ids, PLACEHOLDER stands for none."""
    return {"json": _json, "bicep": _bicep, "terraform": _terraform}[form](list(where))


def _json(where: list[str]) -> str:
    # JSON has no comments: the placeholder must speak for itself.
    role = {
        "Name": NAME,
        "IsCustom": True,
        "Description": DESCRIPTION,
        "Actions": list(catalogue.actions()),
        "NotActions": [],
        "AssignableScopes": where or [PLACEHOLDER],
    }
    return json.dumps(role, indent=2)


def _lines(values: Sequence[str], quote: str, indent: int, end: str) -> str:
    return "\n".join(f"{' ' * indent}{quote}{value}{quote}{end}" for value in values)


def _bicep(where: list[str]) -> str:
    by_subscription = bool(where) and where[0].startswith("/subscriptions/")
    kind, here = ("subscription", "subscription()") if by_subscription else ("managementGroup", "managementGroup()")
    deploy = "sub" if by_subscription else "mg"
    listed = (
        _lines(where, "'", 6, "") if where else f"      {here}.id // where this is deployed: name another place here"
    )
    where_to = "" if by_subscription else " --management-group-id ID"
    return f"""\
// az deployment {deploy} create{where_to} --location westeurope --template-file role.bicep
targetScope = '{kind}'

resource auditor 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {{
  name: guid({here}.id, '{NAME}')
  properties: {{
    roleName: '{NAME}'
    description: '{DESCRIPTION}'
    type: 'CustomRole'
    permissions: [
      {{
        actions: [
{_lines(catalogue.actions(), "'", 10, "")}
        ]
        notActions: []
      }}
    ]
    assignableScopes: [
{listed}
    ]
  }}
}}

output roleDefinitionId string = auditor.id"""


def _terraform(where: list[str]) -> str:
    note = "" if where else " # replace with your management group or /subscriptions/ID"
    first, *_ = where or [PLACEHOLDER]
    return f"""\
resource "azurerm_role_definition" "azure_backup_auditor" {{
  name        = "{NAME}"
  scope       = "{first}"{note}
  description = "{DESCRIPTION}"

  permissions {{
    actions = [
{_lines(catalogue.actions(), '"', 6, ",")}
    ]
    not_actions = []
  }}

  assignable_scopes = [
{_lines(where or [PLACEHOLDER], '"', 4, ",")}
  ]
}}"""
