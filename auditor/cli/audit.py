"""`auditor audit`: collect, evaluate, report and gate."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from auditor.cli import options as opt
from auditor.cli import terminal
from auditor.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from auditor.bundle import Bundle


@click.command("audit")
@opt.config
@opt.scope
@opt.inputs
@opt.store
@opt.reports
@opt.gate
@opt.labels
@opt.as_of
@opt.output
def command(**options: Any) -> int:
    """Audit Azure: collect the evidence, judge it, write reports, and exit by the gate."""
    return run(options)


def run(options: dict[str, Any], *, evidence_only: bool = False) -> int:
    """Do the job; give the exit code, which may be asked to speak of the evidence alone."""
    from auditor import inputs, pipeline  # noqa: PLC0415 - see auditor.cli: commands import when they run
    from auditor.azure import AzureReader  # noqa: PLC0415
    from auditor.cli import common, show  # noqa: PLC0415

    chosen = common.cloud_of(options)
    if options["as_of"] is not None and not chosen.loopback:
        raise UsageError("--as-of is for a server on this machine; Azure is audited as it is now", "leave it out")
    moment: datetime = options["as_of"] or datetime.now(UTC).replace(microsecond=0)
    pipeline.check_store(options["store"], moment)
    settings = common.settings_of(options, common.scope_of(options), chosen)
    wanted = pipeline.wanted_reports(options["report"])
    given = inputs.read(options["standard"], options["waivers"], options["rules"])
    store: Path = options["store"]
    with show.Progress.of(options) as progress:

        async def collect_and_judge() -> Bundle:
            async with AzureReader(chosen, options["tenant"]) as azure:
                return await pipeline.run(azure, given, settings, store=store, as_of=moment, tell=progress.tell)

        made = terminal.until_terminated(collect_and_judge())
        progress.tell("report", "")
        results = pipeline.read(made, given, threshold="none" if evidence_only else None)
        written = pipeline.report(
            results, made.folder / "reports", wanted, all_rows=options["all_rows"], tell=progress.tell
        )
    code = common.exit_code(results, exit_zero=options["exit_zero"])
    if not options["quiet"]:
        show.result(results, written, made.folder, options["form"], code)
    return code
