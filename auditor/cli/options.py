"""Options that several commands share: flags win over AUDITOR_* variables, they over auditor.yaml, it over defaults."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from auditor.errors import UsageError
from auditor.gate import DEFAULT, THRESHOLDS

if TYPE_CHECKING:
    from collections.abc import Callable

    Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

FIRST_YEAR, LAST_YEAR = 2000, 2200
"""Of `--as-of`: before there was no Azure, and what a standard demands of later years can't be counted any more."""

FORMATS = ("table", "json", "markdown", "github")


def option(*names: str, **settings: Any) -> Decorator:
    """Make an option that AUDITOR_<NAME> may set too."""
    long = next(name for name in names if name.startswith("--")).split("/")[0]
    return click.option(*names, envvar=f"AUDITOR_{long[2:].replace('-', '_').upper()}", **settings)


class _Words(click.types.StringParamType):
    """Text; where a variable holds several, they are parted by these characters (names may have spaces in them)."""

    def __init__(self, parting: str) -> None:
        self._parting = parting

    def split_envvar_value(self, rv: str) -> list[str]:
        return [word for word in re.split(self._parting, rv) if word.strip()]


class _Points(click.ParamType[str]):
    """`all`, `changed`, `none` or `sample:N`."""

    name = "recovery_points"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        kind, _, size = value.partition(":")
        if value not in ("all", "changed", "none") and not (kind == "sample" and size.isdecimal() and int(size) > 0):
            self.fail(f"{value!r} is not one of all, changed, none, sample:N (N items: sample:25)", param, ctx)
        return value


class _Span(click.ParamType[float]):
    """A duration of minutes or hours, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = re.fullmatch(r"([1-9]\d{0,4})(min|h)", str(value).strip())
        if found is None:
            self.fail(f"{value!r} is not a duration such as 90min or 4h", param, ctx)
        return int(found[1]) * (60.0 if found[2] == "min" else 3600.0)


def _says_something(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    """Refuse an option that is given and names nothing: a variable that CI left empty must not widen the audit."""
    given = value if isinstance(value, tuple) else () if value is None else (value,)
    source = ctx.get_parameter_source(str(param.name))
    said = max(param.opts, key=len)
    variable = str(param.envvar)
    empty = any(not text.strip(" ,\t\r\n") for text in given)
    if source is not click.core.ParameterSource.COMMANDLINE and variable in os.environ:
        said = variable
        empty = not os.environ[variable].strip(" ,\t\r\n")  # click takes an empty variable for none
    elif source is click.core.ParameterSource.DEFAULT_MAP:
        said = f"{param.name} in the configuration"
        empty = empty or not given
    if empty:
        raise UsageError(f"{said} is given, but names nothing", "name what is meant, or leave it out altogether")
    return tuple(text.strip() for text in value) if isinstance(value, tuple) else value


NAMES = _Words(r",\s*")
KINDS = _Words(r"[,\s]+")


def together(*decorators: Decorator) -> Decorator:
    """Make one decorator of several; the first stands first in the help."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


def _load_config(ctx: click.Context, _param: click.Parameter, value: Path | None) -> Path | None:
    from auditor import config  # noqa: PLC0415 - pydantic costs 0.2 s that `--help` need not pay

    path = value or (config.DEFAULT if config.DEFAULT.exists() else None)
    if path is not None:
        ctx.default_map = {**config.read(path), **(ctx.default_map or {})}
    return path


config = option(
    "--config",
    type=click.Path(path_type=Path),
    is_eager=True,
    callback=_load_config,
    help="Configuration file.  [default: ./auditor.yaml if there]",
)

scope = together(
    option(
        "-s",
        "--subscription",
        multiple=True,
        type=NAMES,
        callback=_says_something,
        metavar="ID|NAME",
        help="Audit this subscription; repeatable.  [default: all readable]",
    ),
    option(
        "--management-group",
        multiple=True,
        type=NAMES,
        callback=_says_something,
        metavar="ID",
        help="Audit the subscriptions below this group; repeatable.",
    ),
    option("--tenant", callback=_says_something, metavar="ID", help="Tenant to sign in to."),
    option(
        "--exclude-subscription",
        multiple=True,
        type=NAMES,
        callback=_says_something,
        metavar="ID|NAME",
        help="Leave out of the population; repeatable.",
    ),
    option(
        "--expect-subscriptions",
        callback=_says_something,
        metavar="FILE|N",
        help="What should be readable: a file with one per line, or their number.",
    ),
    option(
        "--recovery-points",
        default="all",
        show_default=True,
        type=_Points(),
        metavar="all|changed|none|sample:N",
        help="Which points are read; `changed` takes those of stopped items from the run before.",
    ),
    option(
        "--deadline",
        type=_Span(),
        metavar="DURATION",
        help="Ask nothing any more after so long (90min, 4h); what was not read then is unknown.",
    ),
    option(
        "--cloud", type=click.Choice(["public", "usgov", "china", "custom"]), help="Azure cloud.  [default: public]"
    ),
    option(
        "--arm-endpoint", metavar="URL", help="Resource Manager of a custom cloud; plain http on this machine only."
    ),
    option("--authority", metavar="URL", help="Sign-in host of a custom cloud."),
    option("--audience", metavar="URI", help="Token audience of a custom cloud."),
)

