"""`auditor evaluate`: judge a bundle again, offline."""

from __future__ import annotations

from typing import Any

import click

from auditor.cli import options as opt


@click.command("evaluate")
@click.argument("bundle")
@opt.config
@opt.inputs
@opt.responses
@opt.store
@opt.reports
@opt.gate
@opt.as_of
@opt.output
def command(bundle: str, **options: Any) -> int:
    """Judge BUNDLE (a folder, a run name, or `latest`) again, with its own inputs or others.

    The outcome goes to evaluations/<digest of the inputs>/ in the bundle; its sealed findings never change. Reports
    are only made where --report asks for them.
    """
    from auditor import bundle as bundles  # noqa: PLC0415 - see auditor.cli: commands import when they run
    from auditor import inputs, pipeline, reporting  # noqa: PLC0415
    from auditor.cli import common, show  # noqa: PLC0415

    found = bundles.find(bundle, options["store"])
    wanted = reporting.wanted_reports(options["report"] or ("",), [*common.files_read(options), *found.sealed_places])
    given = inputs.of_bundle(found, options["standard"], options["waivers"], options["rules"], options["responses"])
    how = common.presentation_of(options, wanted, given.book, found.folder.parent)
    with show.Progress.of(options) as progress:
        findings = pipeline.evaluate_again(found, given, options["as_of"], progress.tell)
        results = pipeline.read(
            found,
            given,
            findings=findings,
            as_of=options["as_of"],
            threshold=options["fail_on"],
            allow_incomplete=common.allowed_gaps(options["allow_incomplete"]) or None,
            language=how.language,
            passes=reporting.needs_passes(wanted, how),
        )
        written = reporting.write(results, findings.parent / "reports", wanted, how, progress.tell)
    code = common.exit_code(results, exit_zero=options["exit_zero"])
    if not options["quiet"]:
        show.result(results, written, findings.parent, options["form"], code, how=how)
    return code
