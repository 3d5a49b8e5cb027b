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
@opt.responses
@opt.store
@opt.reports
@opt.signing
@opt.gate
@opt.labels
@opt.as_of
@opt.output
def command(**options: Any) -> int:
    """Audit Azure: collect the evidence, judge it, write reports, and exit by the gate."""
    return run(options)


def run(options: dict[str, Any], *, evidence_only: bool = False, beside: Path | None = None) -> int:
    """Do the job; give the exit code, which may be asked to speak of the evidence alone.

    Restore tests and runbooks are looked for from `beside`, from the standard's own folder where it is None.
    """
    from auditor import bundle, inputs, pipeline, reporting  # noqa: PLC0415 - see auditor.cli: commands import when they run
    from auditor.azure import AzureReader  # noqa: PLC0415
    from auditor.azure.pacing import Patience  # noqa: PLC0415
    from auditor.cli import common, show  # noqa: PLC0415

    chosen = common.cloud_of(options)
    if options["as_of"] is not None and not chosen.loopback:
        raise UsageError("--as-of is for a server on this machine; Azure is audited as it is now", "leave it out")
    settings = common.settings_of(options, common.scope_of(options), chosen)
    interrupted = bundle.kept.find(options["store"], pipeline.purpose(settings), options["as_of"])
    if interrupted is not None:
        click.echo(f"going on with the interrupted run of {interrupted.as_of:%Y-%m-%d %H:%M:%S} UTC", err=True)
    found = interrupted.as_of if interrupted else None
    moment: datetime = options["as_of"] or found or datetime.now(UTC).replace(microsecond=0)
    pipeline.check_store(options["store"], moment)
    wanted = reporting.wanted_reports(options["report"], common.files_read(options))
    responses = options.get("responses")
    given = inputs.read(
        options["standard"], options["waivers"], options["rules"], responses_path=responses, beside=beside
    )
    signing = common.signing_of(options, wanted)
    store: Path = options["store"]
    how = common.presentation_of(options, wanted, given.book, store)
    with show.Progress.of(options) as progress:

        async def collect_and_judge() -> Bundle:
            patience = Patience(deadline_seconds=options["deadline"])
            async with AzureReader(chosen, options["tenant"], patience) as azure:
                return await pipeline.run(
                    azure, given, settings, store=store, as_of=moment, interrupted=interrupted, tell=progress.tell
                )

        try:
            made = terminal.until_terminated(collect_and_judge())
        except (KeyboardInterrupt, terminal.Terminated):
            kept = f"what was read is kept for {bundle.kept.KEPT_HOURS} hours: the same command goes on from there"
            click.echo(kept, err=True)
            raise
        progress.tell("report", "")
        results = pipeline.read(
            made,
            given,
            threshold="none" if evidence_only else None,
            language=how.language,
            passes=reporting.needs_passes(wanted, how),
        )
        written = reporting.write(results, made.folder / "reports", wanted, how, progress.tell, signing=signing)
    code = common.exit_code(results, exit_zero=options["exit_zero"])
    if not options["quiet"]:
        show.result(results, written, made.folder, options["form"], code, how=how)
    return code