inputs = together(
    option("--standard", type=click.Path(path_type=Path), help="Data-protection standard.  [default: hybrid]"),
    option("--waivers", type=click.Path(path_type=Path), help="Waiver register."),
    option(
        "--rules", multiple=True, type=click.Path(path_type=Path), help="Folder with rules of your own; repeatable."
    ),
)

responses = option(
    "--responses", type=click.Path(path_type=Path), help="Management's responses, printed beside the findings."
)


class _Folder(click.Path):
    """A folder; a URL would become one, with what signs it for a name."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if "://" in str(value):
            raise UsageError(f"--store {value}: a store is a folder", "mount or copy it, and name the folder")
        return super().convert(value, param, ctx)


store = option(
    "--store", type=_Folder(path_type=Path), default=Path("audits"), show_default=True, help="Where bundles live."
)

reports = together(
    option(
        "--report",
        multiple=True,
        type=KINDS,
        metavar="KIND[=PATH]",
        help=(
            "html, pdf, json, csv, xlsx, markdown, sarif or junit; repeatable.  "
            "[default: html, pdf and json, in the bundle]"
        ),
    ),
    option("--all-rows", is_flag=True, help="Passes in json, csv, xlsx and sarif too; junit has them anyway."),
    option(
        "--framework",
        callback=_says_something,
        metavar="NAME",
        help="The pdf for one framework (soc2, iso_27001_2022, ...): its controls, tests and exceptions. Other kinds "
        "tell of all.",
    ),
    option("--redact", is_flag=True, help="Pseudonyms for persons in every kind of report."),
    option(
        "--redact-key",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Key of the pseudonyms.  [default: redact.key in the store, made when it is first needed]",
    ),
    option(
        "--pdf-all", is_flag=True, help="Every finding and VM in the PDF, not the worst 2,000 and the first 300 VMs."
    ),
    option("--language", default="en", show_default=True, metavar="CODE", help="Language of the reports: en, de."),
    option(
        "--templates",
        type=click.Path(path_type=Path),
        help="Folder whose templates, texts and pictures win over the shipped ones.",
    ),
)

NO_REPORT = {
    "report": ("",),
    "all_rows": False,
    "pdf_all": False,
    "framework": None,
    "redact": False,
    "redact_key": None,
    "language": "en",
    "templates": None,
    "sign": None,
    "sign_password_file": None,
    "sign_key_vault": None,
    "timestamp": None,
}
"""What the options of reports come to where none is made."""

signing = together(
    option(
        "--sign",
        callback=_says_something,
        metavar="FILE",
        help="Sign the PDF by the key in this PKCS #12 file; its password is the text of AUDITOR_SIGN_PASSWORD.",
    ),
    option(
        "--sign-password-file",
        callback=_says_something,
        metavar="FILE",
        help="Take the password from a file's first line.",
    ),
    option(
        "--sign-key-vault",
        callback=_says_something,
        metavar="URL",
        help="Sign the PDF by a key in Azure Key Vault: https://VAULT.vault.azure.net/keys/NAME[/VERSION].",
    ),
    option(
        "--timestamp", callback=_says_something, metavar="URL", help="Have an RFC 3161 service say when it was signed."
    ),
)

gate = together(
    option("--fail-on", type=click.Choice(THRESHOLDS), help=f"Severity that trips the gate.  [default: {DEFAULT}]"),
    option(
        "--allow-incomplete",
        multiple=True,
        type=NAMES,
        metavar="TABLE",
        help="Coverage gap that does not cause exit 3; repeatable or comma-separated.",
    ),
    option("--exit-zero", is_flag=True, help="Exit 0 where 1 or 3 were due; said in the output."),
)

labels = together(
    option("--organisation", default="", help="Name on the reports."),
    option("--classification", default="", help="Label on the reports, such as CONFIDENTIAL."),
)

output = together(
    option(
        "-f",
        "--format",
        "form",
        type=click.Choice(FORMATS),
        default="table",
        show_default=True,
        help="Form of the result on stdout.",
    ),
    option("-q", "--quiet", is_flag=True, help="No progress, no summary."),
    option("-v", "--verbose", is_flag=True, help="Tell every table and rule on stderr."),
    option("--no-progress", is_flag=True, help="No progress on stderr."),
    option("--no-color", is_flag=True, help="No colours on a terminal."),
)

as_of = option(
    "--as-of",
    metavar="TIMESTAMP",
    callback=lambda _c, _p, value: moment(value),
    help="Judge as of this moment, e.g. 2026-11-22T06:00:00Z.",
)


def moment(text: str | None) -> datetime | None:
    """Read a timestamp; one without a zone is UTC.

    Raises:
        UsageError: it is none, or of a year that no audit is as of.
    """
    if text is None:
        return None
    try:
        written = datetime.fromisoformat(text.strip())
        found = (written if written.tzinfo else written.replace(tzinfo=UTC)).astimezone(UTC).replace(microsecond=0)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"--as-of {text[:40]}: not a timestamp", "write 2026-11-22T06:00:00Z") from error
    if not FIRST_YEAR <= found.year <= LAST_YEAR:
        said = f"--as-of {text[:40]}: no audit is as of a year before {FIRST_YEAR} or after {LAST_YEAR}"
        raise UsageError(said, "write 2026-11-22T06:00:00Z")
    return found


def listed(values: tuple[str, ...]) -> tuple[str, ...]:
    """Take comma-separated and repeated values alike."""
    return tuple(part.strip() for value in values for part in value.split(",") if part.strip())
