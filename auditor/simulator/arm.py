"""The management API's answers: routes, who may read what, pages."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from auditor.simulator import backup, compute, jobs, policy, restorepoints, vault
from auditor.simulator.clock import ticks
from auditor.simulator.kql import MAX_TOP, PAYLOAD_LIMIT, Ask, Graph, QueryRefusedError
from auditor.simulator.replies import (
    Answer,
    Call,
    RefusedError,
    absent,
    date_of,
    denied_graph,
    error,
    forbidden,
    graph_error,
    reply,
    terms,
    without,
)
from auditor.simulator.scopes import UnknownScopeError, scope_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from auditor.simulator.compute import Json
    from auditor.simulator.estate import Estate
    from auditor.simulator.faults import Faults


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
        self._denied_paths = [re.compile(pattern, re.IGNORECASE) for pattern in sorted(faults.denied_paths)]
        self._absent_paths = [re.compile(pattern, re.IGNORECASE) for pattern in sorted(faults.absent_paths)]
        self._missing = [path.split(".") for path in sorted(faults.missing_properties)]
        self._lagging = frozenset(name.lower() for name in faults.graph_lag)
        self._ghosts = frozenset(name.lower() for name in faults.graph_ghosts)
        self.graph = Graph(self._rows, estate.as_of, faults, payload_limit)
        group = r"/subscriptions/(?P<s>[^/]+)/resourceGroups/(?P<g>[^/]+)"
        home = rf"{group}/providers/Microsoft\.RecoveryServices/vaults/(?P<v>[^/]+)"
        container = rf"{home}/backupFabrics/[^/]+/protectionContainers/(?P<c>[^/]+)"
        item = rf"{container}/protectedItems/(?P<i>[^/]+)"
        listed = r"/subscriptions/(?P<s>[^/]+)/providers/Microsoft\."
        collection = rf"{group}/providers/Microsoft\.Compute/restorePointCollections/(?P<n>[^/]+)"
        above = r"/providers/Microsoft\.Management/managementGroups/(?P<m>[^/]+)"
        initiative = r"/providers/Microsoft\.Authorization/policySetDefinitions/(?P<n>[^/]+)"
        states = r"/providers/Microsoft\.PolicyInsights/policyStates/(?P<w>[^/]+)/queryResults"
        routes: list[tuple[str, str, Callable[..., Answer]]] = [
            ("GET", r"/subscriptions", self._list_subscriptions),
            ("GET", r"/subscriptions/(?P<s>[^/]+)", self._get_subscription),
            ("GET", r"/subscriptions/(?P<s>[^/]+)/resourceGroups", self._list_groups),
            ("GET", rf"{listed}RecoveryServices/vaults", self._list_vaults),
            ("GET", rf"{listed}Compute/virtualMachines", self._list_machines),
            ("GET", rf"{listed}Compute/disks", self._list_disks),
            ("GET", rf"{listed}Compute/snapshots", self._list_snapshots),
            ("GET", rf"{listed}Compute/virtualMachineScaleSets", self._list_scale_sets),
            ("GET", rf"{listed}Compute/restorePointCollections", self._list_collections),
            ("GET", collection, self._get_collection),
            ("GET", home, self._get_vault),
            ("GET", rf"{home}/backupProtectedItems", self._list_items),
            ("GET", item, self._get_item),
            ("GET", rf"{item}/recoveryPoints", self._list_points),
            ("GET", rf"{item}/recoveryPoints/(?P<p>[^/]+)", self._get_point),
            ("GET", rf"{home}/backupPolicies", self._list_policies),
            ("GET", rf"{home}/backupPolicies/(?P<p>[^/]+)", self._get_policy),
            ("GET", rf"{home}/backupJobs", self._list_jobs),
            ("GET", rf"{home}/backupJobs/(?P<n>[^/]+)", self._get_job),
            ("GET", rf"{home}/backupconfig/vaultconfig", self._get_config),
            ("GET", rf"{home}/backupstorageconfig/vaultstorageconfig", self._get_storage),
            ("GET", rf"{home}/backupEncryptionConfigs/backupResourceEncryptionConfig", self._get_encryption),
            ("GET", rf"{home}/backupResourceGuardProxies", self._list_guards),
            ("GET", rf"{home}/usages", self._list_usages),
            ("GET", rf"{home}/backupUsageSummaries", self._list_summaries),
            ("GET", rf"{home}/providers/Microsoft\.Insights/diagnosticSettings", self._list_diagnostics),
            ("GET", initiative, self._get_built_in),
            ("GET", rf"{above}{initiative}", self._get_group_initiative),
            ("GET", rf"/subscriptions/(?P<s>[^/]+){initiative}", self._get_initiative),
            ("POST", rf"/subscriptions/(?P<s>[^/]+){states}", self._subscription_states),
            ("POST", rf"{above}{states}", self._group_states),
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
        try:
            self._check_path(call.method, path)
            return self._routed(call, path)
        except RefusedError as refused:
            return refused.answer

    def _routed(self, call: Call, path: str) -> Answer:
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
            if "s" in parts:
                self._check_subscription(parts["s"], path)
            return give(call, **parts)
        if methods or call.method not in ("GET", "HEAD", "POST"):
            message = f"The requested resource does not support http method '{call.method}'."
            return error(405, "MethodNotAllowed", message, headers={"Allow": ", ".join(sorted(methods)) or "GET"})
        message = f"The resource type could not be found for the path '{path}'."
        return error(404, "InvalidResourceType", message)

    def _check_path(self, method: str, path: str) -> None:
        """Refuse what the faults deny or hide by path."""
        asked = f"{method} {path}"
        if any(pattern.search(asked) for pattern in self._denied_paths):
            raise RefusedError(denied_graph() if self.is_graph(path) else forbidden(path, path, method))
        if any(pattern.search(asked) for pattern in self._absent_paths):
            *_, kind, name = ["", *path.split("/")]
            raise RefusedError(absent(kind, name, path.partition("/resourceGroups/")[2].partition("/")[0]))

    # --- who may read what --------------------------------------------------------------------------------------

    def _rows(self, table: str) -> Iterator[Json]:
        for row in self._estate.rows(table):
            if row["subscriptionId"] in self._denied or row["name"].lower() in self._lagging:
                continue
            if self._hidden_vaults:
                identifier = row["id"].lower()
                if any(identifier == vault or identifier.startswith(f"{vault}/") for vault in self._hidden_vaults):
                    continue
            yield self._shown(row)

    def _shown(self, document: Json) -> Json:
        """Leave out of a document what the faults want missing."""
        for path in self._missing:
            document = without(document, path)
        return document

    def _gone(self, document: Json) -> bool:
        """Tell whether a document is of something that only Resource Graph still shows."""
        names = (document.get("name"), (document.get("properties") or {}).get("friendlyName"))
        return any(str(name).lower() in self._ghosts for name in names if name)

    def _check_subscription(self, subscription: str, path: str) -> None:
        identity = subscription.lower()
        if identity in self._denied:
            raise RefusedError(forbidden(path, f"/subscriptions/{subscription}"))
        if identity not in self._readable:
            message = f"The subscription '{subscription}' could not be found."
            raise RefusedError(error(404, "SubscriptionNotFound", message))

    def _vault(self, s: str, g: str, v: str, path: str) -> backup.Vault:
        estate = self._estate
        if (s.lower(), g.lower()) not in estate.groups:
            raise RefusedError(error(404, "ResourceGroupNotFound", f"Resource group '{g}' could not be found."))
        found = estate.vaults.get((s.lower(), g.lower(), v.lower()))
        if found is None or self._gone(found.document):
            raise RefusedError(absent(vault.VAULT, v, g))
        if found.id.lower() in self._closed_vaults:
            raise RefusedError(forbidden(path, found.id))
        return found

    def _item(self, call: Call, *, s: str, g: str, v: str, c: str, i: str) -> backup.Item:
        # The fabric prefix of the names may be left out or spelt in another case.
        wanted, prefix = i.lower(), "iaasvmcontainer;"
        for (container, name), item in self._vault(s, g, v, call.path).items.items():
            if name == wanted and container.removeprefix(prefix) == c.lower().removeprefix(prefix):
                if self._gone(backup.item_document(item, self._estate.as_of)):
                    break
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
        everything = [document for document in documents if not self._ghosts or not self._gone(document)]
        page = [self._shown(document) for document in everything[start : start + self._page_size]]
        body: Json = {"value": page}
        more = start + self._page_size < len(everything)
        if more or self._faults.endless_next_link:
            following = base64.urlsafe_b64encode(str(start + self._page_size if more else 0).encode()).decode()
            query = {name: value for name, value in call.query.items() if name.lower() != "$skiptoken"}
            body[key] = f"{call.base}{call.raw_path}?{urlencode(query | {'$skipToken': following})}"
        elif always_link:
            body[key] = None
        return reply(body)

    def _whole(self, documents: Iterable[Json]) -> Answer:
        """Answer with a list that Azure never cuts into pages."""
        return reply({"value": [self._shown(document) for document in documents]})

    def _one(self, document: Json) -> Answer:
        return reply(self._shown(document))

    # --- answers -------------------------------------------------------------------------------------------------

    def _subscription(self, identity: str) -> Json:
        found = next(s for s in self._estate.subscriptions.values() if s.id == identity)
        delegated = found.tenant != self._estate.tenant_id
        return {
            "id": f"/subscriptions/{found.id}",
            "authorizationSource": "RoleBased",
            "managedByTenants": [{"tenantId": self._estate.tenant_id}] if delegated else [],
            "subscriptionId": found.id,
            "tenantId": found.tenant,
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

    def _list_scale_sets(self, call: Call, s: str) -> Answer:
        return self._of(call, s, self._estate.scale_set_documents)

    def _list_collections(self, call: Call, s: str) -> Answer:
        every = [collection.document(self._estate.as_of) for collection in self._estate.collections]
        return self._of(call, s, every)

    def _get_collection(self, call: Call, s: str, g: str, n: str) -> Answer:
        wanted = compute.Place(s, g, "").id_of(restorepoints.COLLECTION, n).lower()
        for collection in self._estate.collections:
            if collection.id.lower() == wanted:
                points = (call.parameter("$expand") or "").lower() == "restorepoints"
                return self._one(collection.document(self._estate.as_of, points=points))
        raise RefusedError(absent(restorepoints.COLLECTION, n, g))

    def _get_vault(self, call: Call, s: str, g: str, v: str) -> Answer:
        return self._one(self._vault(s, g, v, call.path).document)

    def _get_config(self, call: Call, s: str, g: str, v: str) -> Answer:
        return self._one(self._vault(s, g, v, call.path).config)

    def _get_storage(self, call: Call, s: str, g: str, v: str) -> Answer:
        return self._one(self._vault(s, g, v, call.path).storage)

    def _get_encryption(self, call: Call, s: str, g: str, v: str) -> Answer:
        return self._one(self._vault(s, g, v, call.path).encryption)

    def _list_diagnostics(self, call: Call, s: str, g: str, v: str) -> Answer:
        return self._whole(self._vault(s, g, v, call.path).diagnostics)

    def _list_usages(self, call: Call, s: str, g: str, v: str) -> Answer:
        home = self._vault(s, g, v, call.path)
        yesterday = ticks(self._estate.as_of - timedelta(days=1))
        properties = [job["properties"] for job in self._estate.jobs(home)]
        recent = Counter(job["status"] for job in properties if job["startTime"] > yesterday)
        unhealthy = sum(item.properties.get("healthStatus") == "ActionRequired" for item in home.items.values())
        storage = home.storage["properties"]["storageType"]
        return self._whole(vault.usages(_kinds(home), unhealthy, recent, storage))

    def _list_summaries(self, call: Call, s: str, g: str, v: str) -> Answer:
        home = self._vault(s, g, v, call.path)
        kind = terms(call.parameter("$filter") or "").get("type", "BackupProtectedItemCountSummary").lower()
        if kind == "backupprotectioncontainercountsummary":
            containers = {item.container for item in home.items.values() if item.container.startswith("VMApp")}
            return self._whole(vault.container_summary(len(containers)))
        if kind != "backupprotecteditemcountsummary":
            raise RefusedError(error(400, "BMSUserErrorInvalidInput", f"There is no summary of type {kind!r}."))
        return self._whole(vault.item_summary(_kinds(home)))

    def _list_guards(self, call: Call, s: str, g: str, v: str) -> Answer:
        return self._listed(call, self._vault(s, g, v, call.path).guards)

    def _list_policies(self, call: Call, s: str, g: str, v: str) -> Answer:
        home = self._vault(s, g, v, call.path)
        kind = terms(call.parameter("$filter") or "").get("backupmanagementtype", "").lower()
        every = home.policies.values()
        return self._listed(call, (p for p in every if kind in ("", p["properties"]["backupManagementType"].lower())))

    def _get_policy(self, call: Call, s: str, g: str, v: str, p: str) -> Answer:
        found = self._vault(s, g, v, call.path).policies.get(p.lower())
        if found is None:
            raise RefusedError(error(404, "BMSUserErrorObjectNotFound", f"Policy {p} could not be found."))
        return self._one(found)

    def _list_items(self, call: Call, s: str, g: str, v: str) -> Answer:
        home = self._vault(s, g, v, call.path)
        keys = {"backupmanagementtype": "backupManagementType", "itemtype": "workloadType", "policyname": "policyName",
                "friendlyname": "friendlyName", "containername": "containerName"}  # fmt: skip
        wanted = terms(call.parameter("$filter") or "", keys)

        def fits(item: backup.Item) -> bool:
            return all(str(item.properties.get(keys[key], "")).lower() == text.lower() for key, text in wanted.items())

        as_of = self._estate.as_of
        return self._listed(call, (backup.item_document(i, as_of) for i in home.items.values() if fits(i)))

    def _get_item(self, call: Call, *, s: str, g: str, v: str, c: str, i: str) -> Answer:
        item = self._item(call, s=s, g=g, v=v, c=c, i=i)
        info = "extendedinfo" in (call.parameter("$filter") or "").lower()
        return self._one(backup.item_document(item, self._estate.as_of, expand_info=info))

    def _points(self, call: Call, item: backup.Item) -> Iterator[Json]:
        wanted_terms = terms(call.parameter("$filter") or "")
        start = date_of(wanted_terms["startdate"]) if "startdate" in wanted_terms else None
        end = date_of(wanted_terms["enddate"]) if "enddate" in wanted_terms else None
        for point in item.points(self._estate.as_of):
            if (start is None or point.taken >= start) and (end is None or point.taken <= end):
                yield backup.point_document(item, point)

    def _list_points(self, call: Call, *, s: str, g: str, v: str, c: str, i: str) -> Answer:
        return self._listed(call, self._points(call, self._item(call, s=s, g=g, v=v, c=c, i=i)), always_link=True)

    def _get_point(self, call: Call, *, s: str, g: str, v: str, c: str, i: str, p: str) -> Answer:
        for document in self._points(call, self._item(call, s=s, g=g, v=v, c=c, i=i)):
            if document["name"] == p:
                return self._one(document)
        raise RefusedError(error(404, "BMSUserErrorObjectNotFound", "The recovery point could not be found."))

    def _list_jobs(self, call: Call, s: str, g: str, v: str) -> Answer:
        home = self._vault(s, g, v, call.path)
        keys = {"operation": "operation", "status": "status", "backupmanagementtype": "backupManagementType"}
        wanted = terms(call.parameter("$filter") or "", {*keys, "jobid", "starttime", "endtime"})
        start = ticks(date_of(wanted["starttime"])) if "starttime" in wanted else ""
        end = ticks(date_of(wanted["endtime"])) if "endtime" in wanted else "9999"

        def fits(job: Json) -> bool:
            properties = job["properties"]
            return (
                all(properties[keys[key]].lower() == wanted[key].lower() for key in keys.keys() & wanted.keys())
                and ("jobid" not in wanted or wanted["jobid"].lower() == job["name"])
                and start <= properties["startTime"] <= end
            )

        found = sorted(filter(fits, self._estate.jobs(home)), key=lambda job: job["properties"]["startTime"])
        return self._listed(call, reversed(found))

    def _get_job(self, call: Call, *, s: str, g: str, v: str, n: str) -> Answer:
        for job in self._estate.jobs(self._vault(s, g, v, call.path)):
            if job["name"] == n.lower():
                return self._one(jobs.job_details(job))
        raise RefusedError(error(404, "BMSUserErrorObjectNotFound", f"Job {n} could not be found."))

    def _get_built_in(self, _call: Call, n: str) -> Answer:
        return self._found_initiative("", n)

    def _get_group_initiative(self, _call: Call, m: str, n: str) -> Answer:
        return self._found_initiative(f"/providers/Microsoft.Management/managementGroups/{m}", n)

    def _get_initiative(self, _call: Call, s: str, n: str) -> Answer:
        return self._found_initiative(f"/subscriptions/{s}", n)

    def _found_initiative(self, scope: str, name: str) -> Answer:
        wanted = policy.set_id(scope, name).lower()
        for initiative in self._estate.all_initiatives():
            if initiative["id"].lower() == wanted:
                return self._one(initiative)
        message = f"The policy set definition '{name}' could not be found."
        raise RefusedError(error(404, "PolicySetDefinitionNotFound", message))

    def _states(self, call: Call, path: str, which: str, states: list[Json]) -> Answer:
        if which.lower() not in ("latest", "default"):
            raise RefusedError(error(404, "InvalidResourceType", f"There are no policy states '{which}'."))
        wanted_terms = terms(call.parameter("$filter") or "")
        for key, value in wanted_terms.items():
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
        upward = str(options.get("authorizationScopeFilter", "AtScopeAndBelow"))
        try:
            scope = scope_of(self._estate, self._readable, subscriptions, groups, upward=upward)
        except UnknownScopeError:
            raise RefusedError(denied_graph()) from None
        return Ask(query, scope, top, skip, options.get("$skipToken"), str(form).lower() == "table")


def _kinds(home: backup.Vault) -> Counter[str]:
    """Count a vault's items by backupManagementType."""
    return Counter(str(item.properties["backupManagementType"]) for item in home.items.values())
