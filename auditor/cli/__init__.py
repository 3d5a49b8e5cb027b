"""The command line. Parses, calls the pipeline, prints; this file alone ends the process."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import click

from auditor import __version__
from auditor.cli import terminal
from auditor.errors import AuditorError, ExitCode, without_secrets

if TYPE_CHECKING:
    from types import FrameType

_COMMANDS = (
    "audit", "collect", "evaluate", "report", "explain", "verify", "query", "rules", "waivers", "doctor", "demo",
)  # fmt: skip


class _Lazy(click.Group):
    """Imports a command's module when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        found = importlib.import_module(f"auditor.cli.{cmd_name}").command
        return found if isinstance(found, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            from auditor.document import did_you_mean  # noqa: PLC0415 - only needed for a typo

            ctx.fail(f"no such command {args[0]!r}; {did_you_mean(args[0], _COMMANDS)}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            terminal.reader_left()
            return ExitCode.OK


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="auditor")
def app() -> None:
    """Tell, with evidence, whether every Azure VM can really be recovered.

    \b
    auditor demo                     the whole job against a pretend Azure, no account needed
    auditor doctor                   would an audit be complete: sign-in, permissions, Pango
    auditor audit                    collect, judge, report and gate: the weekly job
    auditor report latest -h         more reports from a run that was made before

    Exit codes: 0 complete and clean, 1 findings at or above --fail-on, 2 wrong input, 3 evidence incomplete,
    4 could not run, 70 a fault of this program, 130 and 143 interrupted.
    """  # noqa: D301 - \b is click's mark for text that keeps its lines


def _on_sigterm(_number: int, _frame: FrameType | None) -> None:
    raise terminal.Terminated(ExitCode.TERMINATED)


def main() -> None:
    """Run the command line and end the process with its exit code."""
    signal.signal(signal.SIGTERM, _on_sigterm)
    terminal.write_anything()
    sys.exit(_run())


def _run() -> int:
    try:
        return int(app.main(prog_name="auditor", standalone_mode=False) or 0)
    except (
        click.exceptions.Exit,
        click.Abort,
        click.ClickException,
        AuditorError,
        KeyboardInterrupt,
        terminal.Terminated,
    ) as end:
        return _tell(end)
    except Exception as error:
        if os.environ.get("AUDITOR_TRACEBACK"):
            raise
        said = without_secrets(f"{type(error).__name__}: {error}".splitlines()[0])
        _say(f"internal error: {said}", "this is a fault of auditor; AUDITOR_TRACEBACK=1 shows what its report needs")
        return ExitCode.BUG


def _tell(end: BaseException) -> int:
    """Say on stderr why the run ended; give the exit code."""
    if isinstance(end, click.exceptions.Exit):
        return end.exit_code
    if isinstance(end, click.ClickException):
        end.show()
        return ExitCode.USAGE
    if isinstance(end, AuditorError):
        _say(f"error: {end.message}", end.hint)
        return end.exit_code
    stopped = isinstance(end, terminal.Terminated)
    _say(f"{'terminated' if stopped else 'interrupted'}; no half bundle was left")
    return ExitCode.TERMINATED if stopped else ExitCode.INTERRUPTED


def _say(what: str, hint: str = "") -> None:
    click.echo(terminal.printable(what + (f"\n  {hint}" if hint else "")), err=True)
