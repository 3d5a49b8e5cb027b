"""The management API's answers: routes, scopes, filters, pages and error envelopes."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from auditor.simulator import backup
from auditor.simulator.clock import ticks
from auditor.simulator.kql import MAX_TOP, PAYLOAD_LIMIT, Ask, Graph, QueryRefusedError
from auditor.simulator.naming import guid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from auditor.simulator.compute import Json
    from auditor.simulator.estate import Estate
    from auditor.simulator.faults import Faults

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


def _terms(text: str) -> dict[str, str]:
    """Read an OData filter of `eq` terms joined by `and` into lower-cased key -> value."""
    terms: dict[str, str] = {}
    rest = text
    while rest.strip():
        found = _TERM.match(rest)
        if not found:
            raise RefusedError(error(400, "BMSUserErrorInvalidInput", f"The filter {text!r} is not valid."))
        terms[found[1].lower()] = found[2] if found[2] is not None else found[3]
        rest = re.sub(r"^and\s+", "", rest[found.end() :], flags=re.IGNORECASE)
    return terms


def _date(text: str) -> datetime:
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


class ResourceManager:
    """Answers the calls of somebody who may read an estate, less what the faults deny."""

    def __init__(self, estate: Estate, faults: Faults, page_size: int, payload_limit: int = PAYLOAD_LIMIT) -> None:
        """`page_size`: rows of a REST list's page."""
        self._estate, self._faults, self._page_size = estate, faults, page_size
        denied = {estate.subscription_id(key) for key in faults.denied_subscriptions}
        self._denied = frozenset(denied)
        self._readable = frozenset(s.id for s in estate.subscriptions.values() if s.id not in denied)
        hidden = {name.lower() for name in faults.denied_vaults}
        self._hidden_vaults = tuple(v.id.lower() for v in estate.vaults.values() if v.name.lower() in hidden)
        closed = hidden | {name.lower() for name in faults.rest_denied_vaults}
        self._closed_vaults = frozenset(v.id.lower() for v in estate.vaults.values() if v.name.lower() in closed)
        self.graph = Graph(self._rows, estate.as_of, faults, payload_limit)
        group = r"/subscriptions/(?P<s>[^/]+)/resourceGroups/(?P<g>[^/]+)"
        vault = rf"{group}/providers/Microsoft\.RecoveryServices/vaults/(?P<v>[^/]+)"
        container = rf"{vault}/backupFabrics/[^/]+/protectionContainers/(?P<c>[^/]+)"
        item = rf"{container}/protectedItems/(?P<i>[^/]+)"
        listed = r"/subscriptions/(?P<s>[^/]+)/providers/Microsoft\."
        states = r"/providers/Microsoft\.PolicyInsights/policyStates/(?P<w>[^/]+)/queryResults"
        routes: list[tuple[str, str, Callable[..., Answer]]] = [
            ("GET", r"/subscriptions", self._list_subscriptions),
            ("GET", r"/subscriptions/(?P<s>[^/]+)", self._get_subscription),
            ("GET", r"/subscriptions/(?P<s>[^/]+)/resourceGroups", self._list_groups),
            ("GET", rf"{listed}RecoveryServices/vaults", self._list_vaults),
            ("GET", rf"{listed}Compute/virtualMachines", self._list_machines),
            ("GET", rf"{listed}Compute/disks", self._list_disks),
            ("GET", rf"{listed}Compute/snapshots", self._list_snapshots),
            ("GET", vault, self._get_vault),
            ("GET", rf"{vault}/backupProtectedItems", self._list_items),
            ("GET", item, self._get_item),
            ("GET", rf"{item}/recoveryPoints", self._list_points),
            ("GET", rf"{item}/recoveryPoints/(?P<p>[^/]+)", self._get_point),
            ("GET", rf"{vault}/backupPolicies", self._list_policies),
            ("GET", rf"{vault}/backupPolicies/(?P<p>[^/]+)", self._get_policy),
            ("GET", rf"{vault}/backupJobs", self._list_jobs),
            ("GET", rf"{vault}/backupconfig/vaultconfig", self._get_config),
            ("GET", rf"{vault}/backupstorageconfig/vaultstorageconfig", self._get_storage),
            ("GET", rf"{vault}/backupResourceGuardProxies", self._list_guards),
            ("POST", rf"/subscriptions/(?P<s>[^/]+){states}", self._subscription_states),
            ("POST", rf"/providers/Microsoft\.Management/managementGroups/(?P<m>[^/]+){states}", self._group_states),
            ("POST", r"/providers/Microsoft\.ResourceGraph/resources", self._graph_query),
        ]
        self._routes = [(method, re.compile(path, re.IGNORECASE), give) for method, path, give in routes]

    @staticmethod
    def is_graph(path: str) -> bool:
        """Tell whether a path is the query service's."""
        return path.rstrip("/").lower() == "/providers/microsoft.resourcegraph/resources"

    def answer(self, call: Call) -> Answer:
        """Answer a signed call."""
        path = re.sub("//+", "/", call.path).rstrip("/") or "/"
        methods = set()
        for method, pattern, give in self._routes:
            found = pattern.fullmatch(path)
            if not found:
                continue
            methods.add(method)
            if method != call.method:
                continue
            if not call.parameter("api-version"):
                message = "The api-version query parameter (?api-version=) is required for all requests."
                return error(400, "MissingApiVersionParameter", message)
            parts = found.groupdict()
            try:
                if "s" in parts:
                    self._check_subscription(parts["s"], path)
                return give(call, **parts)
            except RefusedError as refused:
                return refused.answer
        if methods or call.method not in ("GET", "HEAD", "POST"):
            message = f"The requested resource does not support http method '{call.method}'."
            return error(405, "MethodNotAllowed", message, headers={"Allow": ", ".join(sorted(methods)) or "GET"})
        message = f"The resource type could not be found for the path '{path}'."
        return error(404, "InvalidResourceType", message)

    # --- who may read what --------------------------------------------------------------------------------------

    def _rows(self, table: str) -> Iterator[Json]:
        for row in self._estate.rows(table):
            if row["subscriptionId"] in self._denied:
                continue
            if self._hidden_vaults:
                identifier = row["id"].lower()
                if any(identifier == vault or identifier.startswith(f"{vault}/") for vault in self._hidden_vaults):
                    continue
            yield row

    def _check_subscription(self, subscription: str, path: str) -> None:
        identity = subscription.lower()
        if identity in self._denied:
            raise RefusedError(_forbidden(path, f"/subscriptions/{subscription}"))
        if identity not in self._readable:
            message = f"The subscription '{subscription}' could not be found."
            raise RefusedError(error(404, "SubscriptionNotFound", message))

    def _vault(self, s: str, g: str, v: str, path: str) -> backup.Vault:
        estate = self._estate
        if (s.lower(), g.lower()) not in estate.groups:
            raise RefusedError(error(404, "ResourceGroupNotFound", f"Resource group '{g}' could not be found."))
        vault = estate.vaults.get((s.lower(), g.lower(), v.lower()))
        if vault is None:
            message = (
                f"The Resource 'Microsoft.RecoveryServices/vaults/{v}' under resource group '{g}' was not found. "
                "For more details please go to https://aka.ms/ARMResourceNotFoundFix"
            )
            raise RefusedError(error(404, "ResourceNotFound", message))
        if vault.id.lower() in self._closed_vaults:
            raise RefusedError(_forbidden(path, vault.id))
        return vault

    def _item(self, call: Call, *, s: str, g: str, v: str, c: str, i: str) -> backup.Item:
        vault = self._vault(s, g, v, call.path)
        # The fabric prefix of the names may be left out or spelt in another case.
        wanted = i.lower()
        for (container, name), item in vault.items.items():
            if name == wanted and container.removeprefix("iaasvmcontainer;") == c.lower().removeprefix(
                "iaasvmcontainer;"
            ):
                return item
        message = "The specified protected item could not be found in the vault."
        raise RefusedError(error(404, "BMSUserErrorObjectNotFound", message))

    # --- pages ---------------------------------------------------------------------------------------------------

    def _listed(
        self, call: Call, documents: Iterable[Json], *, always_link: bool = False, key: str = "nextLink"
    ) -> Answer:
        """Answer with the page of a list that the call's token asks for."""
        start = 0
        token = call.parameter("$skipToken")
        if token:
            try:
                start = int(base64.urlsafe_b64decode(token))
            except (binascii.Error, ValueError):
                raise RefusedError(error(400, "InvalidSkipToken", "The skip token is not valid.")) from None
        everything = list(documents)
        page = everything[start : start + self._page_size]
        body: Json = {"value": page}
        more = start + self._page_size < len(everything)
        if more or self._faults.endless_next_link:
            following = base64.urlsafe_b64encode(str(start + self._page_size if more else 0).encode()).decode()
            query = {name: value for name, value in call.query.items() if name.lower() != "$skiptoken"}
            body[key] = f"{call.base}{call.raw_path}?{urlencode(query | {'$skipToken': following})}"
        elif always_link:
            body[key] = None
        return reply(body)

    # --- answers -------------------------------------------------------------------------------------------------

    def _subscription(self, identity: str) -> Json:
        found = next(s for s in self._estate.subscriptions.values() if s.id == identity)
        return {
            "id": f"/subscriptions/{found.id}",
            "authorizationSource": "RoleBased",
            "managedByTenants": [],
            "subscriptionId": found.id,
            "tenantId": self._estate.tenant_id,
            "displayName": found.name,
            "state": found.document["state"],
            "subscriptionPolicies": found.document["subscriptionPolicies"],
        }

    def _list_subscriptions(self, call: Call) -> Answer:
        return self._listed(call, (self._subscription(identity) for identity in sorted(self._readable)))

    def _get_subscription(self, _call: Call, s: str) -> Answer:
        return reply(self._subscription(s.lower()))

    def _list_groups(self, call: Call, s: str) -> Answer:
        return self._listed(call, (group for (owner, _), group in self._estate.groups.items() if owner == s.lower()))

    def _list_vaults(self, call: Call, s: str) -> Answer:
        mine = (v for v in self._estate.vaults.values() if v.place.subscription == s.lower())
        return self._listed(call, (v.document for v in mine if v.id.lower() not in self._hidden_vaults))

    def _of(self, call: Call, s: str, documents: list[Json]) -> Answer:
        prefix = f"/subscriptions/{s.lower()}/"
        return self._listed(call, (document for document in documents if document["id"].lower().startswith(prefix)))

    def _list_machines(self, call: Call, s: str) -> Answer:
        return self._of(call, s, self._estate.machine_documents)

    def _list_disks(self, call: Call, s: str) -> Answer:
        return self._of(call, s, self._estate.disk_documents)

    def _list_snapshots(self, call: Call, s: str) -> Answer:
        return self._of(call, s, self._estate.snapshot_documents)

    def _get_vault(self, call: Call, s: str, g: str, v: str) -> Answer:
        return reply(self._vault(s, g, v, call.path).document)

    def _get_config(self, call: Call, s: str, g: str, v: str) -> Answer:
        return reply(self._vault(s, g, v, call.path).config)

    def _get_storage(self, call: Call, s: str, g: str, v: str) -> Answer:
        return reply(self._vault(s, g, v, call.path).storage)

    def _list_guards(self, call: Call, s: str, g: str, v: str) -> Answer:
        return self._listed(call, self._vault(s, g, v, call.path).guards)

    def _list_policies(self, call: Call, s: str, g: str, v: str) -> Answer:
        vault = self._vault(s, g, v, call.path)
        kind = _terms(call.parameter("$filter") or "").get("backupmanagementtype", "").lower()
        every = vault.policies.values()
        return self._listed(call, (p for p in every if kind in ("", p["properties"]["backupManagementType"].lower())))

    def _get_policy(self, call: Call, s: str, g: str, v: str, p: str) -> Answer:
        policy = self._vault(s, g, v, call.path).policies.get(p.lower())
        if policy is None:
            raise RefusedError(error(404, "BMSUserErrorObjectNotFound", f"Policy {p} could not be found."))
        return reply(policy)

    def _list_items(self, call: Call, s: str, g: str, v: str) -> Answer:
        vault = self._vault(s, g, v, call.path)
        terms = _terms(call.parameter("$filter") or "")
        keys = {"backupmanagementtype": "backupManagementType", "itemtype": "workloadType", "policyname": "policyName",
                "friendlyname": "friendlyName", "containername": "containerName"}  # fmt: skip
        unknown = terms.keys() - keys.keys()
        if unknown:
            raise RefusedError(
                error(400, "BMSUserErrorInvalidInput", f"The filter key {min(unknown)} is not supported.")
            )

        def wanted(item: backup.Item) -> bool:
            return all(str(item.properties.get(keys[key], "")).lower() == value.lower() for key, value in terms.items())

        as_of = self._estate.as_of
        return self._listed(call, (backup.item_document(i, as_of) for i in vault.items.values() if wanted(i)))

    def _get_item(self, call: Call, *, s: str, g: str, v: str, c: str, i: str) -> Answer:
        item = self._item(call, s=s, g=g, v=v, c=c, i=i)
        info = "extendedinfo" in (call.parameter("$filter") or "").lower()
        return reply(backup.item_document(item, self._estate.as_of, expand_info=info))

    def _points(self, call: Call, item: backup.Item) -> Iterator[Json]:
        terms = _terms(call.parameter("$filter") or "")
        start = _date(terms["startdate"]) if "startdate" in terms else None
        end = _date(terms["enddate"]) if "enddate" in terms else None
        for point in item.points(self._estate.as_of):
            if (start is None or point.taken >= start) and (end is None or point.taken <= end):
                yield backup.point_document(item, point)

    def _list_points(self, call: Call, *, s: str, g: str, v: str, c: str, i: str) -> Answer:
        return self._listed(call, self._points(call, self._item(call, s=s, g=g, v=v, c=c, i=i)), always_link=True)

    def _get_point(self, call: Call, *, s: str, g: str, v: str, c: str, i: str, p: str) -> Answer:
        for document in self._points(call, self._item(call, s=s, g=g, v=v, c=c, i=i)):
            if document["name"] == p:
                return reply(document)
        raise RefusedError(error(404, "BMSUserErrorObjectNotFound", "The recovery point could not be found."))

    def _list_jobs(self, call: Call, s: str, g: str, v: str) -> Answer:
        vault = self._vault(s, g, v, call.path)
        terms = _terms(call.parameter("$filter") or "")
        start = _date(terms["starttime"]) if "starttime" in terms else None
        end = _date(terms["endtime"]) if "endtime" in terms else None
        keys = {"operation": "operation", "status": "status", "backupmanagementtype": "backupManagementType"}
        jobs = [
            job
            for job in self._estate.jobs(vault)
            if all(job["properties"][keys[key]].lower() == terms[key].lower() for key in keys.keys() & terms.keys())
            and (start is None or job["properties"]["startTime"] >= ticks(start))
            and (end is None or job["properties"]["startTime"] <= ticks(end))
        ]
        return self._listed(call, sorted(jobs, key=lambda job: job["properties"]["startTime"], reverse=True))

    def _states(self, call: Call, path: str, which: str, states: list[Json]) -> Answer:
        if which.lower() not in ("latest", "default"):
            raise RefusedError(error(404, "InvalidResourceType", f"There are no policy states '{which}'."))
        terms = _terms(call.parameter("$filter") or "")
        for key, value in terms.items():
            states = [
                s
                for s in states
                if next((str(v) for k, v in s.items() if k.lower() == key), "").lower() == value.lower()
            ]
        top = call.parameter("$top")
        answer = json.loads(self._listed(call, states[: int(top)] if top else states, key="@odata.nextLink").body)
        context = f"https://management.azure.com{path}/providers/Microsoft.PolicyInsights/policyStates/$metadata#latest"
        head = {"@odata.context": context, "@odata.count": len(answer["value"])}
        link = {key: answer[key] for key in ("@odata.nextLink",) if key in answer}
        return reply(head | link | {"value": answer["value"]})

    def _subscription_states(self, call: Call, s: str, w: str) -> Answer:
        return self._states(call, f"/subscriptions/{s}", w, self._estate.policy_states(s.lower()))

    def _group_states(self, call: Call, m: str, w: str) -> Answer:
        below = [s for s in self._readable if m.lower() in map(str.lower, self._estate.ancestors(s))]
        states = [state for subscription in sorted(below) for state in self._estate.policy_states(subscription)]
        return self._states(call, f"/providers/Microsoft.Management/managementGroups/{m}", w, states)

    # --- Resource Graph -------------------------------------------------------------------------------------------

    def _graph_query(self, call: Call) -> Answer:
        if call.content_type != "application/json":
            # Documented: anything but JSON is an internal error, not a 415.
            return graph_error(500, "InternalServerError", [("InternalServerError", "Content-Type must be JSON.")])
        try:
            body: Any = json.loads(call.body)
            ask = self._ask(call, body)
            return Answer(200, self.graph.answer(ask))
        except (ValueError, TypeError, AttributeError) as fault:
            return graph_error(400, "BadRequest", [("InvalidRequest", f"The request body is not valid: {fault}")])
        except QueryRefusedError as refused:
            return graph_error(400, "BadRequest", refused.details)

    def _ask(self, call: Call, body: Json) -> Ask:
        query, options = body.get("query"), body.get("options") or {}
        if not isinstance(query, str) or not query.strip():
            message = "query is required"
            raise ValueError(message)
        subscriptions, groups = body.get("subscriptions"), body.get("managementGroups")
        if subscriptions and groups:
            message = "subscriptions and managementGroups can't both be given"
            raise ValueError(message)
        top, skip = options.get("$top", MAX_TOP), options.get("$skip", 0)
        if not isinstance(top, int) or not 1 <= top <= MAX_TOP or not isinstance(skip, int) or skip < 0:
            message = "$top is between 1 and 1000, $skip is not negative"
            raise ValueError(message)
        # Before 2021 the default was the table form.
        default = "table" if (call.parameter("api-version") or "") < "2020-04-01" else "objectArray"
        form = options.get("resultFormat", default)
        if str(form).lower() not in ("table", "objectarray"):
            message = f"resultFormat {form!r}"
            raise ValueError(message)
        scope, containers = self._scope(subscriptions, groups, str(options.get("authorizationScopeFilter", "")))
        return Ask(query, scope, containers, top, skip, options.get("$skipToken"), str(form).lower() == "table")

    def _scope(
        self, subscriptions: list[str] | None, groups: list[str] | None, upward: str
    ) -> tuple[frozenset[str], frozenset[str]]:
        """Give the readable subscriptions a query looks into, and the management groups whose own rows it sees."""
        estate, above = self._estate, "above" in upward.lower()
        known = {
            name.lower(): [parent.lower() for parent in g["ancestors"]] for name, g in estate.management_groups.items()
        }
        if subscriptions:
            # Documented: what can't be read is dropped without a word, unless nothing is left.
            scope = frozenset(str(s).lower() for s in subscriptions) & self._readable
            if not scope:
                raise RefusedError(_denied())
            parents = {name.lower() for s in scope for name in estate.ancestors(s)}
            return scope, frozenset(parents if above else ())
        if groups:
            wanted = {str(group).lower() for group in groups} & known.keys()
            if not wanted:
                raise RefusedError(_denied())
            holders = {name for name, parents in known.items() if name in wanted or wanted.intersection(parents)}
            if above:
                holders |= {parent for name in wanted for parent in known[name]}
            inside = (s for s in self._readable if wanted & {name.lower() for name in estate.ancestors(s)})
            return frozenset(inside), frozenset(holders)
        return self._readable, frozenset(known)


def _denied() -> Answer:
    message = "Access is denied to the requested resource. The user might not have enough permission."
    return graph_error(403, "Forbidden", [("AccessDenied", message)])


def _forbidden(path: str, scope: str) -> Answer:
    kinds = re.sub(r".*/providers/", "", path).split("/")
    action = "/".join([kinds[0], *kinds[1::2], "read"]) if len(kinds) > 1 else "Microsoft.Resources/subscriptions/read"
    message = (
        f"The client 'auditor' with object id '{guid('auditor')}' does not have authorization to perform action "
        f"'{action}' over scope '{scope}' or the scope is invalid. If access was recently granted, please refresh your "
        "credentials."
    )
    return error(403, "AuthorizationFailed", message)
