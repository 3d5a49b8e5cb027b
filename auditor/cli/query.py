"""`auditor query`: SQL over a bundle's tables."""

from __future__ import annotations

import json
import re
import shutil
import sys
from typing import TYPE_CHECKING, Any

import click

from auditor.cli import options as opt
from auditor.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from auditor.inventory.catalogue import Description

_FORMS = ("table", "json", "markdown", "csv")
_ROWS_OF_A_TABLE = 1000
_EXAMPLE = 'write such as: auditor query "SELECT resource_name, state FROM vm JOIN protection ON vm_no = resource_no"'


@click.command("query")
@click.argument("words", metavar="[BUNDLE] SQL", nargs=-1)
@click.option("--tables", is_flag=True, help="List the tables with their columns.")
@click.option("--table", metavar="NAME", help="Describe one table.")
@opt.config
@opt.store
@opt.option("--limit", type=click.IntRange(min=1), metavar="N", help="Most rows.  [default: 1000 in a table, else all]")
@opt.option(
    "--timeout",
    type=click.IntRange(1, 86_400),
    metavar="SECONDS",
    default=60,
    show_default=True,
    help="How long it may take.",
)
@click.option(
    "-f",
    "--format",
    "form",
    type=click.Choice(_FORMS),
    default="table",
    show_default=True,
    help="Form of the rows on stdout.",
)
def command(words: tuple[str, ...], *, tables: bool, table: str | None, **options: Any) -> int:
    """Read the tables of BUNDLE (a folder, a run name, or `latest`, the default) with one SELECT.

    \b
    auditor query "SELECT rule, status, count(*) FROM finding GROUP BY ALL ORDER BY ALL"
    auditor query 2026-11-22T060000Z -f csv - < question.sql

    SQL is DuckDB's; `-` reads it from stdin. Tables have the names that rules use, and `raw.` before it gives them as
    they were read. A query can neither change nor read anything else, and is stopped when it takes too much.
    """  # noqa: D301 - \b is click's mark for text that keeps its lines
    if tables or table is not None:
        _describe(words, table, options["form"])
        return ExitCode.OK
    reference, sql = _question(words)
    _ask(reference, sql, options)
    return ExitCode.OK


def _question(words: tuple[str, ...]) -> tuple[str, str]:
    """Read the words: a bundle, perhaps, and SQL."""
    if not words:
        raise UsageError("no SQL is given", _EXAMPLE)
    if len(words) > 2:  # noqa: PLR2004 - bundle and SQL
        raise UsageError(f"{len(words)} words are given, BUNDLE and SQL are two", "put the SQL into quotes")
    reference, sql = ("latest", words[0]) if len(words) == 1 else words
    if sql == "-":
        try:
            sql = sys.stdin.buffer.read().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise UsageError("stdin: is not UTF-8 text", "save the SQL as UTF-8") from error
    elif len(words) == 1 and len(sql.split()) == 1:
        raise UsageError(f"{sql!r} is no SQL", _EXAMPLE)
    if not sql.strip():
        raise UsageError("the SQL is empty", _EXAMPLE)
    if not sql.isprintable() and re.search("[\x00\ud800-\udfff]", sql):
        raise UsageError("the SQL is not UTF-8 text", "write it as UTF-8")
    return reference, sql


def _ask(reference: str, sql: str, options: dict[str, Any]) -> None:
    from auditor import bundle as bundles  # noqa: PLC0415 - see auditor.cli: commands import when they run
    from auditor.cli import rows  # noqa: PLC0415
    from auditor.engine.query import Query  # noqa: PLC0415

    kind: str = options["form"]
    store: Path = options["store"]
    limit: int | None = options["limit"] or (_ROWS_OF_A_TABLE if kind == "table" else None)
    with Query(sql, seconds=options["timeout"]) as query:
        answer = query.of(bundles.find(reference, store), as_json=kind == "json", limit=limit)
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        form = rows.form(kind, answer.names, answer.numeric, width)
        for batch in answer.rows:
            text = form.rows(batch)
            with query.idle():
                _write(text)
        _write(form.end())
    if answer.cut:
        click.echo(f"cut after {limit} rows; --limit lets more through", err=True)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _describe(words: tuple[str, ...], name: str | None, form: str) -> None:
    """Tell the tables, or one of them."""
    from auditor.document import did_you_mean  # noqa: PLC0415
    from auditor.engine.query import offered  # noqa: PLC0415

    if words:
        raise UsageError("--tables and --table only describe, they take no BUNDLE and no SQL", "leave one out")
    known = offered()
    if name is not None and name.lower() not in known:
        raise UsageError(f"there is no table {name!r}", did_you_mean(name, known))
    chosen = known if name is None else {name.lower(): known[name.lower()]}
    if form == "json":
        told = [
            {"table": table, "about": about.words, "columns": {c.name: c.doc for c in about.columns}}
            for table, about in chosen.items()
        ]
        _write(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    elif form == "table":
        _write("\n".join(_told(chosen.items())))
    else:
        from auditor.cli import rows  # noqa: PLC0415

        lines = [(table, c.name, c.doc) for table, about in chosen.items() for c in about.columns]
        made = rows.form(form, ("table", "column", "meaning"), (False, False, False), None)
        _write(made.rows(lines) + made.end())


def _told(chosen: Iterable[tuple[str, Description]]) -> Iterable[str]:
    for table, about in chosen:
        yield f"{table}: {about.words}"
        width = max(len(column.name) for column in about.columns)
        yield from (f"  {column.name.ljust(width)}  {column.doc}" for column in about.columns)
        yield ""
