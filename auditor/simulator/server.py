"""A pretend Azure Resource Manager on loopback HTTP, in a thread of its own."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

from aiohttp import web

from auditor.simulator.arm import ResourceManager
from auditor.simulator.faults import Faults, Ordinals
from auditor.simulator.kql import PAYLOAD_LIMIT
from auditor.simulator.quota import Quota, Window
from auditor.simulator.replies import Answer, Call, error, throttled_arm, throttled_graph

if TYPE_CHECKING:
    from types import TracebackType

    from auditor.simulator.estate import Estate

_DEFAULT_QUOTA = Quota()


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it was received, and the status it got (0: the connection was reset)."""

    method: str
    path: str
    """Percent-decoded."""
    query: dict[str, str]
    body: Any
    """Parsed JSON, or the text, or None."""
    status: int
    at: float
    """Seconds on arrival, by the quota's clock."""


class Simulator:
    """Serves an estate as Azure would; a context manager.

    Its `url` is what a collector gets as ARM endpoint; `token` is the only bearer token it accepts.
    """

    def __init__(
        self,
        estate: Estate,
        *,
        token: str = "simulator",  # noqa: S107 - not a secret: it guards nothing but a pretence
        faults: Faults | None = None,
        quota: Quota | None = _DEFAULT_QUOTA,
        page_size: int = 200,
        payload_limit: int = PAYLOAD_LIMIT,
        port: int = 0,
    ) -> None:
        """`quota=None`: never throttle; `page_size`: of REST lists; `payload_limit`: bytes; `port` 0: any free one.

        Time is the quota's clock; without a quota the real one.
        """
        self.estate = estate
        self.faults = faults or Faults()
        self.log: list[Request] = []
        self.url = ""
        self._token, self._port = token, port
        self._window = Window(quota)
        self._clock = quota.clock if quota else time.monotonic
        self._first: float | None = None
        self._ordinals = Ordinals(self.faults)
        self._manager = ResourceManager(estate, self.faults, page_size, payload_limit)
        self._loop = asyncio.new_event_loop()
        self._runner: web.AppRunner | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="azure-simulator", daemon=True)

    def __enter__(self) -> Self:
        """Start serving; `url` is set afterwards."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop serving and free the port."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._manager.graph.close()

    def requests(self, *, method: str = "", path: str = "", status: int | None = None) -> list[Request]:
        """Give the logged requests of this method, with this text in their path (any case), with this status."""
        return [
            request
            for request in self.log
            if (not method or request.method == method)
            and path.lower() in request.path.lower()
            and (status is None or request.status == status)
        ]

    def graph_requests(self, table: str = "") -> list[Request]:
        """Give the logged Resource Graph queries, of one table where named."""
        found = [request for request in self.log if ResourceManager.is_graph(request.path)]
        return [request for request in found if not table or _first_table(request.body) == table.lower()]

    async def _start(self) -> None:
        application = web.Application(client_max_size=16 * 1024 * 1024)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"

    async def _stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        arrived = self._clock()
        self._first = arrived if self._first is None else self._first
        raw = await request.read()
        call = Call(
            method=request.method, path=request.path, query=dict(request.query), body=raw,
            content_type=request.content_type if "Content-Type" in request.headers else "", base=self.url,
            raw_path=request.rel_url.raw_path,
        )  # fmt: skip
        if self.faults.delay:
            await asyncio.sleep(self.faults.delay)
        answer = self._unsigned(request)
        reset = truncated = False
        if answer is None:
            number = self._ordinals.matching(f"{call.method} {call.path} {raw.decode(errors='replace')}")
            reset = number in self.faults.reset_requests
            truncated = number in self.faults.truncated_requests
            if number in self.faults.unauthorized_requests:
                answer = _unauthorized("ExpiredAuthenticationToken", "The access token has expired.")
            else:
                answer = await self._signed(call, arrived - self._first)
        self.log.append(
            Request(call.method, call.path, dict(call.query), _parsed(raw), 0 if reset else answer.status, arrived)
        )
        if reset:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        body = answer.body[: len(answer.body) // 2] if truncated else answer.body
        headers = {
            "x-ms-request-id": str(uuid4()),
            "x-ms-correlation-request-id": request.headers.get("x-ms-correlation-request-id", str(uuid4())),
            "x-ms-ratelimit-remaining-subscription-reads": "249",
            "x-ms-ratelimit-remaining-subscription-global-reads": "3749",
            "Date": format_datetime(datetime.now(UTC) + timedelta(seconds=self.faults.clock_offset), usegmt=True),
            "Cache-Control": "no-cache",
            "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
            "X-Content-Type-Options": "nosniff",
        }
        return web.Response(
            status=answer.status, body=body, headers=headers | dict(answer.headers), content_type="application/json",
            charset="utf-8",
        )  # fmt: skip

    def _unsigned(self, request: web.Request) -> Answer | None:
        given = request.headers.get("Authorization", "")
        if not given:
            return _unauthorized(
                "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing."
            )
        if given != f"Bearer {self._token}":
            return _unauthorized("InvalidAuthenticationToken", "The access token is invalid.")
        return None

    async def _signed(self, call: Call, elapsed: float) -> Answer:
        faults = self.faults
        graph = call.method == "POST" and ResourceManager.is_graph(call.path)
        number = self._ordinals.next("arg" if graph else "rest")
        again = {} if faults.retry_after is None else {"Retry-After": f"{faults.retry_after:g}"}
        storm, burst = (faults.arg_429, faults.arg_5xx) if graph else (faults.rest_429, faults.rest_5xx)
        always = faults.arg_429_always if graph else faults.rest_429_always
        if always or number <= storm or elapsed < faults.storm_seconds:
            parts = call.path.split("/")
            answer = throttled_graph() if graph else throttled_arm(parts[2] if len(parts) > 2 else "")  # noqa: PLR2004
            quota = {"x-ms-user-quota-remaining": "0", "x-ms-user-quota-resets-after": "00:00:01"} if graph else {}
            return Answer(answer.status, answer.body, quota | again)
        if number <= storm + burst:
            codes = {500: "InternalServerError", 502: "BadGateway", 503: "ServiceUnavailable", 504: "GatewayTimeout"}
            code = codes.get(faults.status_5xx, "InternalServerError")
            return error(faults.status_5xx, code, "The service is not available at the moment.", headers=again)
        if not graph:
            return self._manager.answer(call)
        allowed, headers = self._window.take()
        answer = await asyncio.to_thread(self._manager.answer, call) if allowed else throttled_graph()
        return Answer(answer.status, answer.body, headers | dict(answer.headers))


def _first_table(body: object) -> str:
    query = str(body.get("query", "")) if isinstance(body, dict) else ""
    found = re.search(r"^\s*(\w+)", re.sub(r"//[^\n]*", "", query))
    return found[1].lower() if found else ""


def _unauthorized(code: str, message: str) -> Answer:
    where = 'Bearer authorization_uri="https://login.microsoftonline.com/organizations", error="invalid_token"'
    return error(401, code, message, headers={"WWW-Authenticate": where})


def _parsed(raw: bytes) -> Any:
    if not raw:
        return None
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode(errors="replace")
