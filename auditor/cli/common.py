"""Steps that several commands take: from parsed options to the pipeline's words."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from auditor.bundle import shown
from auditor.cli.options import listed
from auditor.errors import ExitCode, UsageError, without_secrets

if TYPE_CHECKING:
    from collections.abc import Container

    from auditor.azure import Cloud
    from auditor.collect import Scope
    from auditor.model import Results
    from auditor.pipeline import Settings
    from auditor.report.view import Presentation
    from auditor.rulebook import Rulebook
    from auditor.signing.pades import Signing

_MOST_DIGITS = 9
"""Of a number of subscriptions; what is longer is taken for a file, which it most likely is not either."""
_COMMENTED_ID = re.compile(r"([0-9A-Fa-f-]{36})\s*#.*")


def scope_of(options: dict[str, Any]) -> Scope:
    """Read the scope options."""
    from auditor.collect import Scope  # noqa: PLC0415 - see auditor.cli: commands import when they run

    return Scope(
        subscriptions=options["subscription"],
        management_groups=options["management_group"],
        tenant=options["tenant"].lower() if options["tenant"] else None,
        exclude_subscriptions=options["exclude_subscription"],
        expect_subscriptions=_expected(options["expect_subscriptions"]),
        recovery_points=options["recovery_points"],
    )


def _expected(text: str | None) -> tuple[str, ...] | int | None:
    if text is None:
        return None
    if text.isdecimal() and len(text) <= _MOST_DIGITS:
        return int(text)
    option = f"--expect-subscriptions {shown(text)}"
    try:
        lines = Path(text).read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise UsageError(f"{option}: cannot be read: {error.strerror}", "name a text file or give a number") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{option}: is not UTF-8 text", "save it as UTF-8") from error
    # A display name may hold a `#`; behind an id it begins a comment.
    named = (_COMMENTED_ID.sub(r"\1", line.strip()) for line in lines)
    names = tuple(name for name in named if name and not name.startswith("#"))
    if not names:
        raise UsageError(f"{option}: names no subscription", "write one id or name on each line, or leave it out")
    return names


def bundle_and(what: str, words: tuple[str, ...]) -> tuple[str, str]:
    """Read `[BUNDLE] WHAT`: a bundle, `latest` by default, and what is asked of it."""
    if len(words) > 2:  # noqa: PLR2004 - bundle and the other
        raise UsageError(
            f"{len(words)} words are given, BUNDLE and {what} are two", "put names with blanks into quotes"
        )
    reference, other = ("latest", words[0]) if len(words) == 1 else words
    return reference, other


def files_read(options: dict[str, Any]) -> list[object]:
    """Give the files that the options name as inputs; None for those not given."""
    names = (
        "standard", "waivers", "responses", "config", "expect_subscriptions", "redact_key", "sign",
        "sign_password_file",
    )  # fmt: skip
    rules = (path for folder in options.get("rules") or () for path in Path(folder).rglob("*.yaml"))
    return [*(options.get(name) for name in names), *rules]


def allowed_gaps(values: tuple[str, ...]) -> tuple[str, ...]:
    """Read --allow-incomplete: names of tables, each perhaps with `:subscription`.

    Raises:
        UsageError: there is no such table.
    """
    from auditor.document import did_you_mean  # noqa: PLC0415
    from auditor.inventory import catalogue  # noqa: PLC0415

    known = {table.name for table in catalogue.tables()}
    names = tuple(name.lower() for name in listed(values))
    for name in names:
        table = name.partition(":")[0]
        if table not in known:
            raise UsageError(f"--allow-incomplete {name}: no such table", did_you_mean(table, known))
    return names


def cloud_of(options: dict[str, Any]) -> Cloud:
    """Read the cloud options."""
    from auditor.azure import cloud  # noqa: PLC0415

    return cloud(options["cloud"], options["arm_endpoint"], options["authority"], options["audience"])


def presentation_of(options: dict[str, Any], wanted: Container[str], book: Rulebook, store: Path) -> Presentation:
    """Read how reports are to look.

    Args:
        options: as parsed.
        wanted: the kinds of report.
        book: the rules, which name frameworks.
        store: where the key of pseudonyms is, unless another is named.

    Raises:
        UsageError: there are no texts in the language, the user's templates are not sound, no rule names the framework,
            or something is asked for that no report is made with.
    """
    from auditor import reporting  # noqa: PLC0415 - see auditor.cli: commands import when they run
    from auditor.report import redact, templates  # noqa: PLC0415
    from auditor.report.view import Presentation  # noqa: PLC0415

    found = templates.opened(options["templates"])
    found.texts(options["language"])
    key: Path | None = options["redact_key"]
    if key is not None and not options["redact"]:
        raise UsageError(f"--redact-key {shown(key)}: nothing is redacted", "add --redact, or leave it out")
    for name in ("framework", "pdf_all"):
        if _typed(name) and "pdf" not in wanted:
            said = f"--{name.replace('_', '-')} is for the PDF, and none is made"
            raise UsageError(said, "add --report pdf, or leave it out")
    return Presentation(
        all_rows=options["all_rows"],
        pdf_all=options["pdf_all"],
        language=options["language"],
        templates=found,
        framework=reporting.framework(options["framework"], book),
        redact_key=redact.read_key(key or store / redact.KEY_NAME) if options["redact"] else None,
    )


def _typed(name: str) -> bool:
    """Tell whether an option stands on the command line: configuration and variables may speak of other reports too."""
    source = click.get_current_context().get_parameter_source(name)
    return source is click.core.ParameterSource.COMMANDLINE


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
        allow_incomplete=allowed_gaps(options.get("allow_incomplete") or ()),
        exit_zero=bool(options.get("exit_zero")),
        command=told,
    )


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value if isinstance(value, int | float | bool) else without_secrets(str(value))


def signing_of(options: dict[str, Any], wanted: Container[str]) -> Signing | None:
    """Read who signs the PDF, and make sure that they can; None where nobody does.

    Raises:
        UsageError: the options contradict each other, or the key can't be used.
        NoRunError: a vault or a timestamp service does not answer.
    """
    file, vault, timestamp = options["sign"], options["sign_key_vault"], options["timestamp"]
    if not (file or vault):
        for name in ("timestamp", "sign_password_file"):
            if options[name]:
                said = f"--{name.replace('_', '-')} is given, and nothing signs"
                raise UsageError(said, "give --sign or --sign-key-vault too, or leave it out")
        return None
    if file and vault:
        raise UsageError("--sign and --sign-key-vault are two signers", "leave one of them out")
    if vault and options["sign_password_file"]:
        raise UsageError("--sign-password-file is for --sign; a vault has no password", "leave it out")
    if "pdf" not in wanted:
        raise UsageError("a signature is asked for, and no PDF that it would be in", "add --report pdf, or do not sign")
    from auditor.signing import pades, pkcs12  # noqa: PLC0415 - costs 0.3 s that others need not pay

    if file:
        return pades.Signing(pkcs12.FileKey(Path(file), _password(options["sign_password_file"])), timestamp or "")
    from auditor.azure import keyvault  # noqa: PLC0415

    return pades.Signing(keyvault.VaultKey(vault, options.get("tenant")), timestamp or "")


def _password(file: str | None) -> str | None:
    """Read the password of a key; never an option, which a list of processes would show and the manifest would keep."""
    if file is None:
        return os.environ.get("AUDITOR_SIGN_PASSWORD")
    try:
        return Path(file).read_text(encoding="utf-8-sig").partition("\n")[0].rstrip("\r")
    except OSError as error:
        said = f"--sign-password-file {shown(file)}: cannot be read: {error.strerror}"
        raise UsageError(said, "name a text file with the password on its first line") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"--sign-password-file {shown(file)}: is not UTF-8 text", "save it as UTF-8") from error


def exit_code(results: Results, *, exit_zero: bool) -> int:
    """Give the process's code: the gate's, or 0 where the user forgives 1 and 3."""
    return int(ExitCode.OK) if exit_zero else results.gate.exit_code
