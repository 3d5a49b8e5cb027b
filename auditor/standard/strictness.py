"""Which way a demand of a standard gets stricter: marks on the fields of its model, and what is looser than another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from auditor.model import LooserDemand
from auditor.standard.durations import days

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from auditor.document import Key


@dataclass(frozen=True, slots=True)
class Stricter:
    """Mark of a field: how its values are held against each other."""

    holds: Callable[[Any, Any], bool]
    """(own, other) -> own demands no less than other; null demands nothing unless the mark says otherwise."""


@dataclass(frozen=True, slots=True)
class Looser:
    """A demand that asks less than another."""

    key: Key
    own: Any
    """None = not demanded."""
    other: Any

    def told(self) -> LooserDemand:
        """Give it in the words of the file."""
        whole = isinstance(self.other, BaseModel)
        return LooserDemand(
            name=".".join(map(str, self.key)),
            asked=None if self.own is None else shown(self.own),
            shipped=None if whole else shown(self.other),
        )


def _demanded(compare: Callable[[Any, Any], bool]) -> Stricter:
    return Stricter(lambda own, other: other is None or (own is not None and compare(own, other)))


def _in_order(*words: str) -> Stricter:
    return _demanded(lambda own, other: words.index(own) >= words.index(other))


LONGER = _demanded(lambda own, other: days(own) >= days(other))
SHORTER = _demanded(lambda own, other: days(own) <= days(other))
HIGHER = _demanded(lambda own, other: own >= other)
LOWER = _demanded(lambda own, other: own <= other)
YES = Stricter(lambda own, other: bool(own) or not other)
NO = Stricter(lambda own, other: not own or bool(other))
MORE = Stricter(lambda own, other: all(it in (own or ()) for it in other))
"""Lists of what must be."""
FEWER = Stricter(lambda own, other: all(it in other for it in own or ()))
"""Lists of what is let pass."""
SHORTER_OR_NULL = Stricter(lambda own, other: own is None or (other is not None and days(own) <= days(other)))
"""Null allows nothing."""
LONGER_OR_NULL = Stricter(lambda own, other: own is None or (other is not None and days(own) >= days(other)))
"""Null never lets pass."""
NULL = Stricter(lambda own, other: own is None or own == other)
"""Null accepts nothing."""
EACH_SHORTER = Stricter(lambda own, other: all(days(a) <= days(b) for a, b in zip(own, other, strict=True)))
IMMUTABLE = _in_order("Disabled", "Unlocked", "Locked")
CLOSED = _in_order("AllowAll", "AllowPrivate", "DenyAll")
PRIVATE = _in_order("Enabled", "Disabled")
SOONER = Stricter(lambda own, other: all(name in own and own[name] <= most for name, most in other.items()))
"""Days by severity."""


def looser(own: BaseModel | None, other: BaseModel, at: Key = ()) -> Iterator[Looser]:
    """Give what `own` asks less than `other`, a block of the same kind, in the order of the model.

    A block that is missing as a whole is told as one.
    """
    for name, field in type(other).model_fields.items():
        asked, shipped = getattr(own, name, None), getattr(other, name)
        key = (*at, name)
        if isinstance(shipped, BaseModel):
            below = list(looser(asked, shipped, key))
            yield from below if asked is not None else [Looser(key, None, shipped)] if below else []
            continue
        mark = next((it for it in field.metadata if isinstance(it, Stricter)), None)
        if mark is not None and not mark.holds(asked, shipped):
            yield Looser(key, asked, shipped)


def shown(value: Any) -> str:
    """Write a value of a standard in a line, much as the file does."""
    if isinstance(value, BaseModel):
        return str(next(iter(value.model_dump().values())))
    if isinstance(value, list):
        return ", ".join(map(shown, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{name} {shown(it)}" for name, it in value.items()) or "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
