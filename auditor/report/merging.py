"""Several PDFs into one: their pages, tags, bookmarks and links become those of a single document.

It knows nothing of what the parts say. A reader of the result cannot tell that there were parts: one tree of tags
(each part a /Part of the one /Document), one outline, and links from any part to any other.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import pikepdf
from pikepdf import Array, Dictionary, Name, OutlineItem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

TO = "part:"
"""Scheme of a link to an anchor that may be in another part: `part:findings`."""


@dataclass(frozen=True, slots=True)
class Place:
    """A point of a part: the page, from 0, and points from the page's lower left corner."""

    page: int
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Bookmark:
    """One line of the outline; level 1 is outermost."""

    level: int
    title: str
    place: Place


@dataclass(frozen=True, slots=True)
class Part:
    """A tagged PDF, and what its own bytes do not tell of it."""

    pdf: bytes
    sizes: tuple[tuple[float, float], ...]
    """Width and height of each page, in points."""
    anchors: Mapping[str, Place]
    bookmarks: tuple[Bookmark, ...]


def pages(parts: Sequence[Part], after: int = 0) -> dict[str, int]:
    """Give the page, from 1, that each anchor is on when `after` pages come before the parts."""
    begins = zip(_begins(parts), parts, strict=True)
    return {name: after + begin + it.page + 1 for begin, part in begins for name, it in part.anchors.items()}


def merge(parts: Sequence[Part], over: bytes) -> bytes:
    """Make one document; metadata, output intent and attachments are those of the first part.

    Args:
        parts: in the order of their pages.
        over: an untagged PDF of as many pages: what is drawn on each page as an artifact, such as its number.

    Raises:
        ValueError: a link to an anchor that no part has, or `over` has another number of pages.
    """
    with pikepdf.open(io.BytesIO(parts[0].pdf)) as made:
        tags = _Tags(made)
        for part in parts[1:]:
            # Kept open by what is copied from it: qpdf reads a stream when it is written.
            tags.append(pikepdf.open(io.BytesIO(part.pdf)))
        _share_streams(made)
        _draw_over(made, over)
        point = _pointer(made, parts)
        anchors = {name: point(index, it) for index, part in enumerate(parts) for name, it in part.anchors.items()}
        _link(made, anchors)
        _outline(made, ((it, point(index, it.place)) for index, part in enumerate(parts) for it in part.bookmarks))
        target = io.BytesIO()
        made.save(target, deterministic_id=True, object_stream_mode=pikepdf.ObjectStreamMode.generate)
        return target.getvalue()


def _begins(parts: Sequence[Part]) -> list[int]:
    """Give the page, from 0, on which each part begins."""
    return list(accumulate((len(part.sizes) for part in parts[:-1]), initial=0))


class _Tags:
    """The tree of tags of the document that grows."""

    def __init__(self, made: pikepdf.Pdf) -> None:
        self._made = made
        root = made.Root.StructTreeRoot
        self._document = made.make_indirect(Dictionary(Type=Name.StructElem, S=Name.Document, P=root, K=Array([])))
        self._of_content = root.ParentTree.Nums
        self._adopt(root.K[0])
        root.K = Array([self._document])

    def append(self, source: pikepdf.Pdf) -> None:
        """Add the pages of `source`, and hang their tags below the one document."""
        shift = len(self._of_content) // 2
        for page in source.pages:
            page.obj.StructParents += shift
            for annotation in _annotations(page):
                annotation.StructParent += shift
        self._made.pages.extend(source.pages)
        # After the pages: a tag names its page, and a page is copied once.
        root = self._made.copy_foreign(source.Root.StructTreeRoot)
        self._adopt(root.K[0])
        numbers = root.ParentTree.Nums
        for index in range(0, len(numbers), 2):
            self._of_content.append(int(numbers[index]) + shift)
            self._of_content.append(numbers[index + 1])

    def _adopt(self, element: Any) -> None:
        element.S, element.P = Name.Part, self._document
        self._document.K.append(element)


def _share_streams(made: pikepdf.Pdf) -> None:
    """Keep one of equal fonts and colour profiles; each part brought its own."""
    kept: dict[bytes, Any] = {}

    def first(stream: Any) -> Any:
        return kept.setdefault(hashlib.sha256(stream.read_raw_bytes()).digest(), stream)

    resources = {it.objgen: it for it in (page.obj.Resources for page in made.pages)}
    for it in resources.values():
        for font in it.get("/Font", {}).values():
            descriptor = font.DescendantFonts[0].FontDescriptor
            for key in {"/FontFile2", "/FontFile3"} & set(descriptor.keys()):
                descriptor[key] = first(descriptor[key])
        for space in it.get("/ColorSpace", {}).values():
            if space[0] == Name.ICCBased:
                space[1] = first(space[1])


def _draw_over(made: pikepdf.Pdf, over: bytes) -> None:
    before = made.make_stream(b"q")
    with pikepdf.open(io.BytesIO(over)) as drawn:
        for index, (page, sheet) in enumerate(zip(made.pages, drawn.pages, strict=True)):
            name = f"/Over{index}"
            page.obj.Resources.XObject[name] = made.copy_foreign(sheet.as_form_xobject())
            after = made.make_stream(f"Q /Artifact <</Type /Pagination>> BDC {name} Do EMC".encode())
            page.obj.Contents = Array([before, page.obj.Contents, after])


def _pointer(made: pikepdf.Pdf, parts: Sequence[Part]) -> Callable[[int, Place], Array]:
    """Give a function that makes the destination of a place in the part of an index."""
    begins = _begins(parts)
    pages = [page.obj for page in made.pages]
    return lambda index, it: Array([pages[begins[index] + it.page], Name.XYZ, round(it.x, 2), round(it.y, 2), 0])


def _link(made: pikepdf.Pdf, anchors: Mapping[str, Array]) -> None:
    for page in made.pages:
        for annotation in _annotations(page):
            if "/A" in annotation and str(annotation.A.URI).startswith(TO):
                name = str(annotation.A.URI).removeprefix(TO)
                if name not in anchors:
                    raise ValueError(f"a link leads to {name!r}, which is nowhere")
                del annotation.A
                annotation.Dest, annotation.Contents = anchors[name], name


def _annotations(page: pikepdf.Page) -> Iterable[Any]:
    return page.obj.get("/Annots", ())


def _outline(made: pikepdf.Pdf, bookmarks: Iterable[tuple[Bookmark, Array]]) -> None:
    with made.open_outline() as outline:
        outline.root.clear()
        below: list[tuple[int, list[OutlineItem]]] = [(0, outline.root)]
        for it, destination in bookmarks:
            while below[-1][0] >= it.level:
                below.pop()
            item = OutlineItem(it.title, destination)
            below[-1][1].append(item)
            below.append((it.level, item.children))
