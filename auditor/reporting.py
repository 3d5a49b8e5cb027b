"""The reports of a run: which are wanted, what they need, and how they are written, signed and listed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor import bundle
from auditor.bundle import to_json, write_atomically
from auditor.document import did_you_mean
from auditor.errors import AuditorError, UsageError
from auditor.pipeline import silent
from auditor.report import formats, view

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from auditor.model import Results
    from auditor.pipeline import Tell
    from auditor.report.view import Presentation
    from auditor.rulebook import Rulebook
    from auditor.signing.pades import Signing

DEFAULT_REPORTS = ("html", "pdf", "json")
SIGNED = "pdf"
"""The kind of report that can be signed."""


def wanted_reports(asked: Sequence[str], read: Sequence[object] = ()) -> dict[str, Path | None]:
    """Read `--report KIND[=PATH]`: kind -> path, None for its place in the bundle; ("",) asks for none.

    Args:
        asked: the option's texts.
        read: files and folders that the run reads, which no report may replace; None for one that is not given.

    Raises:
        UsageError: an unknown kind, one that can't be made here, one in two places, or a path that can't be written.
    """
    wanted: dict[str, Path | None] = {}
    for text in asked or DEFAULT_REPORTS:
        kind, given, path = text.partition("=")
        if given and not (kind and path):
            # A variable that CI left empty must not put a report where nobody looks for it, or make none.
            raise UsageError(f"--report {bundle.shown(text)}: names no {'file' if kind else 'kind'}", "write KIND=PATH")
        if "://" in path:
            raise UsageError(f"--report {bundle.shown(text)}: a URL is no file", "write it here, then upload it")
        if kind:
            formats.find(kind).check()
            place = Path(path) if path else None
            if wanted.get(kind, place) != place:
                said = f"--report {kind} is asked for in two places"
                raise UsageError(said, "leave one of them out, and copy the file")
            wanted[kind] = place
    targets = [target for target in wanted.values() if target is not None]
    for target in targets:
        bundle.demand_writable(target)
        for source in (Path(str(it)).resolve() for it in read if it is not None):
            if target.resolve() == source or source in target.resolve().parents:
                raise UsageError(f"--report …={target}: would replace an input of this run", "name another file")
        if targets.count(target) > 1:
            raise UsageError(f"--report …={target}: two reports cannot be one file", "give each its own")
    return wanted


def needs_passes(wanted: Mapping[str, Path | None], how: Presentation) -> bool:
    """Say whether a report that is wanted names what passes one by one."""
    return bool(wanted) and (how.all_rows or any(formats.find(kind).needs_passes for kind in wanted))


def framework(name: str | None, book: Rulebook) -> str | None:
    """Give the key of the framework that is called `name`, or begins like it where only one does.

    Raises:
        UsageError: no rule of the book names such a framework, or several begin so.
    """
    if name is None:
        return None
    known = {key for rule in book.rules for key in rule.file.controls if key in book.frameworks}
    wanted = name.strip().casefold().replace("-", "_")
    near = [wanted] if wanted in known else sorted(key for key in known if key.startswith(wanted))
    if len(near) == 1:
        return near[0]
    said = f"--framework {bundle.shown(name)}: no rule of this run names a framework that is called so"
    raise UsageError(said, f"did you mean one of {', '.join(near)}?" if near else did_you_mean(wanted, known))


def write(
    made: Results,
    folder: Path,
    wanted: Mapping[str, Path | None],
    how: Presentation = view.PLAIN,
    tell: Tell = silent,
    *,
    signing: Signing | None = None,
) -> dict[str, Path]:
    """Write the reports and their index; give kind -> path.

    Raises:
        UsageError: a place can't be written, or the signer's certificate has expired.
        NoRunError: who signs does not answer; every other report is written, and no PDF that is not signed.
    """
    if not wanted:
        return {}
    shown = view.build(made, replace(how, signer=signing.about) if signing else how)
    written: dict[str, Path] = {}
    index = bundle.reports_of(folder)
    try:
        # What is signed comes last: a signature that can't be had takes no other report with it.
        for kind, path in sorted(wanted.items(), key=lambda it: signing is not None and it[0] == SIGNED):
            tell("report", kind)
            form = formats.find(kind)
            if said := form.notice(shown):
                tell("note", said)
            place = path or folder / form.default_name
            body = form.render(shown)
            unsigned = {}
            if signing is not None and kind == SIGNED:
                unsigned = {"unsigned": _digested(body) | {"signer": signing.about.fingerprint}}
                body = _signed(signing, body, made.run.id)
            write_atomically(place, body)
            written[kind] = place
            # Beside the report in the bundle stand those that were put elsewhere: whoever has one can verify it.
            key, name = (kind, place.name) if path is None else (f"{kind}={path.resolve()}", str(path.resolve()))
            index[key] = {"path": name, **_digested(body), **unsigned}
    finally:
        if written:
            listed = to_json({"manifest_digest": made.run.manifest_digest, "reports": index})
            write_atomically(folder / "index.json", listed)
    return written


def _digested(body: bytes) -> dict[str, Any]:
    return {"size": len(body), "sha256": bundle.digest_of_bytes(body)}


def _signed(signing: Signing, body: bytes, run: str) -> bytes:
    try:
        return signing.sign(body)
    except AuditorError as error:
        said = f"report.pdf is not written, for it could not be signed: {error.message}"
        again = f"run {run} is sealed and its other reports are written; `auditor report {run}` makes this one. "
        raise type(error)(said, again + error.hint) from error
