"""The one Jinja environment: autoescape on, undefined names are errors, characters nobody can see are shown."""

from __future__ import annotations

import functools
import re
import traceback
from pathlib import Path, PurePath
from types import ModuleType
from typing import TYPE_CHECKING, Any

import jinja2
from jinja2.sandbox import SandboxedEnvironment
from markupsafe import Markup

from auditor.errors import AuditorError, UsageError
from auditor.report import causes, drawing, values, wording
from auditor.report.templates import Templates

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditor.report.view import Report


def filler(report: Report, drawable: frozenset[int] | None = None) -> Callable[..., str]:
    """Give what fills a template, by its name, with a report and further values; see `environment`.

    It raises UsageError where a template of the user's own can't be filled.
    """
    made = environment(report, drawable)

    def fill(name: str, **values: object) -> str:
        try:
            return made.get_template(name).render(report=report, **values)
        except AuditorError:
            raise
        except Exception as error:  # a template of the user's own can do anything wrong
            own = report.how.templates.own
            frames = traceback.extract_tb(error.__traceback__)
            where = [it for it in frames if own is not None and Path(it.filename).is_relative_to(own)]
            if not where:
                raise
            told = f"{error}" if isinstance(error, jinja2.TemplateError) else f"{type(error).__name__}: {error}"
            said = f"{where[-1].filename}:{where[-1].lineno}: cannot be filled: {told}"
            raise UsageError(said, "correct it, or take it away") from error

    return fill


class _Sandbox(SandboxedEnvironment):
    """Where templates of the user's run: they see what the report says, and reach no file and no module through it."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Refuse, beside what Jinja does, all by whose methods files are read or written."""
        if isinstance(value, (ModuleType, PurePath, Templates, type)):
            return False
        return super().is_safe_attribute(obj, attr, value)


def environment(report: Report, drawable: frozenset[int] | None = None) -> jinja2.Environment:
    """Make a report's environment; with `drawable`, characters outside it are replaced by their code point."""
    texts, templates = report.texts, report.how.templates
    # A folder of templates may come with a change that nobody has approved yet: it fills in texts and runs no code.
    kind = jinja2.Environment if templates.own is None else _Sandbox
    made = kind(
        loader=jinja2.FileSystemLoader(templates.folders),
        autoescape=jinja2.select_autoescape(("html",), default_for_string=True),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize(drawable),
    )
    made.filters.update(
        n=texts.numerals.number,
        moment=wording.moment,
        instant=wording.instant,
        age=texts.numerals.age,
        keep=texts.numerals.keep,
        plain=wording.plain,
        share=texts.numerals.share,
        money=texts.numerals.money,
        tail=tail,
        fit=drawing.fit,
        narrow=narrow,
    )
    made.globals.update(
        t=texts,
        _=texts.label,
        read_value=functools.partial(wording.read_value, texts=texts),
        parameter=functools.partial(values.parameter, texts=texts),
        draw=drawing,
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


def _finalize(drawable: frozenset[int] | None) -> Callable[[Any], Any]:
    remember = functools.lru_cache(maxsize=50_000)(functools.partial(wording.visible, drawable=drawable))

    def finalize(value: Any) -> Any:
        return remember(str(value)) if isinstance(value, str) and not isinstance(value, Markup) else value

    return finalize
