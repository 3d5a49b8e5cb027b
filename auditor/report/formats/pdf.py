"""report.pdf: the document for auditors, PDF/A-3a and PDF/UA-1, with the record attached."""

from __future__ import annotations

import contextlib
import functools
import gc
import hashlib
import importlib
import io
import os
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import segno
from markupsafe import Markup

from auditor.errors import UsageError
from auditor.model import Status
from auditor.report import causes, page, pango, population, remedy, tables, values, wording
from auditor.report.formats import json as record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from auditor.model import Finding, Machine
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
_LETTERED = ("population", "method")
_ORDER = ("summary", "contents", *_NUMBERED[1:], *_LETTERED, "signoff", "verify")

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

    @property
    def crowded(self) -> bool:
        """True where names need more room than details."""
        return max(len(row.names) for row in self.rows) > max(len(row.details) for row in self.rows)


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


def render(report: Report) -> bytes:
    """Lay the report out and enclose the record; the dates inside are the run's."""
    check()
    weasyprint: Any = importlib.import_module("weasyprint")
    enclosed = (
        Enclosed("findings.json", "every finding of this run: the record", "Source", record.render(report)),
        Enclosed("population.csv", "every VM of the population", "Data", tables.to_csv(tables.population(report))),
    )
    when = report.run.finished_at
    attachments = [
        weasyprint.Attachment(
            file_obj=io.BytesIO(it.content),
            name=it.name,
            description=it.description,
            created=when,
            modified=when,
            relationship=it.relationship,
        )
        for it in enclosed
    ]
    with _still(int(when.timestamp())):
        document = weasyprint.HTML(
            string=markup(report, enclosed),
            url_fetcher=_only_fonts(weasyprint, pictures=report.templates.own is not None),
        )
        made: bytes = document.write_pdf(pdf_variant="pdf/a-3a", attachments=attachments, finisher=_declare_pdf_ua)
    return made


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


def markup(report: Report, enclosed: Iterable[Enclosed] = ()) -> str:
    """Fill the template; apart from `render` so that a test can look at it."""
    from auditor.report import fonts  # noqa: PLC0415 - needs the font packages, which html and json do not

    texts = report.texts
    environment = page.environment(report)
    fallbacks = ", ".join(f'"{slug}"' for slug in fonts.fallbacks())
    body, table = f'"{fonts.BODY}", {fallbacks}', f'"{fonts.TABLE}", "{fonts.BODY}", {fallbacks}'
    css = environment.from_string(
        "{% autoescape false %}" + report.templates.source("pdf.css") + "{% endautoescape %}"
    ).render(faces=fonts.faces(), body=body, table=table)
    report = _of_framework(report)
    blocks, shown = _capped(report, texts)
    rule_no = {rule.id: f"R-{number:02d}" for number, rule in enumerate(report.rules, start=1)}
    return page.filled(
        report,
        "pdf.html",
        fonts.drawable(),
        css=Markup(css + report.templates.source("blocks/style.css")),  # noqa: S704 - with font paths
        state=report.state,
        expected=_expected(report),
        qr=_qr(report),
        sections=_sections(texts),
        blocks=blocks,
        shown=shown,
        main_tier=_main_tier(report),
        machines=report.machines[:MOST_MACHINES],
        limits={"rows": MOST_ROWS},
        place=functools.partial(_place, report),
        groups=population.groups(report),
        by_group=functools.partial(population.by_group, report),
        lists=population.lists(report),
        outside=population.outside(report),
        rule_no=rule_no,
        sealed=_sealed(report),
        numbered=lambda rules: causes.spans((rule_no[rule] for rule in rules), texts),
        spans=functools.partial(causes.spans, texts=texts),
        steps=[(row[0].format(run=report.run.id), row[1]) for row in texts.rows("verify.steps")],
        attachments=tuple(enclosed),
    )


def _of_framework(report: Report) -> Report:
    """Leave out the findings of rules that test no control of the framework that the report is for."""
    if report.framework is None:
        return report
    told = tuple(cause for cause in report.causes if cause.rule.id in report.framework.rules)
    return replace(report, causes=told, told=sum(cause.size for cause in told))


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


def _expected(report: Report) -> str | None:
    declared = report.run.scope.get("expect_subscriptions")
    if not declared and declared != 0:
        return None
    return wording.number(len(declared)) if isinstance(declared, (list, tuple)) else str(declared)


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
            if shown + size > MOST_FINDINGS:
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
        blocks.append(
            Block(
                cause,
                _lines(report, told, shared),
                len(rows),
                shared,
                told_in == cause.serial,
                told_in,
                values.pairs(found, texts),
                values.common(found, texts),
                _ended((it for row in rows for it in (row.finding, *row.also)), texts),
                portal,
                az,
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
    said.append(texts("rows.since", when=it.first_seen.date()))
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


def _only_fonts(weasyprint: Any, *, pictures: bool) -> Any:
    """Give a fetcher that reads files of the font packages and nothing else: names in a report load nothing.

    With `pictures`, those too that the user's templates hold as data.
    """
    from auditor.report import fonts  # noqa: PLC0415

    allowed = {face.url for face in fonts.faces()}

    class Fetcher(weasyprint.URLFetcher):  # type: ignore[misc]
        def fetch(self, url: str, headers: Any = None) -> Any:
            if url not in allowed and not (pictures and url.startswith("data:image/")):
                message = f"a report loads nothing: {url[:80]}"
                raise ValueError(message)
            return super().fetch(url, headers)

    return Fetcher()


def _declare_pdf_ua(_document: Any, pdf: Any) -> None:
    """Add PDF/UA-1 to the metadata: WeasyPrint takes one variant, and the file follows both."""
    for it in pdf.objects:
        if getattr(it, "extra", None) and it.extra.get("Type") == "/Metadata":
            it.stream = [
                part.replace(b"</rdf:RDF>", _PDF_UA.encode() + b"</rdf:RDF>", 1) if isinstance(part, bytes) else part
                for part in it.stream
            ]
