"""HTML laid out as tagged PDF, a part at a time: in this process, or several parts at once in others.

The bytes are the same whichever process lays a part out. Another process gets the text of a part and gives back its
PDF, so that memory is bounded by the largest part.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import multiprocessing
import os
import signal
from dataclasses import dataclass
from multiprocessing import connection
from typing import TYPE_CHECKING, Any

from auditor.errors import AuditorError
from auditor.report import fonts, merging

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from multiprocessing.process import BaseProcess

MOST_PROCESSES = 2
"""A part is laid out in some 150 MB; more processes would take more at once, for a file that nobody waits for."""

_POINTS = 0.75
"""Points in a pixel of CSS."""

_PDF_UA = (
    '<rdf:Description xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
    ' xmlns:pdfuaid="http://www.aiim.org/pdfua/ns/id/" rdf:about="" pdfuaid:part="1"/>'
    '<rdf:Description xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
    ' xmlns:pdfaExtension="http://www.aiim.org/pdfa/ns/extension/"'
    ' xmlns:pdfaSchema="http://www.aiim.org/pdfa/ns/schema#"'
    ' xmlns:pdfaProperty="http://www.aiim.org/pdfa/ns/property#" rdf:about="">'
    '<pdfaExtension:schemas><rdf:Bag><rdf:li rdf:parseType="Resource">'
    "<pdfaSchema:schema>PDF/UA identification</pdfaSchema:schema>"
    "<pdfaSchema:namespaceURI>http://www.aiim.org/pdfua/ns/id/</pdfaSchema:namespaceURI>"
    "<pdfaSchema:prefix>pdfuaid</pdfaSchema:prefix>"
    '<pdfaSchema:property><rdf:Seq><rdf:li rdf:parseType="Resource">'
    "<pdfaProperty:name>part</pdfaProperty:name><pdfaProperty:valueType>Integer</pdfaProperty:valueType>"
    "<pdfaProperty:category>internal</pdfaProperty:category>"
    "<pdfaProperty:description>part of ISO 14289 that the file follows</pdfaProperty:description>"
    "</rdf:li></rdf:Seq></pdfaSchema:property></rdf:li></rdf:Bag></pdfaExtension:schemas></rdf:Description>"
)


@dataclass(frozen=True, slots=True)
class Text:
    """A part before it is laid out."""

    name: str
    """What an error calls it."""
    markup: str
    made_at: int
    """Seconds since 1970 that the fonts inside carry."""
    pictures: bool = False
    """Whether it may show pictures that it holds as data."""


def part(text: Text, attachments: Sequence[Any] = ()) -> merging.Part:
    """Lay a part out, tagged, as PDF/A-3a and PDF/UA-1."""
    with _still(text.made_at):
        document = _document(text)
        pdf = document.write_pdf(pdf_variant="pdf/a-3a", attachments=list(attachments), finisher=_finish)
    pages = document.pages
    return merging.Part(
        pdf,
        tuple((page.width * _POINTS, page.height * _POINTS) for page in pages),
        {name: _place(pages, index, it[:2]) for index, page in enumerate(pages) for name, it in page.anchors.items()},
        tuple(
            merging.Bookmark(level, title, _place(pages, index, point))
            for index, page in enumerate(pages)
            for level, title, point, _ in page.bookmarks
        ),
    )


def sheets(text: Text) -> bytes:
    """Lay out, untagged, what is drawn over the pages of the whole."""
    with _still(text.made_at):
        made: bytes = _document(text).write_pdf()
    return made


def parts(texts: Iterable[Text], count: int, processes: int | None = None) -> list[merging.Part]:
    """Lay `count` parts out, several at once; a text is asked for when there is somebody to lay it out.

    Args:
        texts: the parts in order.
        count: how many there are.
        processes: how many to use; 0 is this one. By default a single part is laid out here.

    Raises:
        AuditorError: a process died or could not do its part; the part is named.
    """
    if processes is None:
        processes = min(MOST_PROCESSES, os.cpu_count() or 1, count) if count > 1 else 0
    if not processes:
        return [part(text) for text in texts]
    made: dict[int, merging.Part] = {}
    waiting = enumerate(texts)
    with _hands(processes) as idle:
        busy: dict[Any, tuple[_Hand, int, Text]] = {}
        while True:
            while idle and (task := next(waiting, None)):
                hand = idle.pop()
                hand.give(task[1])
                busy[hand.line] = (hand, *task)
            if not busy:
                return [made[index] for index in sorted(made)]
            for line in connection.wait(list(busy)):
                hand, index, text = busy.pop(line)
                made[index] = hand.take(text.name)
                idle.append(hand)


class _Hand:
    """Another process that lays parts out."""

    def __init__(self) -> None:
        # Not forked: a copy of this process would hold all that this one holds.
        context = multiprocessing.get_context("spawn")
        self.line, theirs = context.Pipe()
        self._process: BaseProcess = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()  # the other end is theirs alone, so that we notice when they die

    def give(self, text: Text) -> None:
        with contextlib.suppress(BrokenPipeError):  # it is dead, and `take` tells
            self.line.send(text)

    def take(self, name: str) -> merging.Part:
        try:
            answer = self.line.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            answer = f"its process ended with code {self._process.exitcode}"
        if isinstance(answer, merging.Part):
            return answer
        raise AuditorError(f"report.pdf: {name} could not be laid out: {answer}", "leave pdf out of --report till then")

    def end(self) -> None:
        self._process.terminate()
        self._process.join()
        self.line.close()


@contextlib.contextmanager
def _hands(count: int) -> Iterator[list[_Hand]]:
    hands: list[_Hand] = []
    try:
        for _ in range(count):
            hands.append(_Hand())  # noqa: PERF401 - those that were started are ended, whatever the next one does
        yield list(hands)
    finally:
        for hand in hands:
            hand.end()


def _serve(line: Any) -> None:
    """Lay out what comes, until the other side is gone; a Ctrl-C is the other side's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            text = line.recv()
            try:
                answer: object = part(text)
            except Exception as error:  # noqa: BLE001 - told on the other side
                answer = f"{type(error).__name__}: {error}"
            line.send(answer)
            gc.collect()


