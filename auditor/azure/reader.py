"""Reads Azure through its SDKs: Resource Graph queries page by page, and the vaults' own lists."""

from __future__ import annotations

import asyncio
import inspect
import json
import zlib
from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlsplit

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DecodeError,
)
from azure.core.pipeline import policies
from azure.core.pipeline.transport import AioHttpTransport
from azure.core.rest import HttpRequest
from azure.mgmt.core import AsyncARMPipelineClient
from azure.mgmt.policyinsights.aio import PolicyInsightsClient
from azure.mgmt.policyinsights.models import QueryOptions
from azure.mgmt.recoveryservicesbackup.aio import RecoveryServicesBackupClient
from azure.mgmt.resourcegraph.aio import ResourceGraphClient
from azure.mgmt.resourcegraph.models import QueryRequest, QueryRequestOptions

from auditor import __version__
from auditor.azure.clouds import on_this_machine
from auditor.azure.pacing import Bucket, Patience, Window, asked_wait, retry_after
from auditor.azure.signin import SignIn
from auditor.collect.port import Answer, ReadError
from auditor.collect.rows import Marks
from auditor.model import CoverageState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from typing import Self

    from auditor.azure.clouds import Cloud
    from auditor.azure.pacing import Pace
    from auditor.inventory.catalogue import GraphQuestion, RestQuestion

PAGE = 1000
"""Rows of a Resource Graph page: the most it gives."""
FLYING = 64
"""Requests under way at the same time, all subscriptions together."""
CONNECT_SECONDS, READ_SECONDS = 30, 180
"""How long to wait for a connection, and for the next part of an answer."""
IDLE_PAGES = 10
"""Pages in a row without anything new, after which paging is taken for endless."""
_TRY_AGAIN = {408, 500, 502, 503, 504}
_INHERITED_API = "2022-10-01"
"""Version of Resource Graph's API that looks above the scope too."""


