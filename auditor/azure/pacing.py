"""How fast and how stubbornly Azure is asked: quotas kept by ourselves, throttling waited out, failures tried again."""

from __future__ import annotations

import asyncio
import math
import random
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Patience:
    """When to try again and when to give up."""

    attempts: int = 10
    """Tries of one request that fails, the first included."""
    throttled_attempts: int = 20
    """Tries of one request that is throttled: each has waited as it was told, so that more of them do no harm."""
    unanswered_attempts: int = 4
    """Tries while nobody has ever answered: an endpoint that is not there will not come."""
    losses: int = 3
    """Requests in a row that were given up; what follows them is tried once only, until one works again."""
    base_seconds: float = 0.8
    longest_backoff_seconds: float = 10.0
    """No wait is longer that we choose ourselves."""
    longest_seconds: float = 120.0
    """No single wait is longer, whatever a server asks for."""
    deadline_seconds: float | None = None
    """After so long nothing is asked any more, and what was not read by then counts as failed; None: no limit."""
    sleep: Sleep = asyncio.sleep
    clock: Callable[[], float] = field(default=lambda: asyncio.get_running_loop().time())

    def wait(self, attempt: int, asked: float | None) -> float:
        """Give the seconds to wait after failed try number `attempt` (from 1), where the server asked for so many."""
        if not asked:  # a wait of no time at all would only burn the tries
            backoff = min(self.base_seconds * 2.0 ** (attempt - 1), self.longest_backoff_seconds)
            return backoff * random.uniform(0.75, 1.25)  # noqa: S311 - jitter
        return min(asked, self.longest_seconds)


def asked_wait(headers: Mapping[str, str]) -> float | None:
    """Give the seconds that a throttling answer asks to wait, None where it does not."""
    return max(retry_after(headers) or 0.0, resets_after(headers) or 0.0) or None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After and its Azure variants, in seconds; None where there is none, or a date instead."""
    for name, unit in (("retry-after-ms", 1000.0), ("x-ms-retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) / unit
        except (KeyError, ValueError):
            continue
        if math.isfinite(seconds):
            return max(seconds, 0.0)
    return None


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
        self.lost = 0
        """Requests given up since the last that worked."""
        self._patience = patience
        self._left, self._limit, self._flying = 1, 1, 0
        self._entered, self._newest, self._first = 0, 0, 1
        self._longest = 0.0
        self._sent: dict[int, float] = {}
        self._fresh = (math.inf, 0.0)
        """When the first answer of this window came, and the seconds it told."""
        self._ends = (math.inf, 0.0)
        """The earliest and the latest end of this window, by its answers."""
        self._held_until = 0.0
        self._rounded_up = self._overdrawn = False
        self._resets: float | None = None
        """When the window ends; None while nobody said."""
        self._changed = asyncio.Condition()

    async def enter(self) -> int:
        """Wait until another query may go; give its number."""
        while True:
            async with self._changed:
                now = self._patience.clock()
                if self._resets is not None and now >= self._resets:
                    self._left, self._resets = max(self._limit - self._flying, 1), None
                    self._first, self._ends, self._fresh = self._entered + 1, (math.inf, 0.0), (math.inf, 0.0)
                if self._left > 0:
                    self._left -= 1
                    self._flying += 1
                    self._entered += 1
                    self._sent[self._entered] = now
                    return self._entered
                if self._resets is None:
                    await self._changed.wait()
                    continue
                wait = self._resets - now
            await self._patience.sleep(wait)

    async def leave(self, number: int, headers: Mapping[str, str]) -> None:
        """Learn from the headers of the answer to query `number` (empty where there was no answer)."""
        async with self._changed:
            self._flying -= 1
            sent = self._sent.pop(number, self._patience.clock())
            if number < self._first:
                # It was asked in a window that has ended since: what it says of that one is history.
                self._changed.notify_all()
                return
            resets = resets_after(headers)
            try:
                remaining = int(headers.get("x-ms-user-quota-remaining", ""))
            except ValueError:
                # A server without quota headers does not limit; or there was no answer at all.
                if not self._resets:
                    self._left = max(self._left, 8 - self._flying)
            else:
                self._limit = max(self._limit, remaining + 1)
                # Answers overtake each other: one to an earlier query says nothing new of what is left.
                if number > self._newest:
                    self._newest = number
                    self._left = max(remaining - self._flying, 0)
                if resets is None and self._left == 0:
                    resets = 1.0
                if resets is not None:
                    end = self._end(sent, resets, fresh=remaining + 1 >= self._limit)
                    self._resets = max(end, self._held_until)
            self._changed.notify_all()

    def _end(self, sent: float, seconds: float, *, fresh: bool) -> float:
        """Give when this window ends, as far as an answer to a query of `sent` tells it in whole `seconds`.

        Nobody says whether they are cut or rounded up. Rounded up, each answer's end is late, and the earliest of them
        is right; cut, each is early, and only the latest is safe. It shows: seconds that are cut never add up to more
        than the window's first answer told, counted from when that came.
        """
        now = self._patience.clock()
        self._longest = max(self._longest, seconds)
        if fresh:
            self._fresh = (now, seconds)
            seconds = self._longest  # a whole window lies ahead
        elif seconds + sent - self._fresh[0] > self._fresh[1] + 1e-6 and not self._overdrawn:
            self._rounded_up = True
        earliest, latest = self._ends
        self._ends = (min(earliest, now + seconds), max(latest, now + seconds))
        return self._ends[0] if self._rounded_up else self._ends[1]

    async def hold(self, seconds: float) -> None:
        """Let nobody pass for so long: a query was throttled."""
        async with self._changed:
            self._left, self._overdrawn, self._rounded_up = 0, True, False
            self._held_until = max(self._held_until, self._patience.clock() + seconds)
            self._resets = max(self._resets or 0.0, self._held_until)


class Bucket:
    """ARM's token bucket of one subscription: `rate` requests a second, `burst` at once, `width` in flight."""

    def __init__(self, patience: Patience, rate: float = 20.0, burst: int = 20, width: int = 8) -> None:
        """Start full."""
        self.lost = 0
        """Requests given up since the last that worked."""
        self._patience, self._rate, self._burst = patience, rate, burst
        self._tokens, self._at, self._held_until = float(burst), None, 0.0  # type: float, float | None, float
        self._turn = asyncio.Lock()
        self._width = asyncio.Semaphore(width)

    async def enter(self) -> int:
        """Wait until another request may go; requests are not numbered here."""
        await self._width.acquire()
        try:
            # Who has the turn sleeps with it: those behind could not go before it anyway.
            async with self._turn:
                while wait := self._wait():
                    await self._patience.sleep(wait)
                self._tokens -= 1
        except BaseException:
            self._width.release()
            raise
        return 0

    def _wait(self) -> float:
        """Give the seconds until the next token; 0 where there is one."""
        now = self._patience.clock()
        passed = now - (self._at if self._at is not None else now)
        self._tokens = min(self._tokens + passed * self._rate, float(self._burst))
        self._at = now
        if now < self._held_until:
            return self._held_until - now
        # A sum of small fractions never quite is 1.
        return 0.0 if self._tokens >= 1 - 1e-9 else (1 - self._tokens) / self._rate

    async def leave(self, _number: int, _headers: Mapping[str, str]) -> None:
        """Make room for the next."""
        self._width.release()

    async def hold(self, seconds: float) -> None:
        """Let nobody pass for so long: a request was throttled."""
        self._held_until = max(self._held_until, self._patience.clock() + seconds)


Pace = Window | Bucket
