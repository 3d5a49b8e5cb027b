"""The fonts of the PDF: where their packages put the files, and which characters they can draw."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import fontpkg
from fontTools.ttLib import TTFont

if TYPE_CHECKING:
    from pathlib import Path

BODY = "ibm-plex-sans"
TABLE = "ibm-plex-sans-condensed"
_FALLBACK = "noto-sans"
_WEIGHTS = (400, 600)


@dataclass(frozen=True, slots=True)
class Face:
    """One @font-face rule."""

    family: str
    weight: str
    path: Path

    @property
    def url(self) -> str:
        """The file's URL."""
        return self.path.as_uri()


@functools.cache
def faces() -> tuple[Face, ...]:
    """List the faces: Plex for text and tables, and every installed Noto Sans for the world's other scripts."""
    found: list[Face] = []
    for slug in (BODY, TABLE, *fallbacks()):
        family = fontpkg.family(slug)
        if family.is_variable:
            path = fontpkg.path(slug, 400)
            low, high = family.weight_range
            found.append(Face(slug, f"{low} {high}", path))
        else:
            found.extend(Face(slug, str(weight), fontpkg.path(slug, weight, nearest=True)) for weight in _WEIGHTS)
    return tuple(found)


@functools.cache
def fallbacks() -> tuple[str, ...]:
    """List the installed Noto Sans families, the Latin one first."""
    return tuple(sorted(slug for slug in fontpkg.families() if slug.startswith(_FALLBACK)))


@functools.cache
def drawable() -> frozenset[int]:
    """Give the code points that body text can draw; the tables' family falls back to the body's."""
    codes: set[int] = set()
    for slug in (BODY, *fallbacks()):
        with TTFont(fontpkg.path(slug, 400), lazy=True) as font:
            codes.update(font.getBestCmap())
    return frozenset(codes)
