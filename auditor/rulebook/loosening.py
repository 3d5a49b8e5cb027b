"""Where a standard demands less than the shipped one: it must say why, and reports print it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditor import standard as standards
from auditor.document import load
from auditor.errors import DocumentError
from auditor.model import Loosening
from auditor.standard.schema import Justified
from auditor.standard.strictness import Looser, looser

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from auditor.document import Key
    from auditor.rulebook import Rulebook
    from auditor.standard import Standard


@dataclass(frozen=True, slots=True)
class _Place:
    key: Key
    """Of the block that must say why."""
    justification: str | None
    found: list[Looser]
    """Keys of demands start at the block."""
    inherited: bool = False
    """All of it stands in the tier that this one extends, and is told there."""

    @property
    def name(self) -> str:
        return ".".join(map(str, self.key))


def loosenings(standard: Standard, book: Rulebook) -> tuple[Loosening, ...]:
    """Give where the standard demands less than the shipped one, in the order of the standard's model."""
    return tuple(
        Loosening(place.name, tuple(it.told() for it in place.found), place.justification)
        for place in _places(standard, book)
    )


def justified(standard: Standard, book: Rulebook, path: Path, shown: str | None) -> None:
    """Refuse a standard that demands less than the shipped one and does not say why.

    Args:
        standard: the user's.
        book: the rules as it sets them.
        path: its file.
        shown: how errors call the file; the path by default.

    Raises:
        DocumentError: a fault for each block, with what it asks less and by how much.
    """
    silent = [it for it in _places(standard, book) if it.justification is None and not it.inherited]
    if not silent:
        return
    document = load(path, shown)
    faults = []
    for place in silent:
        said = f"{place.name} demands less than the shipped standard: {'; '.join(str(it.told()) for it in place.found)}"
        remedy = f"say why under {place.name}.justification, which reports print, or demand as much"
        first = place.found[0].key
        faults.append(document.fault(first if first == _DUE else (*place.key, *first), said, remedy))
    raise DocumentError(faults)


_DUE: Key = ("sla_days",)
"""The one demand that is no block of its own; `standard` says why."""


@functools.cache
def _shipped() -> Standard:
    return standards.read(standards.default_path())


def _places(standard: Standard, book: Rulebook) -> Iterator[_Place]:
    own, shipped = standard.file, _shipped().file
    due = [it for it in looser(own, shipped) if it.key == _DUE]
    found = [_Place(("standard",), own.standard.justification, due)]
    for name in type(shipped).model_fields:
        block = getattr(own, name)
        if isinstance(block, Justified):
            less = list(looser(block, getattr(shipped, name)))
            found.append(_Place((name,), block.justification, less + (list(_rules(book)) if name == "rules" else [])))
    found += [_tier(name, standard) for name in standard.tiers]
    return (place for place in found if place.found)


def _tier(name: str, standard: Standard) -> _Place:
    tier = standard.tiers[name]
    found = _looser_tier(name, standard)
    base = _tier(tier.extends, standard) if tier.extends else None
    there = [(it.key, it.own) for it in base.found] if base else []
    inherited = all((it.key, it.own) in there for it in found)
    why = tier.justification or (base.justification if base and inherited else None)
    return _Place(("tiers", name), why, found, inherited)


def _looser_tier(name: str, standard: Standard) -> list[Looser]:
    """Hold a tier against the shipped default tier, and against the shipped tier of its name, which wins."""
    shipped = _shipped()
    found = {it.key: it for it in looser(standard.tiers[name], shipped.tiers[shipped.file.default_tier])}
    if name in shipped.tiers:
        found |= {it.key: it for it in looser(standard.tiers[name], shipped.tiers[name])}
    return list(found.values())


def _rules(book: Rulebook) -> Iterator[Looser]:
    """Give severities that are lowered, and parameters that are set to let more pass."""
    for rule in book.rules:
        severity = book.severities[rule.id]
        if severity.rank > rule.file.severity.rank:
            yield Looser(("severity_override", rule.id), str(severity), str(rule.file.severity))
        for name, value in book.params[rule.id].items():
            if rule.file.params[name].loosens(value):
                yield Looser(("params", rule.id, name), value, rule.file.params[name].default)
