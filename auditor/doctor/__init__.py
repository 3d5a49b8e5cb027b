"""What keeps an audit from being complete, found before it runs: this machine, the sign-in, what may be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

State: TypeAlias = Literal["ok", "warn", "fail", "skip"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    check: str
    state: State
    """`warn`: an audit is complete all the same; `skip`: there was nothing to look at."""
    detail: str
    remedy: str = ""
