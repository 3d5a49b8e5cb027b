"""What `auditor verify` proves of a bundle, a store, or a report that somebody was handed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditor import bundle, inputs, pipeline
from auditor.bundle import Bundle
from auditor.engine import damaged
from auditor.engine.compare import differences
from auditor.errors import BundleError, UsageError
from auditor.model import Checked
from auditor.pipeline import silent
from auditor.report import enclosed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from cryptography import x509

    from auditor.pipeline import Tell


def verify_bundle(found: Bundle, tell: Tell = silent) -> Iterator[Checked]:
    """Check a bundle."""
    tell("verify", "files")
    damage = found.damage()
    yield Checked("every file is the one that was sealed", tuple(damage))
    yield Checked("the run before it in the store is the one it was chained to", tuple(found.broken_chain()))
    yield Checked("the reports are those that were made", tuple(found.changed_reports()))
    if damage:
        return  # what was changed proves nothing by being judged again
    tell("verify", "verdicts")
    again = pipeline.evaluate_again(found, inputs.of_bundle(found), tell=tell)
    with damaged.reading(found):
        wrong = differences(found.folder / "findings", again)
    yield Checked("the verdicts follow from the evidence", tuple(wrong))


def verify_store(store: Path, tell: Tell = silent) -> Iterator[tuple[str, Checked]]:
    """Check every run of a store, and that none is gone from between them; give each check with the run's folder."""
    found = []
    for folder in bundle.runs(store):
        try:
            found.append(Bundle(folder))
        except BundleError as error:
            yield folder.name, Checked("its manifest can be read", (error.message,))
            continue
        try:
            for checked in verify_bundle(found[-1], tell):
                yield folder.name, checked
        except UsageError as error:  # of one run; the others are looked at all the same
            yield folder.name, Checked("it can be judged again", (error.message,))
    yield store.name, Checked("no run is gone from the chain", tuple(bundle.lost(found)))


def verify_pdf(
    pdf: bytes, store: Path, trusted: Sequence[x509.Certificate] | None = None, *, demanded: bool = False
) -> Iterator[Checked]:
    """Check a report that somebody was handed.

    Args:
        pdf: the file.
        store: where its run is looked for.
        trusted: certificates that may sign; None for no list.
        demanded: whether a report without a signature is wrong.
    """
    from auditor.signing import reading  # noqa: PLC0415 - pyHanko costs 0.3 s that others need not pay

    signature = list(reading.check(pdf, trusted, demanded=demanded))
    yield from signature
    inside, origin = enclosed.check(pdf)
    yield inside
    if origin is None:
        return
    what = f"the run is {origin.run}, manifest sha256 {origin.manifest_digest}"
    try:
        found = Bundle(store / f"run={origin.run}")
    except BundleError:
        yield Checked(
            what, notes=(f"that run is not in {bundle.shown(store)} (--store): it was compared with nothing",)
        )
        return
    same = found.manifest_digest == origin.manifest_digest
    yield Checked(what, () if same else (f"the manifest of {found.folder} has sha256 {found.manifest_digest}",))
    signer = "" if any(it.wrong for it in signature) else reading.fingerprint(pdf)
    yield _as_listed(found, pdf, signer)


def _as_listed(found: Bundle, pdf: bytes, signer: str) -> Checked:
    """Hold a report against the lists of those that were made of a run.

    One that was signed more than once is still the same report: its bytes before the signature are listed too. That
    they are followed by a signature proves nothing unless it is of the signer who is listed with them.
    """
    what = "it is the report that was made of that run"
    folders = [found.folder / "reports", *sorted(found.folder.glob("evaluations/*/reports"))]
    listed = [(key, it) for folder in folders for key, it in bundle.reports_of(folder).items()]
    entries = [it for key, it in listed if key.partition("=")[0] == "pdf" and isinstance(it, dict)]
    if not entries:
        return Checked(what, notes=("no list of reports is in the bundle: it was compared with nothing",))
    for entry in entries:
        if entry.get("sha256") == bundle.digest_of_bytes(pdf):
            return Checked(what)
        unsigned = entry.get("unsigned")
        if isinstance(unsigned, dict) and signer and unsigned.get("signer") == signer:
            size = unsigned.get("size")
            if isinstance(size, int) and unsigned.get("sha256") == bundle.digest_of_bytes(pdf[:size]):
                return Checked(what, notes=("signed again by the same signer since",))
    known = ", ".join(sorted({str(entry.get("sha256")) for entry in entries}))
    wrong = f"reports/index.json lists sha256 {known}: this file was changed, or another was made since"
    return Checked(what, (wrong,))
