"""report.pdf: the document for auditors, PDF/A-3a and PDF/UA-1, with the record attached."""

from __future__ import annotations

import functools
import hashlib
import importlib
import io
import math
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import segno
from markupsafe import Markup

from auditor.errors import UsageError
from auditor.model import Status
from auditor.report import causes, page, pango, population, remedy, tables, values, view, wording
from auditor.report import enclosed as inside
from auditor.report.formats import csv, xlsx
from auditor.report.formats import json as record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from auditor.model import Finding, Machine
    from auditor.report import merging
    from auditor.report.causes import Affected, Cause
    from auditor.report.promises import Promise
    from auditor.report.view import Report

DEFAULT_NAME = "report.pdf"
MEDIA_TYPE = "application/pdf"

MOST_FINDINGS = 2_000
"""Rows told one by one, worst first; the rest travel in the attachment."""
MOST_MACHINES = 300
"""Lines of the population appendix; all travel in the attachment."""
MOST_ROWS = 400
"""Lines of any other list."""
MOST_TOGETHER = 1_000
"""Rows of a long chapter that are laid out together."""
_ROWS_OF_A_PAGE = 28
_SECONDS_OF_A_THOUSAND = 5
"""Of computing time; both as measured by `make bench`."""

_NUMBERED = (
    "summary",
    "basis",
    "completeness",
    "promises",
    "rules",
    "findings",
    "waivers",
    "azpolicy",
    "recovery",
    "costs",
    "controls",
    "register",
)
_LETTERED = ("population", "method", "numbers")
_ORDER = ("summary", "contents", *_NUMBERED[1:], *_LETTERED, "signoff", "verify")

_FRONT = ("cover", "summary", "contents")
"""Laid out last, because it tells the pages of the rest."""
_FRONT_PAGES = 3
"""So many are the rule; where they are more or fewer, the front is laid out twice."""


@dataclass(frozen=True, slots=True)
class Section:
    """A chapter's number and title."""

    number: str
    title: str


@dataclass(frozen=True, slots=True)
class Line:
    """Resources of a block that share every detail."""

    serials: str
    names: str
    details: str


@dataclass(frozen=True, slots=True)
class Block:
    """A cause with the rows that fit under the cap, and the values read: shared ones once, the others by row."""

    cause: Cause
    rows: tuple[Line, ...]
    told: int
    """Findings of the cause in these lines."""
    shared: tuple[str, ...]
    """What is the same for all rows, in words."""
    first: bool
    """The first block of its rule, which tells why it matters and what to do; later ones point to it."""
    told_in: str
    """Number of that block."""
    pairs: tuple[values.Pair, ...]
    values: tuple[tuple[str, str], ...]
    ended: tuple[str, ...]
    """Waivers that have ended, in words."""
    portal: str
    az: str
    """The fix; with names filled in where the block tells a single resource."""
    lines: int
    """Rows of the block before it is cut; a single one stands in the description."""
    begins: bool = True
    """Whether the cause is described here, above its first rows."""

    @property
    def crowded(self) -> bool:
        """True where names need more room than details."""
        return max(len(row.names) for row in self.rows) > max(len(row.details) for row in self.rows)


@dataclass(frozen=True, slots=True)
class Piece:
    """A chapter; or of a long one, as many rows as are laid out together."""

    chapter: str
    rows: Sequence[Any] = ()
    begins: bool = True
    ends: bool = True


@dataclass(frozen=True, slots=True)
class Enclosed:
    """A file inside the PDF."""

    name: str
    description: str
    relationship: str
    content: bytes

    @property
    def digest(self) -> str:
        """SHA-256, as printed in the last section."""
        return hashlib.sha256(self.content).hexdigest()


def check() -> None:
    """Raise UsageError, with the command that helps, where Pango is missing."""
    try:
        pango.find()
    except (ImportError, OSError) as error:
        raise UsageError(
            f"a PDF cannot be made here: {str(error).splitlines()[0]}",
            f"install Pango with `{pango.install()}`, or leave pdf out of --report",
        ) from error


