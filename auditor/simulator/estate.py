"""Estate YAML + as_of -> a whole pretend Azure: ARM documents, Resource Graph rows, expected verdicts."""

from __future__ import annotations

from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from auditor.errors import UsageError
from auditor.simulator import backup, compute, jobs, policy
from auditor.simulator.clock import ticks
from auditor.simulator.graphrows import graph_row
from auditor.simulator.naming import guid
from auditor.simulator.reading.copies import Copies
from auditor.simulator.reading.governance import Governance, Guards
from auditor.simulator.reading.machines import Machines
from auditor.simulator.reading.places import Places
from auditor.simulator.reading.reader import Reader
from auditor.simulator.reading.vaults import Vaults

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from auditor.simulator.compute import Json

GRAPH_DAYS = 14
"""Days after which Resource Graph forgets a backup job."""


class Estate:
    """A whole pretend Azure at one instant."""

    def __init__(self, document: Mapping[str, Any], as_of: datetime, source: str) -> None:
        """Use `load` or `from_dict`."""
        if as_of.tzinfo is None:
            message = "as_of needs a time zone"
            raise ValueError(message)
        self.as_of = as_of
        self.source = source
        read = Reader(document, as_of, source)
        self.name = str(document.get("estate", "estate"))
        self.jobs_days = int(document.get("jobs_days", 2))
        self.places = Places(read, self.name)
        self.tenant_id = self.places.tenant_id
        self.management_groups = self.places.management_groups
        self.subscriptions = self.places.subscriptions
        self.groups = self.places.groups
        guards = Guards(read, self.places)
        recovery = Vaults(read, self.places, guards)
        self.vaults = recovery.vaults
        computing = Machines(read, self.places, recovery)
        self.machines = computing.machines
        self.machine_documents = computing.machine_documents
        self.disk_documents = computing.disk_documents
        self.snapshot_documents = computing.snapshot_documents
        self.scale_set_documents = computing.scale_set_documents
        self.collections = (*recovery.collections, *computing.collections)
        copies = Copies(read, self.places, recovery, computing)
        self.disk_backup_documents = copies.instances
        self.guards = guards.documents
        governance = Governance(read, self.places, recovery, computing)
        self.assignments = governance.assignments
        self.initiatives = governance.initiatives
        self.exemptions = governance.exemptions
        self.roles = governance.roles
        self.expectations = read.expectations
        self._other_resources = (
            *copies.backup_vaults.values(), *self.guards, *governance.action_groups, *governance.alert_rules,
        )  # fmt: skip
        self._copies = (*copies.policies.values(), *copies.instances, *copies.replicas)
        initiatives = {document["id"].lower(): document for document in self.all_initiatives()}
        self._insights = policy.Insights(
            tuple(self.assignments), initiatives, tuple(self.exemptions), frozenset(recovery.covered)
        )
        recovery.count_items()

    @classmethod
    def load(cls, path: Path | str, as_of: datetime) -> Estate:
        """Read an estate file; UsageError names the file and the key that is wrong."""
        try:
            document = yaml.load(Path(path).read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
        except OSError as error:
            message = f"{path}: {error.strerror}"
            raise UsageError(message, "Give the path of an estate file.") from error
        except yaml.YAMLError as error:
            message = f"{path}: not YAML: {error}"
            raise UsageError(message, "Correct the estate file.") from error
        except UnicodeDecodeError as error:
            message = f"{path}: is not UTF-8 text"
            raise UsageError(message, "Save it as UTF-8.") from error
        except (ValueError, RecursionError) as error:  # a day that is none, a number or a nesting without end
            message = f"{path}: cannot be read: {str(error).splitlines()[0]}"
            raise UsageError(message, "Correct the estate file.") from error
        return cls(document, as_of, str(path))

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], as_of: datetime, source: str = "estate") -> Estate:
        """Build an estate from the same tree a file would hold."""
        return cls(document, as_of, source)

    # --- what the server asks ---------------------------------------------------------------------------------

    def subscription_id(self, key: str) -> str:
        """Id of a subscription, given its short name in the file or its id; KeyError where there is none."""
        return self.places.subscription(key).id

    def ancestors(self, subscription: str) -> tuple[str, ...]:
        """Management groups of a subscription id, nearest first."""
        return next((s.groups for s in self.subscriptions.values() if s.id == subscription), ())

    def all_initiatives(self) -> Iterator[Json]:
        """Give every initiative, built-in ones included."""
        return chain(policy.BUILT_IN.values(), self.initiatives)

    def policy_states(self, subscription: str) -> list[Json]:
        """Azure Policy's own opinion on each VM of a subscription id."""
        return list(self._insights.states(self.machines, subscription, self.ancestors(subscription), self.as_of))

    def jobs(self, vault: backup.Vault) -> Iterator[Json]:
        """Give the jobs of a vault as its own list has them."""
        for item in vault.items.values():
            yield from jobs.job_documents(item, self.as_of, self.jobs_days)

    def rows(self, table: str) -> Iterator[Json]:
        """Give the rows of a Resource Graph table (lower-case name) that somebody who may read everything sees."""
        give = {
            "resources": self._resource_rows,
            "resourcecontainers": self._container_rows,
            "recoveryservicesresources": self._recovery_rows,
            "policyresources": self._policy_rows,
            "authorizationresources": self._role_rows,
        }.get(table)
        tenants = {subscription.id: subscription.tenant for subscription in self.subscriptions.values()}
        for document in give() if give else ():
            parts = document["id"].split("/", 3)
            tenant = tenants.get(parts[2].lower(), self.tenant_id) if len(parts) > 2 else self.tenant_id  # noqa: PLR2004 - /subscriptions/s
            yield graph_row(document, tenant, table=table)

    def _resource_rows(self) -> Iterator[Json]:
        for machine, document in zip(self.machines, self.machine_documents, strict=True):
            yield document | {"properties": document["properties"] | {"extended": compute.power_state(machine)}}
        yield from chain(
            self.disk_documents,
            self.snapshot_documents,
            self.scale_set_documents,
            (collection.document(self.as_of) for collection in self.collections),
            (vault.document for vault in self.vaults.values()),
            self._other_resources,
        )

    def _container_rows(self) -> Iterator[Json]:
        for name, group in self.management_groups.items():
            yield {
                "id": f"/providers/Microsoft.Management/managementGroups/{name}",
                "name": name,
                "type": "Microsoft.Management/managementGroups",
                "properties": {
                    "tenantId": self.tenant_id,
                    "displayName": group["name"],
                    "details": {
                        "version": 1,
                        "managementGroupAncestorsChain": self._chain(group["ancestors"]),
                        "parent": group["parent"],
                    },
                },
            }
        for subscription in self.subscriptions.values():
            delegated = subscription.tenant != self.tenant_id
            yield {
                "id": f"/subscriptions/{subscription.id}",
                "name": subscription.name,
                "type": "Microsoft.Resources/subscriptions",
                "tags": subscription.document.get("tags"),
                "properties": {
                    "managedByTenants": [{"tenantId": self.tenant_id}] if delegated else [],
                    "managementGroupAncestorsChain": self._chain(subscription.groups),
                    "state": subscription.document["state"],
                    "subscriptionPolicies": subscription.document["subscriptionPolicies"],
                },
            }
        yield from self.groups.values()

    def _chain(self, names: Iterable[str]) -> list[Json]:
        return [{"displayName": self.management_groups[name]["name"], "name": name} for name in names]

    def _recovery_rows(self) -> Iterator[Json]:
        for vault in self.vaults.values():
            yield from vault.policies.values()
            for item in vault.items.values():
                document = backup.item_document(item, self.as_of)
                document["properties"] |= item.extended
                yield document
                horizon = ticks(self.as_of - timedelta(days=GRAPH_DAYS))
                for job in jobs.job_documents(item, self.as_of, min(self.jobs_days, GRAPH_DAYS)):
                    if job["properties"]["startTime"] > horizon:
                        yield jobs.graph_document(item, job)
        yield from self._copies

    def _role_rows(self) -> Iterator[Json]:
        yield from self.roles

    def _policy_rows(self) -> Iterator[Json]:
        yield from chain(self.assignments, self.initiatives, self.exemptions)
        for subscription in self.subscriptions.values():
            for state in self.policy_states(subscription.id):
                name = guid(str(state))
                yield {
                    "id": f"{state['resourceId']}/providers/microsoft.policyinsights/policystates/{name}".lower(),
                    "name": name,
                    "type": "Microsoft.PolicyInsights/policyStates",
                    "properties": {key: value for key, value in state.items() if not key.startswith("@")},
                }
