"""`auditor verify`: is a bundle what was sealed, and do its verdicts follow from its evidence."""

from __future__ import annotations

from typing import Any

import click

from auditor.cli import options as opt
from auditor.errors import ExitCode


@click.command("verify")
@click.argument("bundle")
@opt.config
@opt.store
@opt.output
def command(bundle: str, **options: Any) -> int:
    """Verify BUNDLE (a folder, a run name, or `latest`), offline.

    Compares every file with the manifest, the manifest with the run before it in the store, and the sealed verdicts
    with verdicts computed anew from the evidence. Exits 1 where something differs.
    """
    from auditor import bundle as bundles  # noqa: PLC0415 - see auditor.cli: commands import when they run
    from auditor import pipeline  # noqa: PLC0415
    from auditor.cli import show  # noqa: PLC0415

    found = bundles.find(bundle, options["store"], intact=False)
    problems = 0
    with show.Progress.of(options) as progress:
        for check, told in pipeline.verify(found, progress.tell):
            problems += len(told)
            if not options["quiet"]:
                click.echo(f"{'FAIL' if told else 'ok  '} {check}")
            for line in told:
                click.echo(f"     {line}")
    if not options["quiet"]:
        click.echo(f"manifest sha256 {found.manifest_digest}")
    return ExitCode.GATE if problems else ExitCode.OK
