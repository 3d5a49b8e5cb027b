"""A second pretend ARM that shares nothing with the simulator: canned documents, and habits Azure might have."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Self

from aiohttp import web

from tests.audits import AS_OF, TOKEN

ONE = "11111111-AAAA-4111-8111-111111111111"
TWO = "22222222-bbbb-4222-8222-222222222222"
GRAPH = "/providers/microsoft.resourcegraph/resources"
VAULT = f"/subscriptions/{TWO}/resourceGroups/RG-Backup/providers/Microsoft.RecoveryServices/vaults/Rsv-Main"
POLICY = VAULT.replace("/subscriptions/", "/Subscriptions/") + "/backupPolicies/Daily30"
Row = dict[str, Any]


def machine(name: str, group: str, **more: Any) -> Row:
    return {
        "id": f"/subscriptions/{ONE}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachines/{name}",
        "name": name,
        "type": "microsoft.compute/virtualmachines",
        "location": "westeurope",
        "resourceGroup": group.lower(),
        "subscriptionId": ONE,
        "surprise": {"new": ["field"]},
        "properties": {"timeCreated": "2024-03-01T08:00:00.1234567+00:00", "vmId": "x", "newProperty": 1},
        **more,
    }


def item(name: str, group: str, *, listed: bool, **more: Any) -> Row:
    """Make a protected item; `listed`: as the vault's own list writes it, without a fabric, with a capital S."""
    container = f"IaasVMContainer;iaasvmcontainerv2;{group.upper()};{name.upper()}"
    tail = f"protectionContainers/{container}/protectedItems/VM;iaasvmcontainerv2;{group.upper()};{name.upper()}"
    vault = VAULT.replace("/subscriptions/", "/Subscriptions/") if listed else VAULT.lower()
    return {
        "id": f"{vault}/{tail}" if listed else f"{vault}/backupFabrics/Azure/{tail}",
        "name": f"VM;iaasvmcontainerv2;{group};{name}",
        "type": "Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems",
        "properties": {
            "backupManagementType": "AzureIaasVM",
            "virtualMachineId": f"/Subscriptions/{ONE.upper()}/resourceGroups/{group.upper()}"
            f"/providers/Microsoft.Compute/virtualMachines/{name.upper()}",
            "policyId": POLICY,
            "protectionState": "Protected",
            **more,
        },
    }


def rule(kind: str, count: int, unit: str) -> Row:
    return {f"{kind}Schedule": {"retentionDuration": {"count": count, "durationType": unit}}}


def rows() -> dict[str, list[Row]]:
    """Give the rows of the graph by type."""
    keep = rule("daily", 30, "Days") | rule("weekly", 12, "Weeks") | rule("monthly", 84, "Months")
    properties = {
        "backupManagementType": "AzureIaasVM",
        "schedulePolicy": {"schedulePolicyType": "SimpleSchedulePolicy", "scheduleRunFrequency": "Daily"},
        "retentionPolicy": {"retentionPolicyType": "LongTermRetentionPolicy", **keep},
    }
    return {
        "microsoft.resources/subscriptions": [
            {"id": f"/subscriptions/{ONE}", "name": "Same name", "subscriptionId": ONE, "properties": {}},
            {"id": f"/subscriptions/{TWO}", "name": "Same name", "subscriptionId": TWO},
        ],
        "microsoft.recoveryservices/vaults": [
            {
                "id": VAULT,
                "name": "Rsv-Main",
                "type": "microsoft.recoveryservices/vaults",
                "properties": {"provisioningState": "Succeeded"},
            }
        ],
        "microsoft.recoveryservices/vaults/backuppolicies": [
            {"id": POLICY, "name": "Daily30", "properties": properties}
        ],
        "microsoft.recoveryservices/vaults/backupfabrics/protectioncontainers/protecteditems": [
            item("web01", "rg-App", listed=False),
            item("gone", "rg-App", listed=False),
        ],
        "microsoft.compute/virtualmachines": [
            machine("web01", "rg-App", tags=None),
            machine("web01", "rg-other", properties={}),
            machine("WEB02", "RG-APP"),
            machine("bad-tags", "rg-app", tags="none"),
            machine("\u202e\x1b[31m<script>", "rg-app", zones=[]),
        ],
    }


