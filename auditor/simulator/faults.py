"""What may go wrong in the pretend Azure, chosen by tests."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
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
