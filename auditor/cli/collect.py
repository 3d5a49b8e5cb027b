"""`auditor collect`: the evidence alone."""

from __future__ import annotations

from typing import Any

import click

from auditor.cli import audit
from auditor.cli import options as opt


@click.command("collect")
@opt.config
@opt.scope
@opt.inputs
@opt.store
@opt.gate
@opt.labels
@opt.as_of
@opt.output
def command(**options: Any) -> int:
    """Collect the evidence into a bundle without making reports.

    The bundle is judged as it is sealed, so that `report` and `evaluate` can work from it alone. The exit code speaks
    of the evidence only: 0 where it is complete, 3 where it is not; --fail-on is kept for the reports made later.
    """
    return audit.run({**options, **opt.NO_REPORT}, evidence_only=True)