def notice(report: Report) -> str:
    """Say what it costs that nothing is capped; nothing where there is nothing to cap."""
    findings, machines = report.told, len(report.machines)
    if not report.how.pdf_all or (findings <= MOST_FINDINGS and machines <= MOST_MACHINES):
        return ""
    rows = findings + machines
    pages, seconds = rows // _ROWS_OF_A_PAGE, rows * _SECONDS_OF_A_THOUSAND // 1000
    return (
        f"--pdf-all: {findings:,} findings and {machines:,} VMs take some {pages:,} pages "
        f"and {seconds:,} s of computing time"
    )


def render(report: Report, processes: int | None = None) -> bytes:
    """Lay the report out and enclose the record; the dates inside are the run's.

    Args:
        report: what to tell.
        processes: how many lay it out; any number gives the same bytes. See `typeset.parts`.
    """
    check()
    from auditor.report import merging, typeset  # noqa: PLC0415 - need the fonts and pikepdf, which `check` does not

    enclosed = (
        Enclosed(inside.RECORD, "every finding of this run: the record", "Source", record.render(report)),
        Enclosed("findings.csv", "every finding of this run, a line each", "Data", csv.render(report)),
        Enclosed("findings.xlsx", "every finding of this run as a workbook", "Data", xlsx.render(report)),
        Enclosed("population.csv", "every VM of the population", "Data", tables.to_csv(tables.population(report))),
    )
    book = Book(report, enclosed)
    text = functools.partial(
        typeset.Text,
        made_at=int(report.run.finished_at.timestamp()),
        pictures=report.how.templates.own is not None,
    )
    body = typeset.parts(
        (text(", ".join(it.chapter for it in pieces), book.part(pieces)) for pieces in book.body),
        len(book.body),
        processes,
    )

    def front(pages: Mapping[str, int]) -> merging.Part:
        return typeset.part(text("front", book.part(book.front, pages)), _attachments(report, enclosed))

    parts = [_settled(front, body), *body]
    return merging.merge(parts, typeset.sheets(text("running lines", book.sheets(parts))))


_MOST_TRIES = 5


def _settled(front: Callable[[Mapping[str, int]], merging.Part], body: Sequence[merging.Part]) -> merging.Part:
    """Lay the front out until the pages that it tells are those on which the chapters begin."""
    from auditor.report import merging  # noqa: PLC0415

    told = {"summary": 2, "contents": 3} | merging.pages(body, after=_FRONT_PAGES)
    for _ in range(_MOST_TRIES):
        made = front(told)
        found = merging.pages([made, *body])
        if all(found[key] == told[key] for key in told):
            return made
        told = found
    raise RuntimeError("the page numbers of the front do not settle")  # numbers as wide as a line, which none are


def _attachments(report: Report, enclosed: Iterable[Enclosed]) -> list[Any]:
    weasyprint: Any = importlib.import_module("weasyprint")
    when = report.run.finished_at
    return [
        weasyprint.Attachment(
            file_obj=io.BytesIO(it.content),
            name=it.name,
            description=inside.described(it.description, it.content),
            created=when,
            modified=when,
            relationship=it.relationship,
        )
        for it in enclosed
    ]


def markup(report: Report) -> str:
    """Give the texts of all parts, one after the other, so that a test can look at them."""
    book = Book(report)
    return "".join(book.part(pieces, dict.fromkeys(_ORDER, 0)) for pieces in (book.front, *book.body))