class AzureReader:
    """Implements `collect.Azure` over the SDKs. An async context manager; signing in happens on entry."""

    def __init__(self, cloud: Cloud, tenant: str | None = None, patience: Patience | None = None) -> None:
        """Prepare; nothing is asked yet.

        Raises:
            UsageError: a loopback endpoint without AUDITOR_TOKEN.
        """
        self.cloud = cloud
        self._signin = SignIn(cloud, tenant)
        self._patience = patience or Patience()
        self._clients: dict[tuple[Any, str], Any] = {}
        self._buckets: dict[str, Bucket] = {}
        self._graph: ResourceGraphClient | None = None
        self._page = PAGE
        self._answered = False
        self._offset: float | None = None
        self._setbacks: list[dict[str, Any]] = []

    async def __aenter__(self) -> Self:
        """Sign in."""
        try:
            await self._signin.sign_in()
        except BaseException:
            await self._signin.close()
            raise
        self._window = Window(self._patience)
        limit = self._patience.deadline_seconds
        self._deadline = None if limit is None else self._patience.clock() + limit
        self._flying = asyncio.Semaphore(FLYING)
        self._graph = ResourceGraphClient(**self._client())
        shared = self._client()
        self._arm: Any = AsyncARMPipelineClient(shared.pop("base_url"), **shared)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections."""
        if self._graph is not None:
            await self._graph.close()
            await self._arm.close()
        for client in self._clients.values():
            await client.close()
        await self._signin.close()

    @property
    def identity(self) -> Mapping[str, Any]:
        """Give the claims of the token that signs the requests."""
        return self._signin.identity

    @property
    def clock_offset(self) -> float | None:
        """See `collect.Azure.clock_offset`; of all answers the least, as a slow one only adds to it."""
        return self._offset

    @property
    def setbacks(self) -> Sequence[Mapping[str, Any]]:
        """See `collect.Azure.setbacks`."""
        return self._setbacks

    def _client(self) -> dict[str, Any]:
        """Give the arguments all clients share.

        The pipeline is our own: no retry policy (azure-core does not retry a throttled POST; ours does), no
        redirects, and above all not ARM's policy that registers resource providers, which writes.
        """
        return {
            "credential": self._signin.credential,
            "base_url": self.cloud.arm_endpoint,
            # A proxy named by the environment is for the way to Azure, not for a server on this machine.
            "transport": AioHttpTransport(
                connection_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS, use_env_settings=not self.cloud.loopback
            ),
            "policies": [
                policies.RequestIdPolicy(),
                # Servers and azure-core disagree on what `deflate` is.
                policies.HeadersPolicy({"Accept-Encoding": "gzip"}),
                policies.UserAgentPolicy(base_user_agent=f"azure-backup-auditor/{__version__}"),
                policies.ContentDecodePolicy(),
                self._signin.policy(),
                policies.CustomHookPolicy(),
            ],
        }

    # -- Resource Graph ---------------------------------------------------------------------------------------------

    async def query(
        self, question: GraphQuestion, subscriptions: Sequence[str] | None, *, top: int | None = None
    ) -> AsyncIterator[Answer]:
        """See `collect.Azure.query`."""
        token: str | None = None
        number, circle = 1, _Circle()
        while True:
            answer, token = await self._query_page(question, subscriptions, token, number, top or PAGE)
            circle.see(answer.rows)
            yield answer
            del answer
            if token is None:
                return
            circle.demand_progress(token)
            number += 1

    async def _query_page(
        self, question: GraphQuestion, subscriptions: Sequence[str] | None, token: str | None, number: int, top: int
    ) -> tuple[Answer, str | None]:
        while True:
            size = min(self._page, top)
            try:
                return await self._query_once(question, subscriptions, token, number, size)
            except _TooLargeError as error:
                if size == 1:
                    raise ReadError(
                        CoverageState.FAILED, "one row alone is larger than Resource Graph answers"
                    ) from error
                # For the rest of the run: what was too large for one question is so for its next pages too. Another
                # question may have learnt the same in the meantime.
                self._page = min(self._page, max(size // 2, 1))

    async def _query_once(
        self, question: GraphQuestion, subscriptions: Sequence[str] | None, token: str | None, number: int, size: int
    ) -> tuple[Answer, str | None]:
        graph = self._graph
        if graph is None:
            raise RuntimeError("use the reader as an async context manager")
        options: dict[str, Any] = {"$top": size, "resultFormat": "objectArray"}
        if token is not None:
            options["$skipToken"] = token
        heard = _Heard()
        if question.inherited:
            # The SDK's model does not know this option yet; Azure does since the version named here.
            options["authorizationScopeFilter"] = "AtScopeAboveAndBelow"
            body = {"query": question.kql, "options": options, **_scope(subscriptions)}
            request: Any = json.dumps(body).encode()
            more = {"api_version": _INHERITED_API}
        else:
            chosen = QueryRequestOptions(top=size, skip_token=token, result_format="objectArray")
            request = QueryRequest(query=question.kql, options=chosen, **_scope(subscriptions))
            more = {}
        result = await self._patiently(self._window, heard, lambda: graph.resources(request, **heard.hooks, **more))
        rows = _objects(result.data)
        entry = heard.entry(
            page=number,
            sent=question.kql,
            scope=_scope(subscriptions) or {"tenant": True},
            count=len(rows),
            total_records=result.total_records,
        )
        following = result.skip_token or None
        cut = str(result.result_truncated).lower() == "true" and following is None
        # A tenant of more subscriptions than Resource Graph looks through.
        limited = heard.headers.get("x-ms-tenant-subscription-limit-hit", "").lower() == "true"
        return Answer(heard.body, rows, result.total_records, cut or limited, entry), following

    # -- everything else --------------------------------------------------------------------------------------------

    async def ask(self, question: RestQuestion, subject: str, odata_filter: str | None) -> AsyncIterator[Answer]:
        """See `collect.Azure.ask`."""
        heard = _Heard()
        place = _parts(subject)
        subscription = place.get("subscriptions", "")
        bucket = self._buckets.setdefault(subscription.lower(), Bucket(self._patience))
        page = self._opened(question, subject, place, odata_filter, heard)
        link: str | None = None
        number, circle = 1, _Circle()
        while True:
            link = await self._patiently(bucket, heard, partial(page, link))
            rows = _listed(heard.body, single=question.single)
            circle.see(rows)
            scope = {"subscriptions": [subscription]} if subscription else {"tenant": True}
            entry = heard.entry(page=number, more=link is not None, sent=odata_filter, scope=scope, count=len(rows))
            yield Answer(heard.body, rows, None, truncated=False, entry=entry)
            del rows
            if link is None:
                return
            self._demand_own(link)
            circle.demand_progress(link)
            number += 1

    def _opened(
        self, question: RestQuestion, subject: str, place: Mapping[str, str], odata_filter: str | None, heard: _Heard
    ) -> Callable[[str | None], Awaitable[str | None]]:
        """Give what asks for one page (the first, or the one behind a link) and gives the link to the next."""
        if question.service == "GET":
            path, _, query = question.operation.partition("?")
            return partial(self._get, f"{self.cloud.arm_endpoint}{quote(subject + path)}?{query}", heard)
        subscription = _demand(place, "subscriptions")
        if question.service == "policyinsights":
            states: Any = self._of(PolicyInsightsClient, subscription).policy_states
            pager = getattr(states, question.operation.partition(".")[2])(
                policy_states_resource="latest",
                subscription_id=subscription,
                query_options=QueryOptions(filter=odata_filter),
                **heard.hooks,
            )
            return partial(_one_page, pager)
        wanted: dict[str, Any] = {
            "vault_name": _demand(place, "vaults"),
            "resource_group_name": _demand(place, "resourcegroups"),
            **heard.hooks,
        }
        if question.each == "protected item":
            wanted |= {
                "fabric_name": "Azure",
                "container_name": _demand(place, "protectioncontainers"),
                "protected_item_name": _demand(place, "protecteditems"),
            }
        if odata_filter:
            wanted["filter"] = odata_filter
        group, _, name = question.operation.partition(".")
        operation = getattr(getattr(self._of(RecoveryServicesBackupClient, subscription), group), name)
        if inspect.iscoroutinefunction(operation):
            return partial(_one_answer, partial(operation, **wanted))
        return partial(_one_page, operation(**wanted))

    def _of(self, kind: Any, subscription_id: str) -> Any:
        """Give the SDK's client of a kind for a subscription."""
        key = (kind, subscription_id.lower())
        if key not in self._clients:
            self._clients[key] = kind(subscription_id=subscription_id, **self._client())
        return self._clients[key]

    async def _get(self, url: str, heard: _Heard, link: str | None) -> str | None:
        """GET a path for which no SDK is at hand, over the same pipeline."""
        request = HttpRequest("GET", link or url)
        response = await self._arm.send_request(request, **heard.hooks)
        response.raise_for_status()
        document = response.json()
        return document.get("nextLink") if isinstance(document, dict) else None

    # -- trying again -----------------------------------------------------------------------------------------------

    async def _patiently(self, pace: Pace, heard: _Heard, attempt: Callable[[], Awaitable[Any]]) -> Any:
        """Try until it works, or until it is clear that it will not.

        Raises:
            ReadError: denied, not found, or still failing after the last try.
            _TooLargeError: Resource Graph's answer would be too large.
        """
        tried: Counter[_Trouble] = Counter()
        while True:
            if self._deadline is not None and self._patience.clock() >= self._deadline:
                raise ReadError(CoverageState.FAILED, "not asked: the deadline had passed")
            try:
                result = await self._once(pace, heard, attempt)
            except AzureError as error:
                trouble = heard.trouble(error)
                tried[trouble] += 1
                self._setbacks.append(heard.setback(error))
                if trouble is _Trouble.FINAL:
                    pace.lost = 0  # an answer, if not the one hoped for
                    if _too_large(error):
                        raise _TooLargeError from error
                    denied = heard.status == HTTPStatus.FORBIDDEN
                    state = CoverageState.DENIED if denied else CoverageState.FAILED
                    raise ReadError(state, heard.said(error), heard.status) from error
                if tried[trouble] >= self._allowed(trouble, pace):
                    pace.lost += 1
                    state = CoverageState.DENIED if trouble is _Trouble.REFUSED else CoverageState.FAILED
                    said = f"{heard.said(error)}, {tried[trouble]} times"
                    raise ReadError(state, said, heard.status) from error
            else:
                pace.lost = 0
                return result
            if trouble is _Trouble.THROTTLED:
                await pace.hold(self._patience.wait(tried[trouble], asked_wait(heard.headers)))
            elif trouble is _Trouble.FAILED:
                await self._patience.sleep(self._patience.wait(tried[trouble], retry_after(heard.headers)))
            # Refused: a token may have ended in mid-run; the next try brings a new one.

    async def _once(self, pace: Pace, heard: _Heard, attempt: Callable[[], Awaitable[Any]]) -> Any:
        heard.forget()
        number = await pace.enter()
        try:
            async with self._flying:
                return await attempt()
        except (AttributeError, KeyError, TypeError, ValueError, zlib.error) as error:
            if heard.status is None:
                raise
            # The SDK stumbles in many ways over a body that is JSON, but not what it asked for.
            raise DecodeError("the answer has not the form that was asked for") from error
        finally:
            self._answered = self._answered or heard.status is not None
            offsets = [offset for offset in (self._offset, heard.clock_offset()) if offset is not None]
            self._offset = min(offsets, key=abs, default=None)
            await pace.leave(number, heard.headers)

    def _allowed(self, trouble: _Trouble, pace: Pace) -> int:
        """Give how often a request in this trouble is tried."""
        patience = self._patience
        if trouble is _Trouble.REFUSED:
            return 3
        if trouble is _Trouble.THROTTLED:
            return patience.throttled_attempts if pace.lost == 0 else 1
        if not self._answered:
            return patience.unanswered_attempts
        return patience.attempts if pace.lost < patience.losses else 1

    def _demand_own(self, link: Any) -> None:
        """Make sure that a link to the next page leads to where the first came from: the token goes with it.

        Raises:
            ReadError: it leads elsewhere.
        """
        if not isinstance(link, str):
            raise ReadError(CoverageState.FAILED, "the link to the next page is none")
        there, here = urlsplit(link), urlsplit(self.cloud.arm_endpoint)
        same = (there.scheme.lower(), there.netloc.lower()) == (here.scheme, here.netloc.lower())
        # One machine has several names for itself: 127.0.0.1, localhost, ::1.
        near = self.cloud.loopback and there.port == here.port and there.scheme.lower() == "http"
        if there.netloc and not same and not (near and there.hostname and on_this_machine(there.hostname)):
            raise ReadError(CoverageState.FAILED, f"the next page is said to be at {there.netloc}, which is not Azure")


