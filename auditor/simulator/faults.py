"""What may go wrong in the pretend Azure, chosen by tests."""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_WHERE = ("", "recoveryPoints", "backupProtectedItems", "recoveryservicesresources", "policyresources", "ResourceGraph")
_DENIED = (
    r"/recoveryPoints$", r"/backupProtectedItems$", r"/backupJobs$", r"/backupconfig/", r"/backupstorageconfig/",
    r"/backupResourceGuardProxies$", r"/backupEncryptionConfigs/", r"/usages$", r"/diagnosticSettings$",
    r"/policySetDefinitions/", r"/policyStates/", r"/restorePointCollections",
)  # fmt: skip
_ABSENT = (
    r"/backupconfig/vaultconfig$", r"/backupstorageconfig/", r"/recoveryPoints$", r"/backupProtectedItems$",
    r"/diagnosticSettings$", r"/backupUsageSummaries$",
)  # fmt: skip
_MISSING = (
    "properties.lastRecoveryPoint", "properties.timeCreated", "properties.protectionState", "properties.policyId",
    "properties.sourceResourceId", "properties.currentProtectionState", "properties.securitySettings",
    "properties.redundancySettings", "properties.retentionPolicy", "properties.recoveryPointTierDetails",
    "properties.recoveryPointTime", "properties.creationData.sourceUniqueId", "properties.storageProfile.dataDisks",
    "properties.deferredDeleteTimeInUTC", "properties.isScheduledForDeferredDelete", "tags", "managedBy",
)  # fmt: skip
_TABLES = ("resources", "resourcecontainers", "recoveryservicesresources", "policyresources", "authorizationresources")


