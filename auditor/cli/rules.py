"""`auditor rules`: list, show and test the rules."""

from __future__ import annotations

import json
from typing import Any

import click

from auditor.cli import options as opt
from auditor.errors import ExitCode


@click.group("rules")
def command() -> None:
    """List, show and test the rules."""


@command.command("list")
@opt.config
@opt.inputs
@opt.output
def list_(**options: Any) -> int:
    """List the rules that would run."""
    from auditor import rulebook, standard  # noqa: PLC0415 - see auditor.cli: commands import when they run

    chosen = standard.read(options["standard"] or standard.default_path())
    book = rulebook.read(options["rules"], chosen.file.rules)
    rows = [(rule.id, book.severities[rule.id].value, rule.file.resource_type, rule.file.title) for rule in book.rules]
    if options["form"] == "json":
        names = ("id", "severity", "resource_type", "title")
        click.echo(json.dumps([dict(zip(names, row, strict=True)) for row in rows], indent=1, ensure_ascii=False))
        return ExitCode.OK
    widths = [max(len(row[n]) for row in rows) for n in range(3)]
    for row in rows:
        click.echo("  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[3]]))
    return ExitCode.OK


@command.command("show")
@click.argument("rule")
@opt.config
@opt.inputs
@opt.output
def show(rule: str, **options: Any) -> int:
    """Show RULE: what it demands, why, how, and what to do when it fails."""
    from auditor import rulebook, standard  # noqa: PLC0415

    chosen = standard.read(options["standard"] or standard.default_path())
    book = rulebook.read(options["rules"], chosen.file.rules)
    found = book.get(rule)
    file = found.file
    if options["form"] == "json":
        whole = file.model_dump(mode="json") | {"area": found.area, "params_as_set": dict(book.params[rule])}
        click.echo(json.dumps(whole, indent=1, ensure_ascii=False))
        return ExitCode.OK
    click.echo(
        f"{file.id}  {book.severities[rule].value}  about: {file.resource_type}  ({found.path})\n\n{file.title}\n"
    )
    click.echo(f"Why    {file.rationale}\n")
    for where, text in file.remediation.items():
        click.echo(f"{'Fix' if where == 'portal' else '':<6} {text}")
    for name, param in file.params.items():
        click.echo(f"\nParam  {name} = {book.params[rule][name]}: {param.doc}")
    for framework, ids in file.controls.items():
        click.echo(f"\nSupports {framework}: {', '.join(ids)}", nl=False)
    click.echo(f"\n\n{file.sql}")
    click.echo(f"{len(file.tests)} tests: " + "; ".join(test.name for test in file.tests))
    return ExitCode.OK


@command.command("test")
@click.argument("only", metavar="[RULE]...", nargs=-1)
@opt.config
@opt.inputs
@opt.output
def test(only: tuple[str, ...], **options: Any) -> int:
    """Run the tests inside the rule files."""
    from auditor import rulebook, standard  # noqa: PLC0415
    from auditor.engine import ruletests  # noqa: PLC0415
    from auditor.inventory.facts import Facts  # noqa: PLC0415

    chosen = standard.read(options["standard"] or standard.default_path())
    book = rulebook.read(options["rules"], chosen.file.rules)
    rules = [book.get(name) for name in only] or list(book.rules)
    with Facts.empty(chosen) as empty:
        outcomes = ruletests.run_all(rules, empty)
    for outcome in outcomes:
        if outcome.failures or not options["quiet"]:
            click.echo(f"{'FAIL' if outcome.failures else 'ok  '} {outcome.rule}: {outcome.name}")
        for failure in outcome.failures:
            click.echo(f"       {failure}")
    failed = sum(bool(outcome.failures) for outcome in outcomes)
    click.echo(f"{len(outcomes) - failed} passed, {failed} failed")
    return ExitCode.GATE if failed else ExitCode.OK