class _Trouble(Enum):
    """What to do about a failed try."""

    THROTTLED = auto()
    """Wait for the quota, then try again."""
    REFUSED = auto()
    """Not signed in: try once more, with a new token."""
    FAILED = auto()
    """No answer, a damaged one, or a fault of the server: try again."""
    FINAL = auto()
    """An answer that the next try would give as well."""


class _TooLargeError(Exception):
    """Resource Graph refuses an answer of more than 16 MiB."""


class _Heard:
    """Remembers the last response as it came over the wire."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.body = b""
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self._request: Any = None

    @property
    def hooks(self) -> dict[str, Any]:
        """Give the arguments that make the SDKs tell of each try."""
        return {"raw_request_hook": self.ask, "raw_response_hook": self.listen}

    def ask(self, request: Any) -> None:
        """Note what is asked, so that it is known where no answer comes."""
        self._request = request.http_request

    def listen(self, response: Any) -> None:
        """Take a response from the pipeline; called once for every try."""
        http = response.http_response
        self.status = http.status_code
        self.headers = {str(name).lower(): str(value) for name, value in http.headers.items()}
        self._request = response.http_request
        content = getattr(http, "content", None)
        self.body = content if isinstance(content, bytes) else http.body()

    def trouble(self, error: AzureError) -> _Trouble:
        """Tell what kind of failure this was."""
        if isinstance(error, ClientAuthenticationError) or self.status == HTTPStatus.UNAUTHORIZED:
            return _Trouble.REFUSED
        if self.status == HTTPStatus.TOO_MANY_REQUESTS:
            return _Trouble.THROTTLED
        # A bad request's cause stands in its body: cut short, it may be one that a smaller page answers.
        cut = isinstance(error, DecodeError) and self.status == HTTPStatus.BAD_REQUEST
        damaged = self.status is None or self.status == HTTPStatus.OK or cut
        return _Trouble.FAILED if damaged or self.status in _TRY_AGAIN else _Trouble.FINAL

    def said(self, error: AzureError) -> str:
        """Put a failure into a short sentence."""
        if self.status is None or self.status == HTTPStatus.OK:
            kind = "the answer was damaged" if self.status else "no answer"
            return f"{kind} ({type(error).__name__})"
        code = getattr(getattr(error, "error", None), "code", None)
        return f"HTTP {self.status}" + (f" {code}" if code else "")

    def setback(self, error: AzureError) -> dict[str, Any]:
        """Describe a try that came to nothing."""
        request = self._request
        return {
            "at": _now(),
            "method": request.method if request else None,
            "url": request.url if request else None,
            "status": self.status,
            "request_id": self.headers.get("x-ms-request-id"),
            "said": self.said(error),
        }

    def clock_offset(self) -> float | None:
        """Give the seconds that the answer's `Date` is ahead of this machine's clock; None where it has none."""
        try:
            date = parsedate_to_datetime(self.headers["date"])
            # It is cut to whole seconds.
            return (date + timedelta(milliseconds=500) - datetime.now(UTC)).total_seconds()
        except (KeyError, TypeError, ValueError):
            return None

    def entry(self, **more: Any) -> dict[str, Any]:
        """Describe the request and the response for raw/responses.jsonl."""
        parts = urlsplit(self._request.url)
        return {
            "method": self._request.method,
            "url": self._request.url,
            "api_version": (parse_qs(parts.query).get("api-version") or [""])[0],
            "status": self.status,
            "request_id": self.headers.get("x-ms-request-id"),
            "correlation_id": self.headers.get("x-ms-correlation-request-id"),
            "date": self.headers.get("date"),
            "received_at": _now(),
            **more,
        }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _scope(subscriptions: Sequence[str] | None) -> dict[str, Any]:
    return {} if subscriptions is None else {"subscriptions": list(subscriptions)}


def _parts(resource_id: str) -> dict[str, str]:
    """Cut an ARM id into its pairs: lower-cased kind -> name."""
    words = resource_id.strip("/").split("/")
    return {kind.lower(): name for kind, name in zip(words[::2], words[1::2], strict=False)}


def _demand(place: Mapping[str, str], kind: str) -> str:
    """Give a part of an ARM id.

    Raises:
        ReadError: it is not in it.
    """
    if not place.get(kind):
        raise ReadError(CoverageState.FAILED, f"the id names no {kind}: it can't be asked for")
    return place[kind]


def _objects(value: Any) -> list[Mapping[str, Any]]:
    """Give the resources of an answer.

    Raises:
        ReadError: it is not a list of JSON objects.
    """
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise ReadError(CoverageState.FAILED, "the answer is not a list of resources")
    return value


def _listed(body: bytes, *, single: bool) -> list[Mapping[str, Any]]:
    """Read the resources of a body: those of a list, or the one that it is.

    Raises:
        ReadError: it is neither.
    """
    document = json.loads(body)
    if not isinstance(document, dict):
        raise ReadError(CoverageState.FAILED, "the answer is not a JSON object")
    return [document] if single else _objects(document.get("value"))


async def _one_page(pager: Any, link: str | None) -> str | None:
    """Ask for one page of a list, the first or the one behind `link`; give the link to the next."""
    pages = pager.by_page(link)
    await anext(pages)
    following: str | None = pages.continuation_token
    return following


async def _one_answer(call: Callable[[], Awaitable[Any]], _link: str | None) -> None:
    """Ask for something that is a single page."""
    await call()


class _Circle:
    """Notices paging that leads nowhere."""

    def __init__(self) -> None:
        self._links, self._rows = Marks(), Marks()
        self._idle = 0

    def see(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take a page."""
        new = [self._rows.add(str(row.get("id")).lower()) for row in rows]
        self._idle = 0 if any(new) else self._idle + 1

    def demand_progress(self, link: str) -> None:
        """Take the link to the next page.

        Raises:
            ReadError: the link was there before, or many pages brought nothing new.
        """
        if not self._links.add(link) or self._idle >= IDLE_PAGES:
            raise ReadError(CoverageState.FAILED, f"paging ran in a circle after {len(self._rows)} rows")


def _too_large(error: AzureError) -> bool:
    inner = getattr(error, "error", None)
    details = getattr(inner, "details", None) or []
    codes = {getattr(inner, "code", None), *(getattr(detail, "code", None) for detail in details)}
    return "ResponsePayloadTooLarge" in codes
