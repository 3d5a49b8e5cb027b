"""report.md: the report as a pull request or the summary page of a job shows it, cut to what GitHub takes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from auditor.model import Status
from auditor.report import causes as by_cause
from auditor.report import remedy, wording

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from auditor.report.causes import Affected, Cause
    from auditor.report.view import Report
    from auditor.report.wording import Texts

DEFAULT_NAME = "report.md"
MEDIA_TYPE = "text/markdown"

MOST_BYTES = 900_000
"""A summary page takes 1 MiB; the rest is left for what other steps write."""
MOST_ROWS = 20
"""Resources told of a cause."""
MOST_LINES = 50
"""Lines of any other list."""
MOST_CHARACTERS = 600
"""Of one text."""

_HARMLESS = re.compile(r"(?!_)[\w.,;:!?%()/+\-=\"'\u00b7\u2010-\u2026\u20ac\u25a0-\u25ff]*(?<!_)")
_OBEYED = re.compile(r"__|://|www\.|:\w+:|GH-\d", re.IGNORECASE)
_TICKS = re.compile("`+")
_PIPES = re.compile(r"(\\*)\|")


def render(report: Report) -> bytes:
    """Write the report."""
    return text(report).encode("utf-8")


def text(report: Report, most_bytes: int = MOST_BYTES) -> str:
    """Tell the result, what to do first, the findings by cause, and what they rest on, in so many bytes at most."""
    texts = report.texts
    before = "\n".join((*_result(report, texts), *_first(report, texts)))
    sections = (_rules, _completeness, _waivers, _idle, _digests)
    behind = "\n".join(line for section in sections for line in section(report, texts))
    room = most_bytes - sum(len(part.encode()) for part in (before, behind))
    return "\n".join((before, *_findings(report, texts, room), behind, ""))


def _result(report: Report, texts: Texts) -> Iterator[str]:
    run = report.run
    yield f"# {prose(texts('title'))} {prose(texts('as_at', when=wording.moment(run.as_of)))}\n"
    if about := [prose(it) for it in (run.organisation, run.classification) if it]:
        yield " · ".join(about) + "\n"
    yield f"**{prose(texts(f'banner.{report.state}'))}** {prose(report.evidence)}\n"
    yield f"{prose(report.result)} {prose(report.headline)}\n"
    for line in (report.untested_line, *report.changes):
        if line:
            yield f"{prose(line)}\n"
    for reason in report.gate_reasons[:MOST_LINES]:
        yield f"- {prose(reason)}"
    yield ""
    yield from _table(
        (texts.label("What"), texts.label("Numbers"), texts.label("Total"), ""),
        (
            (it.label, texts.numerals.number(it.count), f"{texts.numerals.number(it.of)} {it.unit}", it.share)
            for it in report.figures
        ),
        numeric=(1,),
    )


def _first(report: Report, texts: Texts) -> Iterator[str]:
    yield f"## {prose(texts.label('Do first'))}\n"
    if not report.actions:
        yield prose(texts.label("No verdict is a fail and nothing is unread: there is nothing to do first.")) + "\n"
    for number, it in enumerate(report.actions, start=1):
        title = f"{it.title} ({texts(f'severity.{it.severity}')})" if it.severity else it.title
        behind = [it.detail, it.who, texts("rows.due", when=it.due) if it.due else None, it.serial]
        yield f"{number}. **{prose(title)}**: {prose('; '.join(filter(None, behind)))}"
    yield ""


def _findings(report: Report, texts: Texts, room: int) -> Iterator[str]:
    yield f"## {prose(texts.label('Findings'))}\n"
    shown = told = 0
    left = room - _RESERVED
    for cause in report.causes:
        block = "\n".join(_cause(cause, report, texts))
        left -= len(block.encode()) + 1
        if left < 0:
            break
        yield block
        shown += 1
        told += sum(1 + len(row.also) for row in cause.rows[:MOST_ROWS])
    if not report.causes:
        yield prose(texts.label("There are no findings.")) + "\n"
    elif told < report.told:
        yield prose(texts("markdown.shown", n=told, of=report.told)) + "\n"
    if cut := report.causes[shown:]:
        yield f"**{prose(texts('markdown.cut', n=len(cut), findings=sum(it.size for it in cut)))}**\n"


_RESERVED = 2_000
"""Bytes for the head of the findings and for saying what was cut."""


def _cause(cause: Cause, report: Report, texts: Texts) -> Iterator[str]:
    kind = by_cause.kind(cause.rule.resource_type, len(cause.rows), texts)
    size = f"{texts.numerals.number(len(cause.rows))} {kind}"
    graded = f"{wording.MARKS[cause.status]} {texts(f'status.{cause.status}')}, {texts(f'severity.{cause.severity}')}"
    yield f"### {graded}: {prose(cause.rule.title)} ({prose(size)})\n"
    yield f"{code(cause.rule.id)}{': ' + prose(cause.reason) if cause.reason else ''}\n"
    heads = (texts.label("No."), texts.label("Resource"), texts.label("Found"), texts.label("Where, owner, due"))
    yield from _table(heads, (_row(row, cause, report, texts) for row in cause.rows[:MOST_ROWS]), names=(1,))
    if len(cause.rows) > MOST_ROWS:
        yield prose(texts("words.and_more", n=len(cause.rows) - MOST_ROWS)) + "\n"
    known = remedy.names(cause.rows[0].finding) if len(cause.rows) == 1 else {}
    if cause.status is Status.FAIL and (fix := remedy.command(cause.rule.remediation.get("az", ""), known)):
        yield f"{prose(texts.label('Do'))}: {'; '.join(map(code, fix.splitlines()))}\n"


def _row(row: Affected, cause: Cause, report: Report, texts: Texts) -> tuple[str, ...]:
    it = row.finding
    found = [] if cause.reason else [it.reason]
    if row.also:
        found.append(texts("rows.also", children=", ".join(f"{child.serial} {child.rule}" for child in row.also)))
    place = report.subscription_labels.get(it.subscription_id, "")
    where = [it.resource_group, place, it.owner or texts("words.no_owner")]
    if it.due:
        where.append(texts("rows.due", when=it.due))
    if it.waiver and it.status is Status.WAIVED:
        waiver, when = wording.ends_on(it.waiver)
        where.append(texts("rows.waiver_until", id=waiver, when=when))
    return it.serial, it.resource_name, "; ".join(found), "; ".join(filter(None, where))


def _rules(report: Report, texts: Texts) -> Iterator[str]:
    yield f"## {prose(texts('sections.rules'))}\n"
    heads = (texts.label("Rule"), *(f"{mark} {texts(f'status.{status}')}" for status, mark in wording.MARKS.items()))
    rows = (
        (
            rule.id,
            *(
                texts.numerals.number(count) if (count := rule.statuses.get(status, 0)) else "·"
                for status in wording.MARKS
            ),
        )
        for rule in report.rules
    )
    yield from _table(heads, rows, numeric=range(1, len(heads)))


def _completeness(report: Report, texts: Texts) -> Iterator[str]:
    whole = report.completeness
    yield f"## {prose(texts('sections.completeness'))}\n"
    names = ("Table", "Scopes", "Read whole", "Rows expected", "Received", "Difference")
    rows = (
        (it.table, *(_count(n, texts) for n in (it.places, it.whole, it.expected, it.received, it.difference)))
        for it in whole.tables
    )
    yield from _table([texts.label(name) for name in names], rows, numeric=range(1, len(names)))
    yield f"{prose(texts.label('What was not read'))}:\n"
    if not report.unread:
        yield prose(texts.label("Nothing: every scope of every table was read.")) + "\n"
    for line in report.unread[:MOST_LINES]:
        yield f"- {prose(line)}"
    if len(report.unread) > MOST_LINES:
        yield f"- {prose(texts('words.and_more', n=len(report.unread) - MOST_LINES))}"
    yield ""


def _count(value: int | None, texts: Texts) -> str:
    return wording.DASH if value is None else texts.numerals.number(value)


def _waivers(report: Report, texts: Texts) -> Iterator[str]:
    if not report.waivers:
        return
    yield f"## {prose(texts.label('Waivers'))}\n"
    heads = [texts.label(name) for name in ("Waiver", "Rule", "State", "Numbers", "Approved")]
    rows = (
        (
            it.id,
            it.rule,
            texts.label("{state}, until {when}", state=texts(f"waiver_state.{it.state}"), when=it.expires_on),
            texts.label("covers {n}", n=it.matched),
            texts.label("approved by {who} on {when}", who=it.approver, when=it.approved_on),
        )
        for it in report.waivers[:MOST_LINES]
    )
    yield from _table(heads, rows)
    if len(report.waivers) > MOST_LINES:
        yield prose(texts("words.and_more", n=len(report.waivers) - MOST_LINES)) + "\n"


def _idle(report: Report, texts: Texts) -> Iterator[str]:
    if not report.idle_responses:
        return
    yield f"## {prose(texts.label('Responses that match no finding'))}\n"
    heads = [texts.label(name) for name in ("Response to", "Agreed action", "Owner", "Due", "Author")]
    rows = ((it.about, it.action, it.owner, str(it.due), it.author) for it in report.idle_responses[:MOST_LINES])
    yield from _table(heads, rows)
    if len(report.idle_responses) > MOST_LINES:
        yield prose(texts("words.and_more", n=len(report.idle_responses) - MOST_LINES)) + "\n"


def _digests(report: Report, texts: Texts) -> Iterator[str]:
    run = report.run
    yield f"## {prose(texts.label('Digests to expect'))}\n"
    yield from _table(
        (texts.label("What"), "SHA-256"),
        (
            (f"{texts.label('Manifest')}, {texts.label('Run')} {run.id}", run.manifest_digest),
            (f"{texts.label('Standard')} {run.standard.name} {run.standard.version}", run.standard.digest),
            (texts.label("Rule set"), run.rules_digest),
        ),
        names=(1,),
    )
    yield f"{prose(texts('no_opinion'))}\n"


def _table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], *, numeric: Sequence[int] = (), names: Sequence[int] = ()
) -> Iterator[str]:
    """Write a table; `numeric` columns stand at the right, cells of `names` in a code span whatever they are."""
    yield _line(map(prose, heads))
    yield _line("---:" if place in numeric else "---" for place in range(len(heads)))
    for row in rows:
        yield _line((code if place in names else prose)(cell) for place, cell in enumerate(row))
    yield ""


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(_PIPES.sub(_piped, cell) for cell in cells) + " |"


def _piped(found: re.Match[str]) -> str:
    # A bar behind a backslash can't be escaped inside a code span: GitHub would take the two backslashes for a pair.
    return f"{found[1]}[U+007C]" if found[1] else r"\|"


def prose(said: str) -> str:
    """Write a sentence: what GitHub would obey (HTML, links, mentions, marks) stands in code spans, which are inert."""
    made: list[str] = []
    odd: list[str] = []
    for word in _shortened(said).split():
        if _HARMLESS.fullmatch(word) and not _OBEYED.search(word):
            made += [code(" ".join(odd)), word] if odd else [word]
            odd = []
        elif word[-1] in ",;":
            made.append(code(" ".join((*odd, word[:-1]))) + word[-1])
            odd = []
        else:
            odd.append(word)
    return " ".join([*made, code(" ".join(odd))] if odd else made)


def code(said: str) -> str:
    """Write a text as a code span."""
    shown = " ".join(_shortened(said).split())
    if not shown:
        return ""
    fence = "`" * (max((len(ticks) for ticks in _TICKS.findall(shown)), default=0) + 1)
    pad = " " if "`" in (shown[0], shown[-1]) else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def _shortened(said: str) -> str:
    shown = wording.visible(said[: MOST_CHARACTERS + 1])
    return shown if len(shown) <= MOST_CHARACTERS else f"{shown[: MOST_CHARACTERS - 1]}…"
