"""`auditor doctor`: would an audit be complete, and if not, what to do."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from auditor.cli import options as opt
from auditor.cli import terminal
from auditor.errors import AuditorError, ExitCode, NoRunError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditor.azure import AzureReader
    from auditor.cli.show import Progress
    from auditor.doctor import Check
    from auditor.inputs import Inputs

_MARKS = {"ok": "ok", "warn": "warn", "fail": "FAIL", "skip": "-"}


@click.command("doctor")
@opt.config
@opt.scope
@opt.inputs
@opt.store
@click.option("--offline", is_flag=True, help="Look at this machine only; ask nothing of Azure.")
@opt.option(
    "--max-age", metavar="DURATION", help="Fail where the store's last run is older, e.g. 8d, or there is none."
)
@click.option(
    "--role",
    type=click.Choice(["json", "bicep", "terraform"]),
    help="Print the smallest role that suffices, and nothing else.",
)
@opt.output
def command(**options: Any) -> int:
    """Look whether an audit would be complete: this machine, the sign-in, what can be read, which rules could judge.

    Reads only, one small question a table, about the first resource of a kind in each subscription. Exits 1 where a
    check failed, 4 where nobody could sign in or nothing is visible.
    """
    from auditor.cli import common, show  # noqa: PLC0415 - see auditor.cli: commands import when they run

    scope = common.scope_of(options)
    if options["role"]:
        return _role(options["role"], scope)
    longest = _hours(options["max_age"])
    chosen = common.cloud_of(options)
    if options["offline"]:
        azure = None
    else:
        from auditor.azure import AzureReader  # noqa: PLC0415
        from auditor.azure.pacing import Patience  # noqa: PLC0415

        # Who asks whether it works wants to be told, not to wait until it does.
        patience = Patience(attempts=4, throttled_attempts=6, unanswered_attempts=3)
        azure = AzureReader(chosen, options["tenant"], patience)
    with show.Progress.of(options) as progress:
        checks, given = _here(options, longest, progress)
        code = ExitCode.OK
        if azure is not None:
            try:
                terminal.until_terminated(_there(azure, scope, given, checks, progress))
            except NoRunError as error:
                checks.append(_check("azure", "fail", error.message, error.hint))
                code = ExitCode.NO_RUN
    if code is ExitCode.OK and any(check.state == "fail" for check in checks):
        code = ExitCode.GATE
    _print(checks, options["form"], quiet=options["quiet"])
    return code


def _role(form: str, scope: Any) -> int:
    from auditor.doctor import role  # noqa: PLC0415

    where = role.scopes(scope)
    if not where:
        click.echo("no scope was given: name one by -s or --management-group, or replace the placeholder", err=True)
    click.echo(role.write(form, where))
    return ExitCode.OK


def _hours(text: str | None) -> float | None:
    from auditor.errors import UsageError  # noqa: PLC0415
    from auditor.standard.durations import hours  # noqa: PLC0415

    try:
        return None if text is None else hours(text)
    except ValueError as error:
        raise UsageError(f"--max-age: {error}", "write 8d, or 26h") from error


def _check(check: str, state: Any, detail: str, remedy: str = "") -> Check:
    from auditor.doctor import Check  # noqa: PLC0415

    return Check(check, state, detail, remedy)


def _here(options: dict[str, Any], longest: float | None, progress: Progress) -> tuple[list[Check], Inputs | None]:
    """Look at this machine; give the rules too, where they can be read."""
    from auditor import inputs  # noqa: PLC0415
    from auditor.doctor import local  # noqa: PLC0415

    progress.tell("this machine", "")
    checks = [*local.versions(), *local.pdf()]
    named = options["config"]
    checks.append(_check("configuration", "ok", f"{named} read" if named else "no file; options and defaults"))
    given = None
    try:
        given = inputs.read(options["standard"], options["waivers"], options["rules"])
        checks.append(local.rules(given))
    except AuditorError as error:
        if options["standard"] or options["waivers"] or options["rules"]:
            raise  # the user's own files are input: exit 2, with file and line
        checks.append(_check("rules", "fail", error.message, error.hint or "install the package again"))
    checks.append(local.store(options["store"]))
    if longest is not None:
        checks.append(local.age(options["store"], longest, datetime.now(UTC)))
    return checks, given


async def _there(azure: AzureReader, scope: Any, given: Inputs | None, checks: list[Check], progress: Progress) -> None:
    from auditor.doctor import remote  # noqa: PLC0415

    async with azure:
        checks += remote.signed_in(azure.identity, azure.cloud, scope.tenant)
        checks += await remote.examine(azure, scope, given, lambda what: progress.tell("azure", what))


def _print(checks: Sequence[Check], form: str, *, quiet: bool) -> None:
    shown = [check for check in checks if not quiet or check.state == "fail"]
    if quiet and not shown:
        return
    rows = [(_MARKS[c.state], _line(c.check), _line(c.detail), _line(c.remedy)) for c in shown]
    if form == "json":
        text = json.dumps([asdict(check) for check in shown], indent=1, ensure_ascii=False)
    elif form in ("markdown", "github"):
        cells = [" | ".join(cell.replace("\\", "\\\\").replace("|", "\\|") for cell in row) for row in rows]
        text = "\n".join(["| | check | what | remedy |", "|---|---|---|---|", *(f"| {row} |" for row in cells)])
    else:
        width = max(len(row[1]) for row in rows)
        text = "\n".join(
            f"{mark:<4}  {name:<{width}}  {what}" + (f" -> {remedy}" if remedy else "")
            for mark, name, what, remedy in rows
        )
    click.echo(terminal.printable(text))
    sys.stdout.flush()


def _line(text: str) -> str:
    """Put text on one line."""
    return " ".join(text.split())
