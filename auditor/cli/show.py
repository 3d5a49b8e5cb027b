"""What the terminal shows: progress on stderr, the result on stdout."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import click

from auditor.cli.terminal import printable, reader_left
from auditor.errors import ExitCode
from auditor.model import Severity, Status
from auditor.report.wording import MARKS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from auditor.model import Results
    from auditor.report.view import Presentation

_ANNOTATIONS = 10
"""GitHub shows no more of a level per step."""


class Progress:
    """Tells the stages: bars on a terminal, one line a stage elsewhere, nothing where not wanted."""

    def __init__(self, *, wanted: bool, verbose: bool = False, color: bool = True) -> None:
        """Say whether to tell anything, whether every table and rule (in lines, not bars), and whether in colour."""
        self._wanted, self._verbose, self._color = wanted, verbose, color
        self._stage = ""
        self._told: set[tuple[str, str]] = set()
        self._bars: Any = None
        self._task: Any = None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """Read the options that speak of it."""
        wanted = not (options["quiet"] or options["no_progress"])
        return cls(wanted=wanted, verbose=options["verbose"], color=not options["no_color"])

    def __enter__(self) -> Self:
        """Begin."""
        if self._wanted and not self._verbose and sys.stderr.isatty():
            from rich import console, progress  # noqa: PLC0415 - rich costs 0.1 s that a pipe need not pay

            self._bars = progress.Progress(
                progress.TextColumn("{task.description}"),
                progress.BarColumn(),
                progress.TextColumn("{task.fields[detail]}"),
                progress.TimeElapsedColumn(),
                progress.TimeRemainingColumn(),
                console=console.Console(stderr=True, no_color=None if self._color else True),
                transient=True,
            )
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        if self._bars is not None:
            self._bars.stop()

    def tell(self, stage: str, detail: str) -> None:
        """Take news; `detail` may end in `done/total`, and is a sentence where the stage is `note`."""
        if not self._wanted:
            return
        if stage == "note":
            said = printable(detail)
            if self._bars is None:
                click.echo(said, err=True)
            else:
                self._bars.console.print(said, markup=False, highlight=False)
            return
        if self._bars is None:
            word = detail.partition(" ")[0] if self._verbose else ""
            if (stage, word) not in self._told:
                click.echo(printable(f"{stage} {word}".strip() + " …"), err=True)
            self._told.add((stage, word))
            return
        if stage != self._stage:
            self._stage = stage
            self._task = self._bars.add_task(stage, total=None, detail="")
        done, _, total = detail.rpartition(" ")[2].partition("/")
        if total.isdigit() and done.isdigit():
            self._bars.update(self._task, completed=int(done), total=int(total), detail=detail)
        else:
            self._bars.update(self._task, detail=detail)


def result(
    results: Results,
    made: Mapping[str, Path],
    folder: Path,
    form: str,
    exit_code: int,
    *,
    how: Presentation | None = None,
) -> None:
    """Print a run's outcome in the form asked for; of these the Markdown speaks the language of the reports.

    Persons bear the reports' pseudonyms: logs of a CI server are read by more people than reports are.
    """
    if how is not None and how.redact_key is not None:
        from auditor.report import redact  # noqa: PLC0415 - see auditor.cli: commands import when they run

        results = redact.redacted(results, how.redact_key)
    if form == "json":
        text = json.dumps(_plain(results, made, folder, exit_code), indent=1, ensure_ascii=False)
    elif form == "markdown":
        text = _markdown(results, made, folder, how)
    elif form == "github":
        summary = os.environ.get("GITHUB_STEP_SUMMARY")
        if summary:
            _append(Path(summary), _markdown(results, made, folder, how))
        head = _table(results, made, folder, exit_code) if summary else _markdown(results, made, folder, how)
        text = "\n".join([head, *_annotations(results)])
    else:
        text = _table(results, made, folder, exit_code)
    try:
        click.echo(printable(text))
        sys.stdout.flush()
    except BrokenPipeError:
        reader_left()


def _append(summary: Path, text: str) -> None:
    """Add to the page that GitHub shows for a step; it takes 1 MiB, which the format stays below."""
    try:
        with summary.open("a", encoding="utf-8") as file:
            file.write(f"{text}\n")
    except OSError as error:
        click.echo(f"GITHUB_STEP_SUMMARY {summary}: cannot be written: {error.strerror}", err=True)


def _plain(results: Results, made: Mapping[str, Path], folder: Path, exit_code: int) -> dict[str, Any]:
    gate = results.gate
    return {
        "run": results.run.id,
        "bundle": str(folder),
        "complete": results.run.complete,
        "exit_code": exit_code,
        "gate": {
            "exit_code": gate.exit_code,
            "threshold": gate.threshold,
            "reasons": [{"code": r.code, "count": r.count, "detail": r.detail} for r in gate.reasons],
        },
        "idle_responses": [it.about for it in results.idle_responses],
        "rules": {rule.id: {s.value: rule.statuses[s] for s in Status} for rule in results.rules},
        "reports": {kind: str(path) for kind, path in made.items()},
    }


def _counts(results: Results) -> list[tuple[str, ...]]:
    return [(rule.id, *(str(rule.statuses[s]) if rule.statuses[s] else "·" for s in MARKS)) for rule in results.rules]


def _table(results: Results, made: Mapping[str, Path], folder: Path, exit_code: int) -> str:
    heads = ("rule", *(f"{mark} {status.value.replace('_', ' ')}" for status, mark in MARKS.items()))
    rows = _counts(results)
    widths = [max(len(row[n]) for row in [heads, *rows]) for n in range(len(heads))]
    lines = []
    for row in [heads, *rows]:
        first, *rest = (
            cell.ljust(w) if n == 0 else cell.rjust(w) for n, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join([first, *rest]))
    lines += ["", f"evidence  {'complete' if results.run.complete else 'INCOMPLETE'}"]
    lines += [f"gate      {reason.detail}" for reason in results.gate.reasons]
    lines += [f"response  matches no finding: {it.about}" for it in results.idle_responses]
    lines.append(f"bundle    {folder}")
    lines += [f"{kind:<9} {path}" for kind, path in made.items()]
    outcome = ExitCode(results.gate.exit_code).name.lower()
    lines.append(f"exit      {exit_code} ({outcome})" + _forgiven(results, exit_code))
    return "\n".join(lines)


def _forgiven(results: Results, exit_code: int) -> str:
    return f"; {results.gate.exit_code} without --exit-zero" if exit_code != results.gate.exit_code else ""


def _markdown(results: Results, made: Mapping[str, Path], folder: Path, how: Presentation | None) -> str:
    from auditor.report import view  # noqa: PLC0415 - a table needs no view
    from auditor.report.formats import markdown  # noqa: PLC0415

    places = ", ".join(
        [f"bundle {markdown.code(str(folder))}", *(f"{kind} {markdown.code(str(path))}" for kind, path in made.items())]
    )
    return f"{markdown.text(view.build(results, how or view.PLAIN))}\n{places}"


def _annotations(results: Results) -> list[str]:
    levels = {"error": (Severity.CRITICAL, Severity.HIGH), "warning": (Severity.MEDIUM,), "notice": (Severity.LOW,)}
    lines = []
    for level, severities in levels.items():
        found = [f for f in results.findings if f.status is Status.FAIL and f.severity in severities]
        for number, finding in enumerate(found[:_ANNOTATIONS], start=1):
            said = f"{finding.resource_name}: {finding.reason}"
            if number == _ANNOTATIONS and len(found) > number:
                said += f" (and {len(found) - number} more)"
            for mark, code in (("%", "%25"), ("\r", "%0D"), ("\n", "%0A")):
                said = said.replace(mark, code)
            lines.append(f"::{level} title={finding.rule}::{said}")
    return lines
