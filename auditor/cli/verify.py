"""`auditor verify`: is a bundle, a store or a report what was made, and do verdicts follow from their evidence."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from auditor.cli import options as opt
from auditor.cli.terminal import printable
from auditor.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from auditor.model import Checked

_MARK = b"%PDF-"
_END = b"%%EOF"
_NEAR = 1024
"""Bytes in which a reader looks for the marks of a PDF, at its beginning and at its end."""


@click.command("verify")
@click.argument("what", metavar="BUNDLE|STORE|PDF")
@opt.config
@opt.store
@opt.option(
    "--trust", type=click.Path(path_type=Path), help="Certificates (PEM) whose word is taken for a PDF's signature."
)
@opt.option("--require-signature", is_flag=True, help="A PDF that is not signed fails.")
@opt.output
def command(what: str, **options: Any) -> int:
    """Verify a bundle (a folder, a run name, or `latest`), a store of them, or a report.pdf; offline.

    Of a bundle it compares every file with the manifest, the manifest with the run before it in the store, and the
    sealed verdicts with verdicts computed anew from the evidence. Of a PDF it checks the signature, what is enclosed,
    and the run in the store that it says it is of. Exits 1 where something differs.
    """
    from auditor import bundle as bundles  # noqa: PLC0415 - see auditor.cli: commands import when they run
    from auditor import verifying  # noqa: PLC0415
    from auditor.cli import show  # noqa: PLC0415

    path = Path(what)
    pdf = _pdf(path)
    if pdf is None and (options["trust"] or options["require_signature"]):
        raise UsageError("--trust and --require-signature are for a PDF", "leave them out, or name the report.pdf")
    with show.Progress.of(options) as progress:
        if pdf is not None:
            from auditor.signing import reading  # noqa: PLC0415

            trusted = reading.read_trusted(options["trust"]) if options["trust"] else None
            checks = verifying.verify_pdf(pdf, options["store"], trusted, demanded=options["require_signature"])
            return _tell((("", it) for it in checks), quiet=options["quiet"])
        if bundles.is_store(path):
            return _tell(verifying.verify_store(path, progress.tell), quiet=options["quiet"])
        found = bundles.find(what, options["store"], intact=False)
        code = _tell((("", it) for it in verifying.verify_bundle(found, progress.tell)), quiet=options["quiet"])
    if not options["quiet"]:
        click.echo(f"manifest sha256 {found.manifest_digest}")
    return code


def _tell(checks: Iterable[tuple[str, Checked]], *, quiet: bool) -> int:
    """Print each check, what is wrong, and what should be known; give the exit code."""
    problems = 0
    heading = ""
    for name, it in checks:
        problems += len(it.wrong)
        if name != heading and (it.wrong or not quiet):
            click.echo(printable(name))
            heading = name
        if not quiet:
            click.echo(printable(f"{'FAIL' if it.wrong else 'ok  '} {it.what}"))
        for line in it.wrong + (() if quiet else it.notes):
            click.echo(printable(f"     {' '.join(line.split())}"))  # what a file says may not begin a line here
    return ExitCode.GATE if problems else ExitCode.OK


def _pdf(path: Path) -> bytes | None:
    """Read the file; None where it is none, so that it is looked for as a bundle.

    Raises:
        UsageError: it can't be read, or is no PDF.
    """
    try:
        if not path.is_file():
            return None
    except OSError:  # a name that no file can have
        return None
    try:
        body = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read: {error.strerror}", "name a report.pdf, a bundle or a store"
        ) from error
    # Either mark is enough: a file that lost one of them is a damaged PDF, and is told so.
    if _MARK not in body[:_NEAR] and _END not in body[-_NEAR:]:
        raise UsageError(f"{path}: is not a PDF", "name a report.pdf, a bundle or a store")
    return body