@dataclass(frozen=True, slots=True, repr=False)
class Faults:
    """Faults to inject; the default is a flawless Azure.

    Ordinals (`..._requests`) count from 1 over the signed requests whose `METHOD path` or KQL text matches `where`
    (a regular expression, empty: every request).
    """

    denied_subscriptions: frozenset[str] = frozenset()
    """Keys or ids: absent from every table, list and scope; REST paths below them answer 403."""
    denied_vaults: frozenset[str] = frozenset()
    """Vault names: REST 403, and the rows of the vault and everything under it are absent from Resource Graph."""
    rest_denied_vaults: frozenset[str] = frozenset()
    """Vault names: REST 403 only (custom roles that lack the backup actions)."""
    denied_paths: frozenset[str] = frozenset()
    """Regular expressions on `METHOD /path` (any case): 403, as a role that lacks the action gets."""
    absent_paths: frozenset[str] = frozenset()
    """Regular expressions on `METHOD /path` (any case): 404."""
    graph_lag: frozenset[str] = frozenset()
    """Names of resources that REST lists already and Resource Graph does not show yet."""
    graph_ghosts: frozenset[str] = frozenset()
    """Names (of items also friendly names) of resources that Resource Graph still shows and REST has no more."""
    missing_properties: frozenset[str] = frozenset()
    """Dotted paths such as `properties.lastRecoveryPoint`, left out of every row and body."""
    clock_offset: float = 0.0
    """Seconds by which Azure's Date header is ahead."""
    storm_seconds: float = 0.0
    """Every request is throttled until so long after the first."""
    arg_429: int = 0
    """The first n Resource Graph requests are throttled."""
    rest_429: int = 0
    arg_429_always: bool = False
    rest_429_always: bool = False
    retry_after: float | None = 1
    """Seconds in the Retry-After header of injected 429s and 5xx; None: no such header."""
    arg_5xx: int = 0
    """The first n Resource Graph requests answer `status_5xx`."""
    rest_5xx: int = 0
    status_5xx: int = 503
    where: str = ""
    reset_requests: frozenset[int] = frozenset()
    """The connection is reset instead of an answer."""
    truncated_requests: frozenset[int] = frozenset()
    """The JSON body ends in the middle although the HTTP message is whole."""
    unauthorized_requests: frozenset[int] = frozenset()
    """401, as when a token expires in mid-run."""
    lost_row_on_page: int | None = None
    """This page (from 1) of every Resource Graph answer lacks its last row; totalRecords still counts it."""
    duplicate_row_on_page: int | None = None
    """This page begins with the last row of the page before; the row it displaces is lost."""
    truncated_without_token: bool = False
    """Answers with more rows than a page say resultTruncated "true" and give no token."""
    empty_tables: frozenset[str] = frozenset()
    """Resource Graph tables (lower-case) without rows."""
    payload_too_large_above: int | None = None
    """Resource Graph pages of more rows than this answer ResponsePayloadTooLarge."""
    delay: float = 0.0
    """Seconds before each answer."""
    endless_next_link: bool = False
    """REST lists give a nextLink on every page, for ever."""

    def __repr__(self) -> str:
        """Write what differs from a flawless Azure, so that pasting it gives the same faults."""
        given = ((field, getattr(self, field.name)) for field in fields(self))
        told = [f"{field.name}={_written(value)}" for field, value in given if value != field.default]
        return f"Faults({', '.join(told)})"

    @classmethod
    def random(
        cls,
        seed: int,
        *,
        subscriptions: Sequence[str] = (),
        vaults: Sequence[str] = (),
        names: Sequence[str] = (),
    ) -> Faults:
        """Draw one to four faults that go together and end; the same arguments draw the same.

        Args:
            seed: of the drawing.
            subscriptions: keys, of which one may be denied.
            vaults: names, of which one may be denied.
            names: of resources that Resource Graph may show too late or too long.
        """
        draw = random.Random(seed)  # noqa: S311 - cases, not secrets
        kinds: dict[str, Callable[[], Any]] = {
            "denied_paths": lambda: frozenset(draw.sample(_DENIED, draw.randint(1, 2))),
            "absent_paths": lambda: frozenset({draw.choice(_ABSENT)}),
            "missing_properties": lambda: frozenset(draw.sample(_MISSING, draw.randint(1, 3))),
            "clock_offset": lambda: float(draw.choice([-86_400, -3600, -90, 90, 3600, 86_400])),
            "arg_429": lambda: draw.randint(1, 3),
            "rest_429": lambda: draw.randint(1, 3),
            "arg_5xx": lambda: draw.randint(1, 2),
            "rest_5xx": lambda: draw.randint(1, 2),
            "reset_requests": lambda: frozenset(draw.sample(range(1, 12), draw.randint(1, 2))),
            "truncated_requests": lambda: frozenset({draw.randint(1, 12)}),
            "unauthorized_requests": lambda: frozenset({draw.randint(2, 12)}),
            "lost_row_on_page": lambda: draw.randint(1, 2),
            "duplicate_row_on_page": lambda: 2,
            "truncated_without_token": lambda: True,
            "empty_tables": lambda: frozenset({draw.choice(_TABLES)}),
            "payload_too_large_above": lambda: draw.choice([3, 10, 40]),
        }
        if subscriptions:
            kinds["denied_subscriptions"] = lambda: frozenset({draw.choice(subscriptions)})
        if vaults:
            kinds["denied_vaults"] = lambda: frozenset({draw.choice(vaults)})
            kinds["rest_denied_vaults"] = lambda: frozenset({draw.choice(vaults)})
        if names:
            kinds["graph_lag"] = lambda: frozenset({draw.choice(names)})
            kinds["graph_ghosts"] = lambda: frozenset({draw.choice(names)})
        chosen = {kind: kinds[kind]() for kind in sorted(draw.sample(sorted(kinds), draw.randint(1, 4)))}
        if chosen.keys() & {"reset_requests", "truncated_requests", "unauthorized_requests"}:
            chosen["where"] = draw.choice(_WHERE)
        if chosen.keys() & {"arg_429", "rest_429", "arg_5xx", "rest_5xx"}:
            chosen["retry_after"] = draw.choice([None, 0.1, 1])
            chosen["status_5xx"] = draw.choice([500, 502, 503, 504])
        return cls(**chosen)


def _written(value: object) -> str:
    """Write a value as Python, sets in order."""
    if isinstance(value, frozenset):
        return f"frozenset({{{', '.join(map(repr, sorted(value)))}}})"
    return repr(value)


class Ordinals:
    """Counts requests by kind, so that a fault can hit the n-th."""

    def __init__(self, faults: Faults) -> None:
        """Start counting at 1."""
        self._pattern = re.compile(faults.where, re.IGNORECASE)
        self._counts: Counter[str] = Counter()

    def next(self, kind: str) -> int:
        """Count one more request of a kind (`arg`, `rest`)."""
        self._counts[kind] += 1
        return self._counts[kind]

    def matching(self, text: str) -> int:
        """Count one more request that `where` matches; 0 where it does not."""
        return self.next("matching") if self._pattern.search(text) else 0
