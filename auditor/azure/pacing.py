"""How fast and how stubbornly Azure is asked: quotas kept by ourselves, throttling waited out, failures tried again."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Patience:
    """When to try again and when to give up."""

    attempts: int = 10
    """Tries of one request, the first included."""
    base_seconds: float = 0.8
    longest_seconds: float = 120.0
    """No single wait is longer, whatever a server asks for."""
    sleep: Sleep = asyncio.sleep
    clock: Callable[[], float] = field(default=lambda: asyncio.get_running_loop().time())

    def wait(self, attempt: int, headers: Mapping[str, str]) -> float:
        """Give the seconds to wait after failed try number `attempt` (from 1)."""
        asked = asked_wait(headers)
        if asked is None:
            asked = self.base_seconds * 2 ** (attempt - 1) * random.uniform(0.75, 1.25)  # noqa: S311 - jitter
        return min(asked, self.longest_seconds)


def asked_wait(headers: Mapping[str, str]) -> float | None:
    """Give the seconds that a response asks to wait, None where it does not."""
    for name, unit in (("retry-after-ms", 1000.0), ("x-ms-retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            return max(float(headers[name]) / unit, 0.0)
        except (KeyError, ValueError):
            continue
    return resets_after(headers)


def resets_after(headers: Mapping[str, str]) -> float | None:
    """Read Resource Graph's `x-ms-user-quota-resets-after: 00:00:05`, in seconds."""
    found = re.fullmatch(r"(\d+):(\d\d):(\d\d)(\.\d+)?", headers.get("x-ms-user-quota-resets-after", ""))
    if not found:
        return None
    return int(found[1]) * 3600 + int(found[2]) * 60 + int(found[3]) + float(found[4] or 0)


class Window:
    """Resource Graph's quota: so many queries until the window resets, as its headers tell.

    The first query goes alone, because only an answer says how many are allowed.
    """

    def __init__(self, patience: Patience) -> None:
        """Start knowing nothing."""
        self._patience = patience
        self._left, self._limit, self._flying = 1, 1, 0
        self._resets: float | None = None
        self._changed = asyncio.Condition()

    async def enter(self) -> None:
        """Wait until another query may go."""
        while True:
            async with self._changed:
                now = self._patience.clock()
                if self._resets is not None and now >= self._resets:
                    self._left, self._resets = max(self._limit - self._flying, 1), None
                if self._left > 0:
                    self._left -= 1
                    self._flying += 1
                    return
                if self._resets is None:
                    await self._changed.wait()
                    continue
                wait = self._resets - now
            await self._patience.sleep(wait)

    async def leave(self, headers: Mapping[str, str]) -> None:
        """Learn from an answer's headers (empty where there was no answer)."""
        async with self._changed:
            self._flying -= 1
            resets = resets_after(headers)
            try:
                remaining = int(headers.get("x-ms-user-quota-remaining", ""))
            except ValueError:
                # A server without quota headers does not limit; or there was no answer at all.
                if not self._resets:
                    self._left = max(self._left, 8 - self._flying)
            else:
                self._limit = max(self._limit, remaining + 1)
                self._left = max(remaining - self._flying, 0)
                if resets is None and self._left == 0:
                    resets = 1.0
                if resets is not None:
                    self._resets = self._patience.clock() + resets
            self._changed.notify_all()

    async def hold(self, seconds: float) -> None:
        """Let nobody pass for so long: a query was throttled."""
        async with self._changed:
            self._left = 0
            self._resets = max(self._resets or 0.0, self._patience.clock() + seconds)


class Bucket:
    """ARM's token bucket of one subscription: `rate` requests a second, `burst` at once, `width` in flight."""

    def __init__(self, patience: Patience, rate: float = 20.0, burst: int = 20, width: int = 8) -> None:
        """Start full."""
        self._patience, self._rate, self._burst = patience, rate, burst
        self._tokens, self._at, self._held_until = float(burst), None, 0.0  # type: float, float | None, float
        self._lock = asyncio.Lock()
        self._width = asyncio.Semaphore(width)

    async def enter(self) -> None:
        """Wait until another request may go."""
        await self._width.acquire()
        async with self._lock:
            while True:
                now = self._patience.clock()
                passed = now - (self._at if self._at is not None else now)
                self._tokens = min(self._tokens + passed * self._rate, float(self._burst))
                self._at = now
                if now < self._held_until:
                    await self._patience.sleep(self._held_until - now)
                elif self._tokens < 1:
                    await self._patience.sleep((1 - self._tokens) / self._rate)
                else:
                    break
            self._tokens -= 1

    async def leave(self, _headers: Mapping[str, str]) -> None:
        """Make room for the next."""
        self._width.release()

    async def hold(self, seconds: float) -> None:
        """Let nobody pass for so long: a request was throttled."""
        self._held_until = max(self._held_until, self._patience.clock() + seconds)


Pace = Window | Bucket
