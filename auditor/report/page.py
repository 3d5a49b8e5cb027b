"""The one Jinja environment: autoescape on, undefined names are errors, characters nobody can see are shown."""

from __future__ import annotations

import functools
import re
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

from auditor.errors import UsageError
from auditor.report import causes, fonts, wording

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from auditor.report.charts import Chart, Part
    from auditor.report.view import Report


def filler(report: Report, drawable: frozenset[int] | None = None) -> Callable[..., str]:
    """Give what fills a template, by its name, with a report and further values; see `environment`.

    It raises UsageError where a template of the user's own can't be filled.
    """
    made = environment(report, drawable)

    def fill(name: str, **values: object) -> str:
        try:
            return made.get_template(name).render(report=report, **values)
        except jinja2.TemplateError as error:
            own = report.templates.own
            frames = traceback.extract_tb(error.__traceback__)
            where = [it for it in frames if own is not None and Path(it.filename).is_relative_to(own)]
            if not where:
                raise
            said = f"{where[-1].filename}:{where[-1].lineno}: cannot be filled: {error}"
            raise UsageError(said, "correct it, or take it away") from error

    return fill


def environment(report: Report, drawable: frozenset[int] | None = None) -> jinja2.Environment:
    """Make a report's environment; with `drawable`, characters outside it are replaced by their code point."""
    texts, templates = report.texts, report.templates
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates.folders),
        autoescape=jinja2.select_autoescape(("html",), default_for_string=True),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize(drawable),
    )
    made.filters.update(
        n=wording.number,
        moment=wording.moment,
        instant=wording.instant,
        age=wording.age,
        keep=wording.keep,
        plain=wording.plain,
        share=wording.share,
        tail=tail,
        narrow=narrow,
    )
    made.globals.update(
        t=texts,
        _=texts.label,
        read_value=functools.partial(wording.read_value, texts=texts),
        spread=spread,
        wide=wide,
        spoken=spoken,
        said_width=said_width,
        placed=placed,
        picture=templates.picture,
        kind=functools.partial(causes.kind, texts=texts),
    )
    return made


def tail(text: str, length: int) -> str:
    """Keep the end of a long text, which tells more than its beginning."""
    return text if len(text) <= length else "…" + text[-(length - 1) :]


def narrow(query: str) -> str:
    """Halve the indentation of a query, so that more of its lines fit a column."""
    return re.sub(r"^ +", lambda m: " " * (len(m[0]) // 2), query, flags=re.MULTILINE)


def wide(texts: Iterable[str], size: float) -> float:
    """Give the width of the widest of `texts` at a type size."""
    return max((fonts.width(text) for text in texts), default=0.0) * size


def spoken(chart: Chart, part: Part) -> str:
    """Write the label that stands beside a part of a bar."""
    return (
        wording.number(part.value)
        if part.key == "plain" or chart.key == "freshness"
        else f"{part.value:,} {part.label}"
    )


def said_width(chart: Chart, size: float) -> float:
    """Give the room that the labels of the fullest bar need."""
    rows = (
        sum(wide([spoken(chart, part)], size) + (9 if part.key == "plain" else 20) for part in bar.parts if part.value)
        for bar in chart.bars
    )
    return max(rows, default=0.0)


def placed(chart: Chart, width: float, size: float) -> list[tuple[Part, float, int]]:
    """Set the labels of a single bar side by side below it: part, x, line."""
    found: list[tuple[Part, float, int]] = []
    x, line = 0.0, 0
    for part in (part for part in chart.bars[0].parts if part.value):
        room = 11 + wide([spoken(chart, part)], size)
        if x and x + room > width:
            x, line = 0.0, line + 1
        found.append((part, x, line))
        x += room + 12
    return found


def spread(values: list[int], width: float) -> list[float]:
    """Give each value its length out of `width`, so that a small one can still be seen, and the sum fits."""
    total = sum(values)
    if total == 0:
        return [0.0 for _ in values]
    least = min(3.0, width / (4 * len(values)))
    lengths = [max(least, width * value / total) if value else 0.0 for value in values]
    over = sum(lengths) - width * (1 if total else 0)
    large = max(range(len(values)), key=lambda index: lengths[index])
    lengths[large] -= over
    return [round(length, 2) for length in lengths]


def _finalize(drawable: frozenset[int] | None) -> Callable[[Any], Any]:
    remember = functools.lru_cache(maxsize=50_000)(functools.partial(wording.visible, drawable=drawable))

    def finalize(value: Any) -> Any:
        return remember(str(value)) if isinstance(value, str) and not isinstance(value, Markup) else value

    return finalize
