"""Reading of resources as Azure sends them, and whether the rows of an answer add up."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auditor.collect.port import Answer, Row


class Tally:
    """Counts the rows of one question and says whether they add up."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.rows = 0
        self.by_subscription: Counter[str] = Counter()
        """Different rows of each subscription; "" for those of none."""
        self._ids: set[int] = set()
        self._total: int | None = None
        self._truncated = False

    def add(self, answer: Answer) -> None:
        """Count a page."""
        self.rows += len(answer.rows)
        self._total, self._truncated = answer.total, self._truncated or answer.truncated
        for row in answer.rows:
            mark = hash(id_of(row))  # 8 bytes for each row, where its id takes 200
            if mark not in self._ids:
                self._ids.add(mark)
                self.by_subscription[subscription_of(row)] += 1

    def lack(self) -> str:
        """Say what is missing; empty where all is there."""
        if self._truncated:
            return "Resource Graph cut the result short and gave no way to read on"
        if self._total is not None and not self.rows == len(self._ids) == self._total:
            return f"{len(self._ids)} different rows of {self._total} came, asked twice"
        return ""


def id_of(row: Row) -> str:
    """Give the lower-cased ARM id."""
    return "/" + str(row.get("id") or "").strip("/").lower()


def subscription_of(row: Row) -> str:
    """Give the lower-cased id of the subscription; "" where there is none."""
    found = re.match(r"/subscriptions/([^/]+)", id_of(row))
    return found[1] if found else str(row.get("subscriptionId") or "").lower()


def below(row: Row, *names: str) -> Row:
    """Give the object at a path of names; an empty one where there is none."""
    for name in names:
        inner = row.get(name)
        row = inner if isinstance(inner, dict) else {}
    return row
