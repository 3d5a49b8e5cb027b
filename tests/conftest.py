"""What holds for every test: whoever is audited is only ever read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from auditor.simulator.server import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator

READING_POSTS = re.compile(
    r"/providers/Microsoft\.ResourceGraph/resources"
    r"|/subscriptions/[^/]+/providers/Microsoft\.PolicyInsights/policyStates/latest/queryResults",
    flags=re.IGNORECASE,
)


@pytest.fixture(autouse=True)
def _only_read(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Look through the log of every simulator that a test closes; the simulator's own tests may send it anything."""
    if "simulator" in request.path.parts:
        yield
        return
    written: list[str] = []
    close = Simulator.__exit__

    def closing(self: Simulator, *reason: Any) -> None:
        close(self, *reason)
        written.extend(
            f"{sent.method} {sent.path}"
            for sent in self.log
            if sent.method != "GET" and not (sent.method == "POST" and READING_POSTS.fullmatch(sent.path))
        )

    monkeypatch.setattr(Simulator, "__exit__", closing)
    yield
    assert written == []