class Book:
    """The report as texts of parts: what all of them share is made once."""

    def __init__(self, report: Report, enclosed: Iterable[Enclosed] = ()) -> None:
        """Cut `report` into parts; `enclosed` is named in it."""
        from auditor.report import fonts  # noqa: PLC0415 - needs the font packages, which html and json do not

        texts = report.texts
        css = _css(report)
        # A rule bears the same number in the report for one framework.
        rule_no = {rule.id: f"R-{number:02d}" for number, rule in enumerate(report.rules, start=1)}
        report = view.of_framework(report)
        self._fill = page.filler(report, fonts.drawable())
        blocks, shown = _capped(report, texts)
        listed = report.machines if report.how.pdf_all else report.machines[:MOST_MACHINES]
        self.front = [Piece(chapter) for chapter in _FRONT]
        self.body = _parts({"findings": _cut_blocks(blocks), "population": _cut(listed)})
        """The rest of the report, part by part."""
        self._shared: dict[str, Any] = {
            "css": css,
            "state": report.state,
            "expected": _expected(report),
            "qr": _qr(report),
            "sections": _sections(texts),
            "tenants": _tenants(report),
            "shown": shown,
            "main_tier": _main_tier(report),
            "listed": len(listed),
            "limits": {"rows": MOST_ROWS},
            "place": functools.partial(_place, report),
            "groups": population.groups(report),
            "by_group": functools.partial(population.by_group, report),
            "lists": population.lists(report),
            "outside": population.outside(report),
            "rule_no": rule_no,
            "sealed": _sealed(report),
            "numbered": lambda rules: causes.spans((rule_no[rule] for rule in rules), texts),
            "spans": functools.partial(causes.spans, texts=texts),
            "attachments": tuple(enclosed),
        }

    def part(self, pieces: Sequence[Piece], pages: Mapping[str, int] | None = None) -> str:
        """Write a part; the front tells the `pages` on which chapters begin, from 1."""
        return self._fill("pdf.html", **self._shared, pieces=pieces, pages=pages)

    def sheets(self, parts: Sequence[merging.Part]) -> str:
        """Write what runs along the pages: none on the cover, and a wide one where the page is."""
        kinds = ["wide" if width > height else "tall" for part in parts for width, height in part.sizes]
        return self._fill("pdf.sheets.html", **self._shared, sheets=["cover", *kinds[1:]])


def _css(report: Report) -> Markup:
    from auditor.report import fonts  # noqa: PLC0415

    fallbacks = ", ".join(f'"{slug}"' for slug in fonts.fallbacks())
    body, table = f'"{fonts.BODY}", {fallbacks}', f'"{fonts.TABLE}", "{fonts.BODY}", {fallbacks}'
    css = page.filler(report)("pdf.css", faces=fonts.faces(), body=body, table=table)
    return Markup(css + report.how.templates.source("blocks/style.css"))  # noqa: S704 - with font paths


def _parts(long: Mapping[str, Sequence[Sequence[Any]]]) -> list[list[Piece]]:
    """Divide the chapters behind the front into parts: one ends only where a long chapter is cut."""
    parts: list[list[Piece]] = [[]]
    for chapter in _ORDER[len(_FRONT) - 1 :]:
        slices = long.get(chapter) or [()]
        for number, rows in enumerate(slices, start=1):
            if number > 1:
                parts.append([])
            parts[-1].append(Piece(chapter, rows, begins=number == 1, ends=number == len(slices)))
    return parts


def _cut(rows: Sequence[Any]) -> list[Sequence[Any]]:
    """Cut a list into as few slices as may be, of about equal length."""
    size = _size(len(rows))
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _cut_blocks(blocks: Sequence[Block]) -> list[Sequence[Any]]:
    """Cut blocks into slices of about as many rows; one that is cut goes on in the next slice."""
    size = _size(sum(len(block.rows) for block in blocks))
    slices: list[list[Block]] = []
    room = 0
    for block in blocks:
        begin = 0
        while begin < len(block.rows):
            if not room:
                slices.append([])
                room = size
            rows = block.rows[begin : begin + room]
            slices[-1].append(replace(block, rows=rows, begins=begin == 0))
            begin, room = begin + len(rows), room - len(rows)
    return list(slices)


def _size(rows: int) -> int:
    return max(1, math.ceil(rows / max(1, math.ceil(rows / MOST_TOGETHER))))


