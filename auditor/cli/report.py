"""`auditor report`: reports from a bundle, offline."""

from __future__ import annotations

from typing import Any

import click

from auditor.cli import options as opt


@click.command("report")
@click.argument("bundle")
@opt.config
@opt.store
@opt.reports
@opt.signing
@opt.gate
@opt.output
def command(bundle: str, **options: Any) -> int:
    """Make reports of BUNDLE (a folder, a run name, or `latest`); the same bundle gives the same unsigned bytes."""
    from auditor import bundle as bundles  # noqa: PLC0415 - see auditor.cli: commands import when they run
    from auditor import inputs, pipeline, reporting  # noqa: PLC0415
    from auditor.cli import common, show  # noqa: PLC0415

    found = bundles.find(bundle, options["store"])
    given = inputs.sealed(found)
    wanted = reporting.wanted_reports(options["report"], [*common.files_read(options), *found.sealed_places])
    how = common.presentation_of(options, wanted, given.book, found.folder.parent)
    signing = common.signing_of(options, wanted)
    with show.Progress.of(options) as progress:
        progress.tell("report", "")
        results = pipeline.read(
            found,
            given,
            threshold=options["fail_on"],
            allow_incomplete=common.allowed_gaps(options["allow_incomplete"]) or None,
            language=how.language,
            passes=reporting.needs_passes(wanted, how),
        )
        written = reporting.write(results, found.folder / "reports", wanted, how, progress.tell, signing=signing)
    code = common.exit_code(results, exit_zero=options["exit_zero"])
    if not options["quiet"]:
        show.result(results, written, found.folder, options["form"], code, how=how)
    return code
