"""`auditor demo`: the whole job against the built-in Azure simulator."""

from __future__ import annotations

import os
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from auditor.cli import options as opt
from auditor.errors import ExitCode, UsageError


@click.command("demo")
@opt.store
@click.option("--estate", type=click.Path(path_type=Path), help="A pretend Azure of your own.  [default: contoso]")
@opt.reports
@opt.as_of
@opt.output
def command(estate: Path | None, **options: Any) -> int:
    """Audit Contoso, a pretend company in a pretend Azure on this machine. No account is needed.

    Everything is real but the Azure: the SDKs talk HTTP to a simulator that pages, throttles and denies. Exits 0 when
    the job was done, and says what an audit would have exited with.
    """
    from auditor import assets  # noqa: PLC0415 - see auditor.cli: commands import when they run
    from auditor.cli import audit  # noqa: PLC0415

    try:
        from auditor.simulator.estate import Estate  # noqa: PLC0415
        from auditor.simulator.server import Simulator  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise UsageError(f"the simulator needs {error.name}", "pip install 'azure-backup-auditor[demo]'") from error

    moment: datetime = options["as_of"] or datetime.now(UTC).replace(microsecond=0)
    company = Estate.load(estate or assets.samples() / "estates" / "contoso.yaml", moment)
    token = secrets.token_hex(16)
    os.environ["AUDITOR_TOKEN"] = token
    with Simulator(company, token=token) as azure:
        click.echo(f"a pretend Azure serves at {azure.url}", err=True)
        told = dict.fromkeys(
            (
                "tenant",
                "expect_subscriptions",
                "cloud",
                "authority",
                "audience",
                "standard",
                "deadline",
                "sign",
                "sign_password_file",
                "sign_key_vault",
                "timestamp",
            )
        )
        code = audit.run(
            {
                **options,
                **told,
                "subscription": (),
                "management_group": (),
                "exclude_subscription": (),
                "recovery_points": "all",
                "arm_endpoint": azure.url,
                "waivers": None if estate else assets.samples() / "waivers.yaml",
                "rules": (),
                "fail_on": None,
                "allow_incomplete": (),
                "exit_zero": False,
                "organisation": "Contoso Ltd",
                "classification": "SAMPLE",
                "as_of": moment,
            },
            beside=None if estate else assets.samples(),
        )
    if not options["quiet"]:
        click.echo(f"the demo is done; `auditor audit` would have exited with {code}", err=True)
    return ExitCode.OK