@dataclass
class OtherArm:
    """Serves the documents above; a context manager."""

    graph: dict[str, list[Row]] = field(default_factory=rows)
    items: list[Row] = field(default_factory=lambda: [item("web01", "rg-App", listed=True)])
    no_list: int | None = None
    """Status of the vaults' own lists; None: they work."""
    totals: bool = False
    link_host: str | None = None
    """Where nextLinks lead; None: here."""
    list_body: bytes | None = None
    """What the vaults' lists answer instead."""
    compressed: bool = True
    url: str = ""
    log: list[tuple[str, str, int]] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = "http://{}:{}".format(*self._runner.addresses[0][:2])

    async def _handle(self, request: web.Request) -> web.Response:
        status, body = await self._answer(request)
        self.log.append((request.method, request.path, status))
        answer = web.Response(status=status, body=body, content_type="application/json")
        if self.compressed:
            answer.enable_compression()
        return answer

    async def _answer(self, request: web.Request) -> tuple[int, bytes]:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return 401, b'{"error": {"code": "AuthenticationFailed", "message": "no"}}'
        if request.method == "POST" and request.path.lower() == GRAPH:
            return self._query(await request.json())
        if request.method == "GET":
            return self._get(request)
        return 405, b""

    def _get(self, request: web.Request) -> tuple[int, bytes]:
        if request.path.lower() == f"{VAULT.lower()}/backupprotecteditems":
            if self.no_list is not None:
                return self.no_list, b'{"error": {"code": "NotHere", "message": "no such list"}}'
            return 200, self.list_body if self.list_body is not None else json.dumps({"value": self.items}).encode()
        if request.path.lower().startswith(VAULT.lower()) and request.path.endswith("/recoveryPoints"):
            return 200, self._points(request)
        return 404, b'{"error": {"code": "InvalidResourceType", "message": "no"}}'

    def _query(self, asked: Row) -> tuple[int, bytes]:
        kind = re.search(r"type\s*=~\s*'([^']+)'", asked["query"])
        found = self.graph.get(kind[1].lower(), []) if kind else []
        if asked.get("subscriptions"):
            wanted = {one.lower() for one in asked["subscriptions"]}
            found = [row for row in found if row["id"].lower().split("/")[2] in wanted]
        start = int((asked["options"].get("$skipToken") or "at-0").removeprefix("at-"))
        page = found[start : start + 2]
        answer: Row = {"data": page, "count": len(page), "resultTruncated": "false", "facets": []}
        if self.totals:
            answer["totalRecords"] = len(found)
        if start + 2 < len(found):
            answer["$skipToken"] = f"at-{start + 2}"
        return 200, json.dumps(answer).encode()

    def _points(self, request: web.Request) -> bytes:
        everything = [point(AS_OF - timedelta(days=day, hours=8)) for day in range(95)]
        start = int(request.query.get("$skipToken", "0"))
        body: Row = {"value": everything[start : start + 40]}
        if start + 40 < len(everything):
            where = self.link_host or self.url
            if where == "http://localhost":
                where = self.url.replace("127.0.0.1", "localhost")
            body["nextLink"] = (
                f"{where}{request.path.replace(';', '%3B')}?api-version=2016-12-01&$skipToken={start + 40}"
            )
        return json.dumps(body).encode()


def point(taken: datetime) -> Row:
    return {
        "name": str(int(taken.timestamp())),
        "properties": {
            "objectType": "IaasVMRecoveryPoint",
            "recoveryPointTime": taken.strftime("%Y-%m-%dT%H:%M:%S.1234567Z"),
            "recoveryPointTierDetails": [{"type": "HardenedRP", "status": "Valid"}],
        },
    }
