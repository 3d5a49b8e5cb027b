"""The two paces on a clock of the test's own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from auditor.azure.pacing import Bucket, Pace, Patience, Window, asked_wait, resets_after, retry_after

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine


class Clock:
    """Time that passes only when everybody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.patience = Patience(sleep=self.sleep, clock=lambda: self.now)
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.now + seconds, woken))
        await woken

    async def run(self, *work: Coroutine[Any, Any, Any]) -> list[Any]:
        """Do the work, with time put forward whenever nothing else can happen."""
        tasks = [asyncio.ensure_future(one) for one in work]
        while not all(task.done() for task in tasks):
            for _ in range(40):
                await asyncio.sleep(0)
            if self._sleepers and not all(task.done() for task in tasks):
                self._sleepers.sort(key=lambda entry: entry[0])
                self.now, woken = self._sleepers.pop(0)
                if not woken.done():
                    woken.set_result(None)
        return [task.result() for task in tasks]


class Server:
    """Grants so many queries a window, and says so, or says nothing."""

    def __init__(
        self, clock: Clock, allowed: int, window: float = 5.0, seconds: float = 0.3, *, floor: bool = False
    ) -> None:
        self.clock, self.allowed, self.window, self.seconds, self.floor = clock, allowed, window, seconds, floor
        self.started, self.used = -100.0, 0
        self.at: list[float] = []
        self.refused = 0

    async def answer(self, number: int) -> dict[str, str]:
        now = self.clock.now
        if now - self.started >= self.window - 1e-6:
            self.started, self.used = now, 0
        self.used += 1
        self.at.append(now)
        self.refused += self.used > self.allowed
        remaining = max(self.allowed - self.used, 0)
        left = self.started + self.window - now
        whole = int(left) if self.floor else -int(-left // 1)
        # Every third answer overtakes the one before it.
        await self.clock.sleep(self.seconds * (0.2 if number % 3 == 0 else 1))
        return {"x-ms-user-quota-remaining": str(remaining), "x-ms-user-quota-resets-after": f"00:00:{whole:02}"}


async def ask(pace: Pace, answer: Callable[[int], Awaitable[dict[str, str]]], count: int) -> None:
    for _ in range(count):
        number = await pace.enter()
        headers: dict[str, str] = {}
        try:
            headers = await answer(number)
        finally:
            await pace.leave(number, headers)


@pytest.mark.parametrize("floor", [False, True])
@pytest.mark.parametrize(("allowed", "seconds"), [(15, 0.3), (15, 2.0), (3, 0.01), (1, 0.3)])
def test_a_window_is_used_up_and_never_overdrawn(allowed: int, seconds: float, *, floor: bool) -> None:
    async def run() -> tuple[Server, float]:
        clock = Clock()
        window, server = Window(clock.patience), Server(clock, allowed, seconds=seconds, floor=floor)
        await clock.run(*(ask(window, server.answer, 15) for _ in range(4)))
        return server, clock.now - 100

    server, took = asyncio.run(run())
    assert len(server.at) == 60
    assert server.refused == 0
    if seconds < 1 and not floor:
        # One query of a window may be held back for what is still under way.
        assert took <= 60 / allowed * 5 * 1.35 + 5


def test_the_first_query_goes_alone() -> None:
    async def run() -> list[float]:
        clock = Clock()
        server = Server(clock, 15)
        window = Window(clock.patience)
        await clock.run(*(ask(window, server.answer, 1) for _ in range(4)))
        return server.at

    first, *others = asyncio.run(run())
    assert min(others) >= first + 0.3


def test_a_server_that_names_no_quota_is_not_waited_for() -> None:
    async def run() -> float:
        clock = Clock()
        window = Window(clock.patience)

        async def answer(_number: int) -> dict[str, str]:
            await clock.sleep(0.1)
            return {}

        await clock.run(*(ask(window, answer, 10) for _ in range(4)))
        return clock.now - 100

    assert asyncio.run(run()) <= 1.3


@pytest.mark.parametrize("make", [Window, Bucket])
def test_who_is_held_waits_and_then_all_go_on(make: Callable[[Patience], Pace]) -> None:
    async def run() -> list[float]:
        clock = Clock()
        pace = make(clock.patience)
        at: list[float] = []

        async def answer(number: int) -> dict[str, str]:
            at.append(clock.now)
            await clock.sleep(0.1)
            if len(at) == 1:
                await pace.hold(7)
            del number
            return {}

        await clock.run(*(ask(pace, answer, 3) for _ in range(5)))
        return at

    at = asyncio.run(run())
    assert len(at) == 15
    assert all(moment >= 107 for moment in at if moment > 100.2)


@pytest.mark.parametrize("make", [Window, Bucket])
def test_a_cancelled_wait_takes_no_place(make: Callable[[Patience], Pace]) -> None:
    async def run() -> int:
        clock = Clock()
        pace = make(clock.patience)
        await pace.hold(5)
        waiting = [asyncio.ensure_future(pace.enter()) for _ in range(20)]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        done: list[int] = []

        async def answer(number: int) -> dict[str, str]:
            done.append(number)
            return {}

        await clock.run(*(ask(pace, answer, 2) for _ in range(8)))
        return len(done)

    assert asyncio.run(run()) == 16


def test_a_bucket_lets_20_go_and_then_20_a_second() -> None:
    async def run() -> tuple[list[float], int]:
        clock = Clock()
        bucket = Bucket(clock.patience)
        at: list[float] = []
        flying = most = 0

        async def answer(_number: int) -> dict[str, str]:
            nonlocal flying, most
            at.append(clock.now)
            flying += 1
            most = max(most, flying)
            await clock.sleep(0.01)
            flying -= 1
            return {}

        await clock.run(*(ask(bucket, answer, 5) for _ in range(20)))
        return at, most

    at, most = asyncio.run(run())
    assert len(at) == 100
    assert most <= 8
    assert 3.9 <= at[-1] - at[0] <= 4.2
    assert all(later - sooner >= 0.99 for sooner, later in zip(at[20:], at[40:], strict=False))


def test_waits_are_read_from_all_the_headers_azure_uses() -> None:
    assert retry_after({"retry-after": "7"}) == 7
    assert retry_after({"retry-after-ms": "1500", "retry-after": "7"}) == 1.5
    assert retry_after({"x-ms-retry-after-ms": "20"}) == 0.02
    assert retry_after({"retry-after": "Sun, 22 Nov 2026 06:00:00 GMT"}) is None
    assert retry_after({"retry-after": "nan"}) is None
    assert retry_after({"retry-after": "-3"}) == 0
    assert resets_after({"x-ms-user-quota-resets-after": "00:01:05"}) == 65
    assert resets_after({"x-ms-user-quota-resets-after": "soon"}) is None
    assert asked_wait({"retry-after": "2", "x-ms-user-quota-resets-after": "00:00:05"}) == 5
    assert asked_wait({}) is None


def test_no_wait_is_empty_or_endless() -> None:
    patience = Patience()
    assert all(patience.wait(attempt, 0) > 0.5 for attempt in range(1, 5))
    assert patience.wait(60, None) <= patience.longest_backoff_seconds * 1.25
    assert patience.wait(1, 86400) == patience.longest_seconds