@contextlib.contextmanager
def _still(when: int) -> Iterator[None]:
    """Hold the clock that fontTools writes into the fonts it cuts down, and the garbage collector.

    Layout makes millions of boxes that all stay alive: collecting among them finds nothing, for a quarter of the time.
    """
    earlier = os.environ.get("SOURCE_DATE_EPOCH")
    collecting = gc.isenabled()
    os.environ["SOURCE_DATE_EPOCH"] = str(when)
    gc.disable()
    try:
        yield
    finally:
        if earlier is None:
            del os.environ["SOURCE_DATE_EPOCH"]
        else:
            os.environ["SOURCE_DATE_EPOCH"] = earlier
        if collecting:
            gc.enable()


def _document(text: Text) -> Any:
    weasyprint: Any = importlib.import_module("weasyprint")
    # A part does not know where the others' anchors are; who merges them does.
    markup = text.markup.replace('<a href="#', f'<a href="{merging.TO}')
    return weasyprint.HTML(string=markup, url_fetcher=fetcher(pictures=text.pictures)).render(pdf_variant="pdf/a-3a")


def _place(pages: Sequence[Any], index: int, point: tuple[float, float]) -> merging.Place:
    return merging.Place(index, point[0] * _POINTS, (pages[index].height - point[1]) * _POINTS)


@functools.cache
def fetcher(*, pictures: bool) -> Any:
    """Give a fetcher that reads files of the font packages and nothing else: names in a report load nothing.

    With `pictures`, those too that the user's templates hold as data.
    """
    weasyprint: Any = importlib.import_module("weasyprint")
    allowed = {face.url for face in fonts.faces()}

    class Fetcher(weasyprint.URLFetcher):  # type: ignore[misc]
        def fetch(self, url: str, headers: Any = None) -> Any:
            if url not in allowed and not (pictures and url.startswith("data:image/")):
                message = f"a report loads nothing: {url[:80]}"
                raise ValueError(message)
            return super().fetch(url, headers)

    return Fetcher()


def _finish(_document: Any, pdf: Any) -> None:
    """Mend what WeasyPrint leaves to be done before the file is written.

    The file follows PDF/UA too, and WeasyPrint takes one variant. It names a header by its element, which stands on
    every page that the table covers; that a header is one of a column or of a row says as much, and stays right when
    files are merged. And it wraps each line of a cell in a tag of its own: those are more than half of all objects.
    """
    elements: list[Any] = [it for it in pdf.objects if isinstance(it, dict) and it.get("Type") == "/StructElem"]
    folded: dict[bytes, bytes] = {}
    for it in elements:
        kind = it["S"]
        if kind == "/TH":
            it.pop("ID", None)
            it["A"]["Scope"] = "/Column" if _parent(pdf, _parent(pdf, it))["S"] == "/THead" else "/Row"
        elif kind == "/TD":
            it["A"].pop("Headers", None)
            if it["A"].keys() == {"O"}:
                del it["A"]
        elif kind == "/Span" and len(it["K"]) == 1 and isinstance(it["K"][0], int):
            kids = _parent(pdf, it)["K"]
            kids[kids.index(it.reference)] = it["K"][0]
            folded[it.reference] = it["P"]
            it.clear()
    tree = _object(pdf, _object(pdf, pdf.catalog["StructTreeRoot"])["ParentTree"])
    for content in tree["Nums"]:
        if isinstance(content, list):
            content[:] = [folded.get(it, it) for it in content]
    metadata = _object(pdf, pdf.catalog["Metadata"])
    metadata.stream = [it.replace(b"</rdf:RDF>", _PDF_UA.encode() + b"</rdf:RDF>") for it in metadata.stream]


def _object(pdf: Any, reference: bytes) -> Any:
    return pdf.objects[int(reference.split()[0])]


def _parent(pdf: Any, element: Any) -> Any:
    return _object(pdf, element["P"])
