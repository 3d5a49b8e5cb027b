"""Resource Graph's per-user window of queries."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Quota:
    """How many queries a user has per window."""

    queries: int = 15
    window: float = 5.0
    """Seconds."""
    retry_after: bool = False
    """Whether a 429 carries Retry-After beside the quota headers; Azure's documentation does not promise it."""
    clock: Callable[[], float] = time.monotonic
    """Tells the seconds; a test may bring a clock of its own, which need not take real time."""


class Window:
    """The running window of one user."""

    def __init__(self, quota: Quota | None) -> None:
        """Open with a full window; None never throttles but still answers with the documented headers."""
        self._quota = quota
        self._started = -math.inf
        self._used = 0

    def take(self) -> tuple[bool, dict[str, str]]:
        """Use one query: whether it is allowed, and the headers of its answer."""
        if self._quota is None:
            return True, _headers(14, 5)
        now = self._quota.clock()
        if now - self._started >= self._quota.window:
            self._started, self._used = now, 0
        left = self._started + self._quota.window - now
        if self._used >= self._quota.queries:
            headers = _headers(0, left)
            if self._quota.retry_after:
                headers["Retry-After"] = str(math.ceil(left))
            return False, headers
        self._used += 1
        return True, _headers(self._quota.queries - self._used, left)


def _headers(remaining: int, left: float) -> dict[str, str]:
    whole = math.ceil(left)
    return {
        "x-ms-user-quota-remaining": str(remaining),
        "x-ms-user-quota-resets-after": f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}",
        "x-ms-ratelimit-remaining-tenant-resource-requests": str(remaining),
    }
