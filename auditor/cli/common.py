"""Steps that several commands take: from parsed options to the pipeline's words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.cli.options import listed
from auditor.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from auditor.azure import Cloud
    from auditor.collect import Scope
    from auditor.model import Results
    from auditor.pipeline import Settings


def scope_of(options: dict[str, Any]) -> Scope:
    """Read the scope options."""
    from auditor.collect import Scope  # noqa: PLC0415 - see auditor.cli: commands import when they run

    return Scope(
        subscriptions=listed(options["subscription"]),
        management_groups=listed(options["management_group"]),
        tenant=options["tenant"].lower() if options["tenant"] else None,
        exclude_subscriptions=listed(options["exclude_subscription"]),
        expect_subscriptions=_expected(options["expect_subscriptions"]),
        recovery_points=options["recovery_points"],
    )


def _expected(text: str | None) -> tuple[str, ...] | int | None:
    if text is None:
        return None
    if text.isdigit():
        return int(text)
    try:
        lines = Path(text).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"--expect-subscriptions {text}: cannot be read", "name a text file or give a number"
        ) from error
    names = tuple(line.partition("#")[0].strip() for line in lines)
    return tuple(name for name in names if name)


def cloud_of(options: dict[str, Any]) -> Cloud:
    """Read the cloud options."""
    from auditor.azure import cloud  # noqa: PLC0415

    return cloud(options["cloud"], options["arm_endpoint"], options["authority"], options["audience"])


def settings_of(options: dict[str, Any], scope: Scope, chosen: Cloud) -> Settings:
    """Read what the manifest will say of the run."""
    from auditor.gate import DEFAULT  # noqa: PLC0415
    from auditor.pipeline import Settings  # noqa: PLC0415

    told = {name: _plain(value) for name, value in sorted(options.items()) if value not in (None, (), "", False)}
    return Settings(
        scope=scope,
        cloud=chosen.name,
        arm_endpoint=chosen.arm_endpoint,
        organisation=options.get("organisation") or "",
        classification=options.get("classification") or "",
        threshold=options.get("fail_on") or DEFAULT,
        allow_incomplete=listed(options.get("allow_incomplete") or ()),
        exit_zero=bool(options.get("exit_zero")),
        command=told,
    )


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool) else str(value)


def exit_code(results: Results, *, exit_zero: bool) -> int:
    """Give the process's code: the gate's, or 0 where the user forgives 1 and 3."""
    return int(ExitCode.OK) if exit_zero else results.gate.exit_code