def _sealed(report: Report) -> list[tuple[str, int, str]]:
    """Give the files that the manifest seals, those of a folder as one: name, files, SHA-256.

    A folder's digest is taken over the lines `<sha256>  <path>` of its files, sorted by path, as `sha256sum` writes
    them.
    """
    folders: dict[str, list[tuple[str, str]]] = {}
    for path, digest in report.inputs:
        folder, slash, _ = path.partition("/")
        folders.setdefault(folder + slash, []).append((path, digest))
    return [
        (name, len(files), files[0][1] if not name.endswith("/") else _digest(files))
        for name, files in sorted(folders.items())
    ]


def _digest(files: Sequence[tuple[str, str]]) -> str:
    return hashlib.sha256("".join(f"{digest}  {path}\n" for path, digest in sorted(files)).encode()).hexdigest()


def _main_tier(report: Report) -> list[Promise]:
    """Give the table of the tier that most VMs have: the summary page has room for one."""
    if not report.promises:
        return []
    most = max(it.machines for it in report.promises)
    tier = next(it.tier for it in report.promises if it.machines == most)
    return [it for it in report.promises if it.tier == tier and it.demanded is not None]


def _tenants(report: Report) -> list[str]:
    """Give the tenants that what was read belongs to; where no subscription names one, that of the identity."""
    found = {it.tenant_id for it in report.completeness.subscriptions if it.tenant_id}
    own = report.run.identity.get("tenant_id")
    return sorted(found or ({str(own)} if own else set()))


def _expected(report: Report) -> str | None:
    declared = report.run.scope.get("expect_subscriptions")
    if not declared and declared != 0:
        return None
    return report.texts.numerals.number(len(declared)) if isinstance(declared, (list, tuple)) else str(declared)


def _sections(texts: wording.Texts) -> Mapping[str, Section]:
    numbers = {key: str(number) for number, key in enumerate(_NUMBERED, start=1)}
    numbers |= {key: chr(ord("A") + index) for index, key in enumerate(_LETTERED)}
    return {key: Section(numbers.get(key, ""), texts(f"sections.{key}")) for key in _ORDER}


def _capped(report: Report, texts: wording.Texts) -> tuple[list[Block], int]:
    blocks: list[Block] = []
    first: dict[str, str] = {}
    shown = 0
    for cause in report.causes:
        rows = []
        for row in cause.rows:
            size = 1 + len(row.also)
            if not report.how.pdf_all and shown + size > MOST_FINDINGS:
                break
            rows.append(row)
            shown += size
        if not rows:
            break
        found = [row.finding for row in rows]
        own = () if cause.status is Status.NOT_YET_DUE else values.differing(found)
        known = remedy.names(cause.rows[0].finding) if len(cause.rows) == 1 else {}
        fix = cause.rule.remediation
        portal, az = remedy.path(fix.get("portal", ""), known), remedy.command(fix.get("az", ""), known)
        told = [(row, _details(report, cause, row, own)) for row in rows]
        shared = _shared([parts for _, parts in told])
        told_in = first.setdefault(cause.rule.id, cause.serial)
        lines = _lines(report, told, shared)
        blocks.append(
            Block(
                cause,
                lines,
                len(rows),
                shared,
                told_in == cause.serial,
                told_in,
                values.pairs(found, texts),
                values.common(found, texts),
                _ended((it for row in rows for it in (row.finding, *row.also)), texts),
                portal,
                az,
                len(lines),
            )
        )
    return blocks, shown


def _ended(rows: Iterable[Finding], texts: wording.Texts) -> tuple[str, ...]:
    serials: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row.waiver and row.waiver.get("expired"):
            serials.setdefault(wording.ends_on(row.waiver), []).append(row.serial)
    return tuple(
        f"{texts('rows.ended', id=waiver, when=when)} ({', '.join(of)})" for (waiver, when), of in serials.items()
    )


MOST_NAMES = 24
"""Resources in one line."""


