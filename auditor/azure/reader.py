"""Reads Azure through its SDKs: Resource Graph queries page by page, and the vaults' own lists."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DecodeError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.core.pipeline import policies
from azure.mgmt.recoveryservicesbackup.aio import RecoveryServicesBackupClient
from azure.mgmt.resourcegraph.aio import ResourceGraphClient
from azure.mgmt.resourcegraph.models import QueryRequest, QueryRequestOptions

from auditor import __version__
from auditor.azure.pacing import Bucket, Patience, Window
from auditor.azure.signin import SignIn
from auditor.collect import Answer, ReadError
from auditor.model import CoverageState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from typing import Self

    from auditor.azure.clouds import Cloud
    from auditor.azure.pacing import Pace

PAGE = 1000
"""Rows of a Resource Graph page: the most it gives."""
_TRY_AGAIN = {408, 429, 500, 502, 503, 504}
_VM_ITEMS = "backupManagementType eq 'AzureIaasVM' and itemType eq 'VM'"


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
        self._backups: dict[str, RecoveryServicesBackupClient] = {}
        self._buckets: dict[str, Bucket] = {}
        self._graph: ResourceGraphClient | None = None
        self._page = PAGE

    async def __aenter__(self) -> Self:
        """Sign in."""
        try:
            await self._signin.sign_in()
        except BaseException:
            await self._signin.close()
            raise
        self._window = Window(self._patience)
        self._graph = ResourceGraphClient(**self._client())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections."""
        if self._graph is not None:
            await self._graph.close()
        for client in self._backups.values():
            await client.close()
        await self._signin.close()

    @property
    def identity(self) -> Mapping[str, Any]:
        """Give the claims of the token that signs the requests."""
        return self._signin.identity

    def _client(self) -> dict[str, Any]:
        """Give the arguments all clients share.

        The pipeline is our own: no retry policy (azure-core does not retry a throttled POST; ours does), no
        redirects, and above all not ARM's policy that registers resource providers, which writes.
        """
        return {
            "credential": self._signin.credential,
            "base_url": self.cloud.arm_endpoint,
            "policies": [
                policies.RequestIdPolicy(),
                policies.HeadersPolicy(),
                policies.UserAgentPolicy(base_user_agent=f"azure-backup-auditor/{__version__}"),
                policies.ContentDecodePolicy(),
                self._signin.policy(),
                policies.CustomHookPolicy(),
            ],
        }

    # -- Resource Graph ---------------------------------------------------------------------------------------------

    async def query(self, kql: str, subscriptions: Sequence[str] | None) -> AsyncIterator[Answer]:
        """See `collect.Azure.query`."""
        token: str | None = None
        number, rows, passed = 1, 0, set[str]()
        while True:
            answer, token = await self._query_page(kql, subscriptions, token, number)
            rows += len(answer.rows)
            yield answer
            if token is None:
                return
            if token in passed or not answer.rows:
                raise ReadError(CoverageState.FAILED, f"paging ran in a circle after {rows} rows")
            passed.add(token)
            number += 1

    async def _query_page(
        self, kql: str, subscriptions: Sequence[str] | None, token: str | None, number: int
    ) -> tuple[Answer, str | None]:
        while True:
            try:
                return await self._query_once(kql, subscriptions, token, number)
            except _TooLargeError as error:
                if self._page == 1:
                    raise ReadError(
                        CoverageState.FAILED, "one row alone is larger than Resource Graph answers"
                    ) from error
                # For the rest of the run: what was too large for one question is so for its next pages too.
                self._page = max(self._page // 2, 1)

    async def _query_once(
        self, kql: str, subscriptions: Sequence[str] | None, token: str | None, number: int
    ) -> tuple[Answer, str | None]:
        graph = self._graph
        if graph is None:
            raise RuntimeError("use the reader as an async context manager")
        request = QueryRequest(
            query=kql,
            subscriptions=list(subscriptions) if subscriptions is not None else None,
            options=QueryRequestOptions(top=self._page, skip_token=token, result_format="objectArray"),
        )
        heard = _Heard()
        result = await self._patiently(
            self._window, heard, lambda: graph.resources(request, raw_response_hook=heard.listen)
        )
        rows = result.data if isinstance(result.data, list) else None
        if rows is None:
            raise ReadError(CoverageState.FAILED, "Resource Graph answered without a list of rows")
        entry = heard.entry(
            page=number,
            sent=kql,
            scope={"subscriptions": list(subscriptions)} if subscriptions is not None else {"tenant": True},
            count=len(rows),
            total_records=result.total_records,
        )
        following = result.skip_token or None
        truncated = str(result.result_truncated).lower() == "true" and following is None
        return Answer(heard.body, rows, result.total_records, truncated, entry), following

    # -- Recovery Services ------------------------------------------------------------------------------------------

    async def vault_items(self, vault_id: str) -> AsyncIterator[Answer]:
        """See `collect.Azure.vault_items`."""
        place = _parts(vault_id)
        client = self._backup(place["subscriptions"])
        heard = _Heard()
        pager = client.backup_protected_items.list(
            vault_name=place["vaults"],
            resource_group_name=place["resourcegroups"],
            filter=_VM_ITEMS,
            raw_response_hook=heard.listen,
        )
        async for answer in self._pages(pager, place["subscriptions"], heard, _VM_ITEMS):
            yield answer

    async def recovery_points(self, item_id: str) -> AsyncIterator[Answer]:
        """See `collect.Azure.recovery_points`."""
        place = _parts(item_id)
        client = self._backup(place["subscriptions"])
        heard = _Heard()
        pager = client.recovery_points.list(
            vault_name=place["vaults"],
            resource_group_name=place["resourcegroups"],
            fabric_name="Azure",
            container_name=place["protectioncontainers"],
            protected_item_name=place["protecteditems"],
            raw_response_hook=heard.listen,
        )
        async for answer in self._pages(pager, place["subscriptions"], heard, None):
            yield answer

    def _backup(self, subscription_id: str) -> RecoveryServicesBackupClient:
        key = subscription_id.lower()
        if key not in self._backups:
            self._backups[key] = RecoveryServicesBackupClient(subscription_id=subscription_id, **self._client())
            self._buckets[key] = Bucket(self._patience)
        return self._backups[key]

    async def _pages(self, pager: Any, subscription_id: str, heard: _Heard, sent: str | None) -> AsyncIterator[Answer]:
        bucket = self._buckets[subscription_id.lower()]
        pages = pager.by_page()
        number, passed = 1, set[str]()
        while True:
            try:
                # A failed try leaves the pager where it was, so that the same page is asked for again.
                await self._patiently(bucket, heard, pages.__anext__)
            except StopAsyncIteration:
                return
            try:
                rows = json.loads(heard.body).get("value") or []
            except (ValueError, AttributeError) as error:
                raise ReadError(CoverageState.FAILED, "the answer is not a list") from error
            entry = heard.entry(page=number, sent=sent, scope={"subscriptions": [subscription_id]}, count=len(rows))
            yield Answer(heard.body, rows, None, truncated=False, entry=entry)
            link = pages.continuation_token
            if link is not None and link in passed:
                raise ReadError(CoverageState.FAILED, f"paging ran in a circle after {number} pages")
            passed.add(link)
            number += 1

    # -- trying again -----------------------------------------------------------------------------------------------

    async def _patiently(self, pace: Pace, heard: _Heard, attempt: Callable[[], Awaitable[Any]]) -> Any:
        """Try until it works, or until it is clear that it will not.

        Raises:
            ReadError: denied, not found, or still failing after the last try.
            _TooLargeError: Resource Graph's answer would be too large.
            StopAsyncIteration: the pager has no more pages.
        """
        refused = 0
        for number in range(1, self._patience.attempts + 1):
            heard.forget()
            await pace.enter()
            failure: AzureError | None = None
            try:
                result = await attempt()
            except (HttpResponseError, ServiceRequestError, ServiceResponseError, DecodeError) as error:
                failure = error
            finally:
                await pace.leave(heard.headers)
            if failure is None:
                return result
            status = heard.status if heard.status is not None else getattr(failure, "status_code", None)
            if isinstance(failure, ClientAuthenticationError) or status == HTTPStatus.UNAUTHORIZED:
                refused += 1
                if refused > 1:
                    raise ReadError(CoverageState.DENIED, _said(failure, status), status) from failure
                continue  # a token may have ended in mid-run: the next try brings a new one
            broken = status is None or status == HTTPStatus.OK
            if not broken and status not in _TRY_AGAIN:
                if _too_large(failure):
                    raise _TooLargeError from failure
                denied = status == HTTPStatus.FORBIDDEN
                state = CoverageState.DENIED if denied else CoverageState.FAILED
                raise ReadError(state, _said(failure, status), status) from failure
            if number == self._patience.attempts:
                said = f"{_said(failure, status)}, {number} times"
                raise ReadError(CoverageState.FAILED, said, status) from failure
            wait = self._patience.wait(number, heard.headers if not broken else {})
            if status == HTTPStatus.TOO_MANY_REQUESTS:
                await pace.hold(wait)
            else:
                await self._patience.sleep(wait)
        raise AssertionError("the last try returns or raises")


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

    def listen(self, response: Any) -> None:
        """Take a response from the pipeline; called once for every try."""
        http = response.http_response
        self.status = http.status_code
        self.headers = {str(name).lower(): str(value) for name, value in http.headers.items()}
        self._request = response.http_request
        content = getattr(http, "content", None)
        self.body = content if isinstance(content, bytes) else http.body()

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
            "received_at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            **more,
        }


def _parts(resource_id: str) -> dict[str, str]:
    """Cut an ARM id into its pairs: lower-cased kind -> name."""
    words = resource_id.strip("/").split("/")
    return {kind.lower(): name for kind, name in zip(words[::2], words[1::2], strict=False)}


def _too_large(error: AzureError) -> bool:
    inner = getattr(error, "error", None)
    details = getattr(inner, "details", None) or []
    codes = {getattr(inner, "code", None), *(getattr(detail, "code", None) for detail in details)}
    return "ResponsePayloadTooLarge" in codes


def _said(error: AzureError, status: int | None) -> str:
    """Put a failure into a short sentence."""
    inner = getattr(error, "error", None)
    code = getattr(inner, "code", None)
    if status is None or status == HTTPStatus.OK:
        kind = "the answer was damaged" if status else "no answer"
        return f"{kind} ({type(error).__name__})"
    return f"HTTP {status}" + (f" {code}" if code else "")
