"""Reading of resources as Azure sends them, and whether the rows of an answer add up."""

from __future__ import annotations

import re
from array import array
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auditor.collect.port import Answer, Row

_ALL_BITS = 2**64 - 1


class Marks:
    """Knows texts again by their hash: 12 to 24 bytes for each, where a set of hashes takes 90 and the texts 200."""

    def __init__(self) -> None:
        """Know none."""
        self._slots = array("Q", bytes(8 * 64))  # open addressing; 0 is free, and never more than two thirds are not
        self._known = 0

    def __len__(self) -> int:
        """Count the different texts."""
        return self._known

    def add(self, text: str) -> bool:
        """Remember a text; False where it was known."""
        mark = hash(text) & _ALL_BITS or 1
        place = self._place(mark)
        if self._slots[place]:
            return False
        self._slots[place] = mark
        self._known += 1
        if self._known * 3 > len(self._slots) * 2:
            self._grow()
        return True

    def _place(self, mark: int) -> int:
        """Find where a mark is, or would be."""
        slots, last = self._slots, len(self._slots) - 1
        place = mark & last
        while slots[place] not in (0, mark):
            place = (place + 1) & last
        return place

    def _grow(self) -> None:
        known, self._slots = self._slots, array("Q", bytes(8 * 2 * len(self._slots)))
        for mark in known:
            if mark:
                self._slots[self._place(mark)] = mark


class Tally:
    """Counts the rows of one question and says whether they add up."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.rows = 0
        self.by_subscription: Counter[str] = Counter()
        """Different rows of each subscription; "" for those of none."""
        self._ids = Marks()
        self._total: int | None = None
        self._truncated = False

    def add(self, answer: Answer) -> None:
        """Count a page."""
        self.rows += len(answer.rows)
        self._total, self._truncated = answer.total, self._truncated or answer.truncated
        for row in answer.rows:
            if self._ids.add(id_of(row)):
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
