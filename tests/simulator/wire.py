"""Raw HTTP against the simulator: what a client library might smooth over stays visible."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from auditor.simulator import Simulator

CONTOSO = Path(__file__).parents[2] / "samples" / "estates" / "contoso.yaml"
AS_OF = datetime(2026, 11, 22, 6, tzinfo=UTC)
GRAPH = "/providers/Microsoft.ResourceGraph/resources?api-version=2021-03-01"
ITEMS = (
    "recoveryservicesresources "
    "| where type =~ 'microsoft.recoveryservices/vaults/backupfabrics/protectioncontainers/protecteditems' "
    "| project id, properties | order by id asc"
)
MACHINES = (
    "resources | where type =~ 'microsoft.compute/virtualmachines' | project id, name, properties | order by id asc"
)


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def body(self) -> Any:
        return json.loads(self.text)

    @property
    def code(self) -> str:
        return str(self.body["error"]["code"])

    @property
    def details(self) -> list[str]:
        return [detail["code"] for detail in self.body["error"].get("details", [])]


def send(
    simulator: Simulator,
    method: str,
    path: str,
    body: object = None,
    *,
    token: str | None = "simulator",  # noqa: S107 - what the pretended Azure accepts
    content_type: str = "application/json",
) -> Reply:
    """Send one request; `path` may be a whole nextLink."""
    where = urlsplit(simulator.url)
    assert where.hostname is not None
    target = path.removeprefix(simulator.url)
    connection = HTTPConnection(where.hostname, where.port, timeout=30)
    headers = {"Content-Type": content_type} if body is not None else {}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    try:
        connection.request(method, target, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read().decode())
    finally:
        connection.close()


def get(simulator: Simulator, path: str, **query: str) -> Reply:
    """GET a path, with an api-version; `filter` and `skiptoken` become OData parameters."""
    names = {"filter": "$filter", "skiptoken": "$skipToken", "top": "$top"}
    text = "".join(f"&{names.get(key, key)}={quote(value)}" for key, value in query.items())
    return send(simulator, "GET", f"{quote(path)}?api-version=2026-10-01{text}")


def ask(simulator: Simulator, query: str, *, scope: dict[str, Any] | None = None, **options: object) -> Reply:
    """Ask Resource Graph for one page; options are written without the dollar."""
    chosen = {"resultFormat": "objectArray"} | {
        key if key in ("resultFormat", "authorizationScopeFilter") else f"${key}": value
        for key, value in options.items()
    }
    return send(simulator, "POST", GRAPH, {"query": query, "options": chosen, **(scope or {})})


def pages(simulator: Simulator, query: str, **options: Any) -> list[Any]:
    """Follow $skipToken to the end: the bodies of all pages."""
    bodies = [ask(simulator, query, **options).body]
    while "$skipToken" in bodies[-1]:
        bodies.append(ask(simulator, query, **options, skipToken=bodies[-1]["$skipToken"]).body)
    return bodies


def small(count: int = 3, **vm: object) -> dict[str, Any]:
    """Make an estate of so many protected VMs in subscription `a`, their vault in subscription `b`."""
    keep = {"daily": "30 Days", "weekly": "12 Weeks", "monthly": "84 Months"}
    return {
        "estate": "small",
        "jobs_days": 0,
        "management_groups": {"mg-a": {"name": "Group A"}, "mg-b": {"name": "Group B", "parent": "mg-a"}},
        "subscriptions": {"a": {"name": "Sub A", "group": "mg-a"}, "b": {"name": "Sub B", "group": "mg-b"}, "c": {}},
        "vaults": {"b/rg-backup/rsv-1": {}, "b/rg-backup/rsv-2": {}},
        "policies": {"std": {"daily": "22:00", "keep": keep, "instant": 5}},
        "policy_assignments": [{"name": "backup", "scope": "mg-a"}],
        "vms": [
            {
                "count": count,
                "name": "vm{n:04d}",
                "in": "a/rg-app",
                "backup": {"vault": "rsv-1", "policy": "std"},
                **vm,
            },
            {"name": "bare", "in": "c/rg-c"},
            {"name": "second", "in": "b/rg-b", "backup": {"vault": "rsv-2", "policy": "std"}},
        ],
    }


def vault(simulator: Simulator, name: str = "rsv-1") -> str:
    subscription = simulator.estate.subscription_id("b")
    return f"/subscriptions/{subscription}/resourceGroups/rg-backup/providers/Microsoft.RecoveryServices/vaults/{name}"


def everything(simulator: Simulator, path: str, key: str = "nextLink", **query: str) -> list[Any]:
    reply = get(simulator, path, **query)
    rows = list(reply.body["value"])
    while reply.body.get(key):
        reply = send(simulator, "GET", reply.body[key])
        assert reply.status == 200
        rows += reply.body["value"]
    return rows


def item(simulator: Simulator) -> str:
    return str(everything(simulator, f"{vault(simulator)}/backupProtectedItems")[0]["id"])
