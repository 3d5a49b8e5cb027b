"""Calls and answers: envelopes of errors, OData filters, what is left out of a body."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from auditor.simulator.clock import ticks
from auditor.simulator.naming import guid

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from auditor.simulator.compute import Json

_TERM = re.compile(r"\s*([\w./]+)\s+eq\s+(?:'((?:[^']|'')*)'|(\w+))\s*", re.IGNORECASE)
_DATE_FORMATS = ("%Y-%m-%d %I:%M:%S %p", "%Y-%m-%d %H:%M:%S %p")


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, body and headers of one answer."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def reply(document: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """Answer with a JSON document."""
    return Answer(status, json.dumps(document, ensure_ascii=False).encode(), headers or {})


def error(
    status: int,
    code: str,
    message: str,
    details: Iterable[tuple[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Answer with ARM's error envelope."""
    inner: Json = {"code": code, "message": message}
    listed = [{"code": inner_code, "message": text} for inner_code, text in details]
    if listed:
        inner["details"] = listed
    return reply({"error": inner}, status, headers)


class RefusedError(Exception):
    """A request that gets an error instead of what it asked for."""

    def __init__(self, answer: Answer) -> None:
        """Carry the answer."""
        super().__init__(answer.body.decode())
        self.answer = answer


def graph_error(status: int, code: str, details: Iterable[tuple[str, str]]) -> Answer:
    """Answer with Resource Graph's envelope: the outer message is only for support, the cause is in the details."""
    now = ticks(datetime.now(UTC))
    message = f"Please provide below info when asking for support: timestamp = {now}, correlationId = {guid(now)}."
    return error(status, code, message, details)


def throttled_graph() -> Answer:
    """Answer 429 as Resource Graph does."""
    text = (
        "Client application has been throttled and should not attempt to repeat the request until an amount of time "
        "has elapsed. Please see https://aka.ms/resourcegraph-throttling for help."
    )
    return graph_error(429, "RateLimiting", [("RateLimiting", text)])


def throttled_arm(subscription: str) -> Answer:
    """Answer 429 as ARM's token bucket does."""
    message = (
        f"Number of 'read' requests for subscription '{subscription}' actor 'auditor' exceeded. "
        "Please try again after '1' seconds after additional tokens are available."
    )
    return error(429, "SubscriptionRequestsThrottled", message)


def terms(text: str, known: Collection[str] | None = None) -> dict[str, str]:
    """Read an OData filter of `eq` terms joined by `and` into lower-cased key -> value.

    Any other key than the `known` ones is refused; None knows all.
    """
    found_terms: dict[str, str] = {}
    rest = text
    while rest.strip():
        found = _TERM.match(rest)
        if not found:
            raise RefusedError(error(400, "BMSUserErrorInvalidInput", f"The filter {text!r} is not valid."))
        found_terms[found[1].lower()] = found[2] if found[2] is not None else found[3]
        rest = re.sub(r"^and\s+", "", rest[found.end() :], flags=re.IGNORECASE)
    unknown = [] if known is None else sorted(found_terms.keys() - set(known))
    if unknown:
        raise RefusedError(error(400, "BMSUserErrorInvalidInput", f"The filter key {unknown[0]} is not supported."))
    return found_terms


def date_of(text: str) -> datetime:
    """Read the date of a filter, which only the Backup service writes so."""
    for layout in _DATE_FORMATS:
        try:
            return datetime.strptime(text, layout).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise RefusedError(error(400, "BMSUserErrorInvalidInput", f"{text!r} is not such as '2026-11-01 12:00:00 AM'."))


@dataclass(frozen=True, slots=True)
class Call:
    """One request, taken apart."""

    method: str
    path: str
    """Percent-decoded."""
    query: Mapping[str, str]
    body: bytes
    content_type: str
    base: str
    """`http://127.0.0.1:port`."""
    raw_path: str
    """As sent, for nextLinks."""

    def parameter(self, name: str) -> str | None:
        """Read a query parameter, whatever the case of its name."""
        return next((value for key, value in self.query.items() if key.lower() == name.lower()), None)


def denied_graph() -> Answer:
    """Answer 403 as Resource Graph does where nothing of a scope can be read."""
    message = "Access is denied to the requested resource. The user might not have enough permission."
    return graph_error(403, "Forbidden", [("AccessDenied", message)])


def forbidden(path: str, scope: str, method: str = "GET") -> Answer:
    """Answer 403 as ARM does, with the action that is lacking."""
    verb = "action" if method == "POST" else "read"
    kinds = re.sub(r".*/providers/", "", path).split("/")
    action = "/".join([kinds[0], *kinds[1::2], verb]) if len(kinds) > 1 else "Microsoft.Resources/subscriptions/read"
    message = (
        f"The client 'auditor' with object id '{guid('auditor')}' does not have authorization to perform action "
        f"'{action}' over scope '{scope}' or the scope is invalid. If access was recently granted, please refresh your "
        "credentials."
    )
    return error(403, "AuthorizationFailed", message)


def absent(kind: str, name: str, group: str) -> Answer:
    """Answer 404 as ARM does for a resource."""
    message = (
        f"The Resource '{kind}/{name}' under resource group '{group}' was not found. "
        "For more details please go to https://aka.ms/ARMResourceNotFoundFix"
    )
    return error(404, "ResourceNotFound", message)


def without(value: Any, path: Sequence[str]) -> Any:
    """Leave a property out of a document, and out of every element of the lists on its path."""
    if isinstance(value, list):
        return [without(element, path) for element in value]
    if not isinstance(value, dict) or path[0] not in value:
        return value
    if len(path) == 1:
        return {key: inner for key, inner in value.items() if key != path[0]}
    return value | {path[0]: without(value[path[0]], path[1:])}