def _shared(told: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Give what all rows say, where there are several."""
    return tuple(part for part in told[0] if all(part in parts for parts in told)) if len(told) > 1 else ()


def _lines(report: Report, told: Sequence[tuple[Affected, Sequence[str]]], shared: Sequence[str]) -> tuple[Line, ...]:
    """Put rows together that say the same; numbers and names of a line stand in the same order."""
    alike: dict[str, list[list[Finding]]] = {}
    for row, parts in told:
        groups = alike.setdefault("; ".join(part for part in parts if part not in shared), [[]])
        if len(groups[-1]) == MOST_NAMES:
            groups.append([])
        groups[-1].append(row.finding)
    return tuple(
        Line(
            causes.spans([it.serial for it in group], report.texts),
            ", ".join(_name(report, it) for it in group),
            "; ".join(part for part in (details, _ripens(group, report.texts)) if part) or wording.DASH,
        )
        for details, groups in alike.items()
        for group in groups
    )


def _ripens(rows: Sequence[Finding], texts: wording.Texts) -> str:
    """Say from when on rows that wait can be judged, the first and the last of them."""
    moments = sorted(str(it.evidence["matures_at"]) for it in rows if it.evidence.get("matures_at"))
    if not moments:
        return ""
    first, last = (wording.moment(datetime.fromisoformat(it)) for it in (moments[0], moments[-1]))
    return texts("rows.ripens", first=first) if first == last else texts("rows.ripen", first=first, last=last)


def _name(report: Report, finding: Finding) -> str:
    name = page.tail(finding.resource_name, 120)
    number = report.numbers.get(finding.resource_id)
    return f"{name} ({number})" if number else name


def _details(report: Report, cause: Cause, row: Affected, names: Sequence[str]) -> list[str]:
    """Say what a row adds to its block: its own figures, where it is, whose it is, its waiver, what it explains."""
    texts = report.texts
    it = row.finding
    said = [] if cause.reason else [it.reason]
    if figures := values.own(it, names, texts):
        said.append(figures)
    if not (it.status is Status.NOT_YET_DUE and it.resource_id in report.numbers):  # appendix A has it by its number
        place = report.subscription_labels[it.subscription_id] if it.subscription_id else ""
        said.append(", ".join(part for part in (it.resource_group, place) if part) or texts("words.tenant"))
        said.append(it.owner or texts("words.no_owner"))
    if it.due:
        said.append(texts("rows.due", when=it.due))
    said.append(
        texts("rows.new") if it.first_seen >= report.run.as_of else texts("rows.since", when=it.first_seen.date())
    )
    if it.waiver and it.waiver.get("expired"):
        waiver, when = wording.ends_on(it.waiver)
        said.append(texts("rows.waiver_ended", id=waiver, when=when))
    elif it.waiver:
        said.append(texts("rows.waiver", **_chosen(it.waiver, "id", "approver", "expires_on")))
    if it.response:
        said.append(texts("rows.response", **_chosen(it.response, "action", "owner", "due")))
    if row.also:
        said.append(texts("rows.also", children=", ".join(f"{child.serial} {child.rule}" for child in row.also)))
    return said


def _chosen(record: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: record.get(name, wording.DASH) for name in names}


def _place(report: Report, machine: Machine) -> str:
    texts, label = report.texts, report.subscription_labels[machine.subscription_id]
    where = ", ".join(part for part in (machine.resource_group, label) if part)
    return "; ".join((where, machine.owner or texts("words.no_owner")))


def _qr(report: Report) -> Markup:
    code = segno.make(f"{report.run.id} sha256:{report.run.manifest_digest}", error="m", micro=False)
    matrix = [list(row) for row in code.matrix_iter(border=2)]
    path = "".join(f"M{x} {y}h1v1h-1z" for y, row in enumerate(matrix) for x, dark in enumerate(row) if dark)
    size = len(matrix)
    return Markup(
        '<svg class="qr" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {0}" width="26mm" height="26mm"'
        ' role="img">'
        "<title>{2}</title>"
        '<rect width="{0}" height="{0}" fill="#ffffff"/><path d="{1}" fill="#16181b"/></svg>'
    ).format(size, Markup(path), report.texts("words.qr"))  # noqa: S704
