"""`auditor explain`: the chain behind each verdict on one resource."""

from __future__ import annotations

import json
from typing import Any

import click

from auditor.cli import options as opt
from auditor.errors import ExitCode


@click.command("explain")
@click.argument("words", metavar="[BUNDLE] RESOURCE", nargs=-1, required=True)
@opt.config
@opt.store
@opt.output
def command(words: tuple[str, ...], **options: Any) -> int:
    """Tell why RESOURCE (an ARM id or a name) is judged as it is, and what would make it pass.

    For a VM: VM -> backup item -> vault -> policy -> recovery points, what was looked at, and each verdict. BUNDLE is a
    folder, a run name, or `latest`, the default.
    """
    from auditor import bundle as bundles  # noqa: PLC0415 - see auditor.cli: commands import when they run
    from auditor import pipeline  # noqa: PLC0415
    from auditor.cli.common import bundle_and  # noqa: PLC0415
    from auditor.cli.terminal import printable  # noqa: PLC0415
    from auditor.report import explaining  # noqa: PLC0415

    reference, resource = bundle_and("RESOURCE", words)
    results, told = pipeline.explain(bundles.find(reference, options["store"]), resource)
    if options["form"] == "json":
        click.echo(json.dumps(explaining.plain(told, results), indent=1, ensure_ascii=False))
    else:
        click.echo("\n".join(printable(line) for line in explaining.lines(told, results)))
    return ExitCode.OK
