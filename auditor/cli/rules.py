"""`auditor rules`: list, show, test and check the rules, begin a new one, write their reference pages."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from auditor.cli import options as opt
from auditor.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from auditor.errors import Fault
    from auditor.rulebook import Rule, Rulebook
    from auditor.standard import Standard

_ID = r"[a-z][a-z0-9]*(-[a-z0-9]+)+"


@click.group("rules")
def command() -> None:
    """List, show, test and check the rules, begin a new one, write their pages."""


@command.command("list")
@opt.config
@opt.inputs
@opt.output
def list_(**options: Any) -> int:
    """List the rules; those that this standard does not run are `off`."""
    book, _ = _read(options)
    names = ("id", "severity", "resource_type", "title", "runs")
    rows = [
        (rule.id, book.severities[rule.id].value, rule.file.resource_type, rule.file.title, book.off.get(rule.id))
        for rule in book.rules
    ]
    if options["form"] == "json":
        _tell_json([dict(zip(names, (*row[:4], row[4] is None), strict=True)) for row in rows])
        return ExitCode.OK
    widths = [max(len(row[n] or "") for row in rows) for n in range(3)]
    for row in rows:
        off = f"  (off: {row[4]})" if row[4] else ""
        cells = [*((cell or "").ljust(w) for cell, w in zip(row, widths, strict=False)), f"{row[3]}{off}"]
        click.echo("  ".join(cells))
    return ExitCode.OK


@command.command("show")
@click.argument("rule")
@opt.option(
    "--for", "resource", metavar="RESOURCE", help="What it demands of a resource of the latest run, and reads of it."
)
@opt.config
@opt.inputs
@opt.store
@opt.output
def show(rule: str, resource: str | None, **options: Any) -> int:
    """Show RULE: what it demands, why, how, and what to do when it fails."""
    if resource is not None:
        return _show_for(rule, resource, options)
    book, _ = _read(options)
    found = book.get(rule)
    file = found.file
    if options["form"] == "json":
        whole = file.model_dump(mode="json") | {"area": found.area, "params_as_set": dict(book.params[rule])}
        _tell_json(whole)
        return ExitCode.OK
    off = f"  off: {book.off[rule]}" if rule in book.off else ""
    click.echo(f"{file.id}  {book.severities[rule].value}  about: {file.resource_type}{off}  ({found.path})\n")
    click.echo(f"{file.title}\n\nWhy    {file.rationale}\n")
    for where, text in file.remediation.items():
        click.echo(f"{'Fix' if where == 'portal' else '':<6} {text}")
    for name, param in file.params.items():
        way = f" ({param.stricter} is stricter)" if param.stricter else ""
        click.echo(f"\nParam  {name} = {book.params[rule][name]}{way}: {param.doc}")
    _show_controls(found, book)
    click.echo(f"\n{file.sql}")
    click.echo(f"{len(file.tests)} tests: " + "; ".join(test.name for test in file.tests))
    return ExitCode.OK


def _show_for(rule: str, resource: str, options: dict[str, Any]) -> int:
    """Tell what a rule reads of one resource, as the latest run had it."""
    from auditor import bundle as bundles  # noqa: PLC0415
    from auditor import pipeline  # noqa: PLC0415
    from auditor.cli.terminal import printable  # noqa: PLC0415
    from auditor.engine.explain import read_by  # noqa: PLC0415
    from auditor.report import wording  # noqa: PLC0415
    from auditor.report.templates import SHIPPED  # noqa: PLC0415

    judged, params, told = pipeline.read_by_rule(bundles.find("latest", options["store"]), rule, resource)
    read = read_by(judged, told)
    if options["form"] == "json":
        reads = [{"column": name, "value": wording.plain(value), "meaning": doc} for name, value, doc in read]
        _tell_json({"rule": rule, "resource_id": told.resource_id, "params": dict(params), "reads": reads})
        return ExitCode.OK
    click.echo(printable(f"{rule} for {told.name}\n  {told.resource_id}\n"))
    rows = [(name, wording.read_value(name, value, SHIPPED.texts()), doc) for name, value, doc in read]
    rows += [(f"${name}", str(value), judged.file.params[name].doc) for name, value in params.items()]
    widths = [max((len(row[n]) for row in rows), default=0) for n in range(2)]
    for name, value, doc in rows:
        click.echo(printable(f"{name:<{widths[0]}}  {value:<{min(widths[1], 40)}}  {doc}"))
    return ExitCode.OK


def _show_controls(rule: Rule, book: Rulebook) -> None:
    for key, ids in rule.file.controls.items():
        framework = book.frameworks[key].file if key in book.frameworks else None
        click.echo(f"\nSupports evidence for {f'{framework.name}, {framework.version}' if framework else key}")
        for name in ids:
            control = framework.by_id.get(name) if framework else None
            told = f"{control.title} ({control.mark.value})" if control else "(in no framework file: unverified)"
            click.echo(f"       {name:<10} {told}")


@command.command("test")
@click.argument("only", metavar="[RULE]...", nargs=-1)
@opt.config
@opt.inputs
@opt.output
def test(only: tuple[str, ...], **options: Any) -> int:
    """Run the tests inside the rule files, of extras and disabled rules too."""
    from auditor.engine import ruletests  # noqa: PLC0415 - see auditor.cli: commands import when they run
    from auditor.errors import DocumentError  # noqa: PLC0415

    with ruletests.Proving() as proving:
        book, chosen = _read(options)
        rules = [book.get(name) for name in only] or list(book.rules)
        proofs = list(proving.prove(rules, chosen))
    outcomes = [outcome for proof in proofs for outcome in proof.outcomes]
    failed = sum(bool(outcome.failures) for outcome in outcomes)
    if options["form"] == "json":
        _tell_json([{"rule": it.rule, "test": it.name, "failures": it.failures} for it in outcomes])
    else:
        for outcome in outcomes:
            if outcome.failures or not options["quiet"]:
                click.echo(f"{'FAIL' if outcome.failures else 'ok  '} {outcome.rule}: {outcome.name}")
            for failure in outcome.failures:
                click.echo(f"       {failure}")
        click.echo(f"{len(outcomes) - failed} passed, {failed} failed")
    faults = [fault for proof in proofs for fault in proof.faults]
    if faults:
        raise DocumentError(faults)
    return ExitCode.GATE if failed else ExitCode.OK


@command.command("lint")
@click.argument("only", metavar="[RULE]...", nargs=-1)
@opt.config
@opt.inputs
@opt.output
def lint(only: tuple[str, ...], **options: Any) -> int:
    """Look for what is wrong with rules and frameworks; tell every fault with file and line."""
    from auditor import rulebook, standard  # noqa: PLC0415
    from auditor.document import did_you_mean  # noqa: PLC0415
    from auditor.engine import ruletests  # noqa: PLC0415
    from auditor.errors import DocumentError  # noqa: PLC0415
    from auditor.rulebook import frameworks  # noqa: PLC0415
    from auditor.rulebook.lint import structure  # noqa: PLC0415

    with ruletests.Proving() as proving:
        chosen = standard.read(options["standard"] or standard.default_path())
        rules, faults = rulebook.scan(options["rules"])
        ids = {rule.id for rule in rules} | {Path(fault.path).stem for fault in faults}
        for name in only:
            if name not in ids:
                raise UsageError(f"there is no rule {name!r}", did_you_mean(name, ids))
        known: dict[str, frameworks.Read] = {}
        try:
            known = frameworks.read(options["rules"])
        except DocumentError as error:
            faults += [] if only else error.faults
        wanted = [rule for rule in rules if not only or rule.id in only]
        faults = [fault for fault in faults if not only or Path(fault.path).stem in only]
        for proof in proving.prove(wanted, chosen, lint=True):
            told = [*proof.faults, *structure(proof.rule, ids, known)]
            faults += sorted(told, key=lambda fault: fault.line)
    _tell_faults(faults, len(wanted), options["form"])
    return ExitCode.GATE if faults else ExitCode.OK


def _tell_faults(faults: list[Fault], count: int, form: str) -> None:
    if form == "json":
        _tell_json([{"path": it.path, "line": it.line, "message": it.message, "hint": it.hint} for it in faults])
        return
    for fault in faults:
        click.echo(str(fault))
    click.echo(f"{count} rules, {len(faults)} faults")


@command.command("new")
@click.argument("rule", metavar="ID")
@click.option("--area", required=True, metavar="AREA", help="Folder that it goes into, such as protection.")
@click.option("--about", required=True, metavar="KIND", help="What its findings are about, such as vm or vault.")
@opt.config
@opt.inputs
@opt.output
def new(rule: str, area: str, about: str, **options: Any) -> int:
    """Begin a rule: write a file that passes its own tests into the first folder of --rules."""
    from typing import get_args  # noqa: PLC0415

    from auditor import rulebook  # noqa: PLC0415
    from auditor.document import did_you_mean  # noqa: PLC0415
    from auditor.inventory import facts  # noqa: PLC0415
    from auditor.rulebook import template  # noqa: PLC0415

    kinds = get_args(rulebook.ResourceType)
    if not re.fullmatch(_ID, rule):
        said = f"{rule!r} is no id of a rule"
        raise UsageError(said, "write words in lower case with hyphens between them, such as vm-name-unwanted")
    if area not in rulebook.AREAS:
        raise UsageError(f"--area {area}: there is no such area", did_you_mean(area, rulebook.AREAS))
    if about not in kinds:
        raise UsageError(f"--about {about}: rules are not about that", did_you_mean(about, kinds))
    if not options["rules"]:
        raise UsageError("no folder is given for the rule", "add --rules DIR: your own rules stand there")
    folder: Path = options["rules"][0]
    folders = [it for it in options["rules"] if it.is_dir() and any(it.rglob("*.yaml"))]
    if any(known.id == rule for known in rulebook.scan(folders)[0]):
        raise UsageError(f"there is a rule {rule!r} already", "ids are permanent; choose another")
    columns = {column.name for column in facts.tables()[about]}
    path = folder / area / f"{rule}.yaml"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(template.rule(rule, about, excluding="excluded_code" in columns))
    except FileExistsError as error:
        raise UsageError(f"{path} is there already", "choose another id, or remove it yourself") from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}", "name a folder where you may write") from error
    click.echo(f"{path}\n\nChange it, then: auditor rules test {rule} --rules {folder}")
    return ExitCode.OK


@command.command("docs")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("rule-pages"),
    show_default=True,
    help="Folder for the pages.",
)
@opt.config
@opt.inputs
@opt.output
def docs(out: Path, **options: Any) -> int:
    """Write a reference page for each rule as Markdown, with an index."""
    from auditor.bundle import write_atomically  # noqa: PLC0415
    from auditor.rulebook import pages  # noqa: PLC0415

    book, _ = _read(options)
    made = {f"{rule.id}.md": pages.rule(rule, book.frameworks) for rule in book.rules}
    made["index.md"] = pages.index(book.rules, "")
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in made.items():
            write_atomically(out / name, text.encode())
    except OSError as error:
        raise UsageError(f"--out {out}: cannot be written: {error.strerror}", "name another folder") from error
    click.echo(f"{len(made)} pages in {out}")
    return ExitCode.OK


def _read(options: dict[str, Any]) -> tuple[Rulebook, Standard]:
    """Read the standard and all rules, those too that it does not run."""
    from auditor import rulebook, standard  # noqa: PLC0415
    from auditor.document import load  # noqa: PLC0415
    from auditor.rulebook import frameworks  # noqa: PLC0415

    path = options["standard"] or standard.default_path()
    chosen = standard.read(path)
    book = rulebook.read(options["rules"], chosen.file.rules, whole=True, written=load(path))
    frameworks.named_by_standard(chosen.file.frameworks, path, None, book.frameworks)
    return book, chosen


def _tell_json(told: Any) -> None:
    click.echo(json.dumps(told, indent=1, ensure_ascii=False))
