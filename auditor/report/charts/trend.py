"""The chart of the last runs: fails and unknown verdicts over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditor.model import Status
from auditor.report import wording
from auditor.report.charts import Line, Trend

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditor.model import PastRun
    from auditor.report.wording import Texts

MOST_RUNS = 26
"""Half a year of weekly runs."""

_COLUMNS = ("fail", "unknown", "failing", "judged", "note")
_SHOWN = (Status.FAIL, Status.UNKNOWN)


def runs(register: Sequence[PastRun], texts: Texts) -> Trend:
    """Chart the last runs, this one last; a run of another scope or standard stands apart."""
    last = register[-MOST_RUNS:]
    apart = tuple(_apart(run, last[-1], texts) for run in last)
    return Trend(
        key="runs",
        takeaway=_takeaway(last, apart, texts),
        description=texts("charts.runs.description"),
        head=texts("charts.runs.head"),
        moments=tuple(run.as_of for run in last),
        lines=tuple(
            Line(status, texts(f"status.{status}"), tuple(run.statuses.get(status, 0) for run in last))
            for status in _SHOWN
        ),
        apart=apart,
        columns=tuple(
            texts(f"charts.runs.columns.{name}") for name in ("fail", "unknown", "failing", "judged", "note")
        ),
        rows=tuple(
            (
                wording.moment(run.as_of),
                *(texts.numerals.number(run.statuses.get(status, 0)) for status in _SHOWN),
                texts.numerals.number(run.failing),
                texts.numerals.number(run.judged),
                "; ".join(note for note in (why, "" if run.complete else texts("charts.runs.incomplete")) if note)
                or wording.DASH,
            )
            for run, why in zip(last, apart, strict=True)
        ),
        numerals=texts.numerals,
    )


def _apart(run: PastRun, now: PastRun, texts: Texts) -> str:
    if run.scope != now.scope:
        return texts("charts.runs.other_scope")
    if run.standard != now.standard:
        return texts("charts.runs.other_standard", standard=run.standard)
    # A standard that was edited may keep its name and version.
    edited = len({run.standard_digest, now.standard_digest} - {""}) > 1
    return texts("charts.runs.edited_standard", standard=run.standard) if edited else ""


def _takeaway(last: Sequence[PastRun], apart: Sequence[str], texts: Texts) -> str:
    if len(last) < 2:  # noqa: PLR2004 - one point is no line
        return texts("charts.runs.first")
    earlier = [run for run, why in zip(last, apart, strict=True) if not why][:-1]
    if not earlier:
        return texts("charts.runs.alone", n=len(last) - 1)
    now, before = last[-1].statuses, earlier[-1].statuses
    return texts(
        "charts.runs.change",
        n=now.get(Status.FAIL, 0),
        unknown=now.get(Status.UNKNOWN, 0),
        before=before.get(Status.FAIL, 0),
        earlier=before.get(Status.UNKNOWN, 0),
        when=wording.moment(earlier[-1].as_of),
    )
