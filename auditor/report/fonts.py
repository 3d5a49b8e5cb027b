"""The fonts of the PDF: where their packages put the files, and which characters they can draw."""

from __future__ import annotations

import base64
import functools
import io
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


@functools.cache
def _advances() -> tuple[dict[int, float], float]:
    with TTFont(fontpkg.path(BODY, 400), lazy=True) as font:
        em = font["head"].unitsPerEm
        widths = font["hmtx"]
        return {code: widths[glyph][0] / em for code, glyph in font.getBestCmap().items()}, 0.6


def width(text: str) -> float:
    """Measure a text in ems of the body face, so that labels of charts can be set side by side."""
    known, other = _advances()
    return sum(known.get(ord(char), other) for char in text)


_WEB = "".join(map(chr, [*range(0x20, 0x7F), *range(0xA0, 0x100), 0x2013, 0x2019, 0x2026, *range(0x2190, 0x2194)]))


@functools.cache
def web() -> str:
    """Give the body face, cut down to the Latin script, as base64 of WOFF2, for the HTML report."""
    from fontTools import subset  # noqa: PLC0415 - half a second that only html needs

    options = subset.Options(
        flavor="woff2", layout_features=["kern", "liga", "tnum"], hinting=False, notdef_outline=True
    )
    options.recalc_timestamp = False
    options.name_IDs = []
    font = subset.load_font(str(fontpkg.path(BODY, 400)), options)
    cutter = subset.Subsetter(options)
    cutter.populate(text=_WEB)
    cutter.subset(font)
    target = io.BytesIO()
    subset.save_font(font, target, options)
    return base64.b64encode(target.getvalue()).decode("ascii")
