"""What a signature in a PDF proves: that it is whole, that it covers all, whose it is and when it was made."""

from __future__ import annotations

import asyncio
import hashlib
import io
import itertools
import logging
import re
from typing import TYPE_CHECKING, Any

from asn1crypto import cms, parser
from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.general import check_ess_certid
from pyhanko.sign.validation import async_validate_pdf_signature
from pyhanko.sign.validation.generic_cms import get_signing_cert_attr
from pyhanko.sign.validation.settings import KeyUsageConstraints
from pyhanko.sign.validation.status import SignatureCoverageLevel
from pyhanko_certvalidator import ValidationContext

from auditor import signing
from auditor.errors import UsageError
from auditor.model import Checked
from auditor.signing.pades import REASON_STAMPED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

_STRANGER = "no certificate of the list stands behind it, or it is not for signing"
_USES = KeyUsageConstraints(key_usage={"digital_signature", "non_repudiation"})
"""One of them is enough, as for other readers: certificates of Key Vault have the first alone."""


def read_trusted(path: Path) -> list[x509.Certificate]:
    """Read a list of certificates (PEM) whose word is taken.

    Raises:
        UsageError: it can't be read, or holds none.
    """
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise UsageError(f"--trust {path}: cannot be read: {error.strerror}", "name a PEM file") from error
    except ValueError as error:
        said = f"--trust {path}: holds no certificates"
        raise UsageError(said, "name a PEM file with BEGIN CERTIFICATE in it") from error
    return found


def check(
    pdf: bytes, trusted: Sequence[x509.Certificate] | None = None, *, demanded: bool = False
) -> Iterator[Checked]:
    """Check the signature in a PDF.

    Args:
        pdf: the file.
        trusted: certificates whose word is taken; None for no list, which leaves open whose the signature is.
        demanded: whether a file without a signature is wrong.
    """
    logging.getLogger("pyhanko").setLevel(logging.CRITICAL)  # what it warns of is told here, in our words
    try:
        reader = PdfFileReader(io.BytesIO(pdf))
        found = list(reader.embedded_regular_signatures)
        if not found:
            yield _unsigned(pdf, demanded=demanded)
            return
        told = [*itertools.chain.from_iterable(_signature(pdf, it, trusted) for it in found)]
    except Exception as error:  # noqa: BLE001 - bytes of a stranger: whatever a parser stumbles over is damage
        said = (str(error).splitlines() or [""])[0]
        told = [Checked("the signature can be read", (f"it cannot: {said or type(error).__name__}",))]
    yield from told


def fingerprint(pdf: bytes) -> str:
    """Give the SHA-256 of the certificate that signed a file whose signature was checked; "" where there is none."""
    found = list(PdfFileReader(io.BytesIO(pdf)).embedded_regular_signatures)
    return hashlib.sha256(found[0].signer_cert.dump()).hexdigest() if len(found) == 1 else ""


def _unsigned(pdf: bytes, *, demanded: bool) -> Checked:
    if b"/ByteRange" in pdf:
        return Checked("the signature can be read", ("the file has one, but does not lead to it any more",))
    if demanded:
        return Checked("the file is signed", ("it is not",))
    return Checked("the file is not digitally signed", notes=("whoever can write it can change it",))


def _signature(pdf: bytes, it: Any, trusted: Sequence[x509.Certificate] | None) -> Iterator[Checked]:
    status = _validated(it, trusted)
    yield Checked("the signature is that of the certificate in it, over what is signed", _broken(status))
    whole = it.coverage == SignatureCoverageLevel.ENTIRE_FILE
    yield Checked("it covers the whole file", () if whole else ("bytes were added after it was signed",))
    changed = status.modification_level is not None and status.modification_level.name != "NONE"
    wrong = ("something was changed that the signature forbids to change",) if changed or not status.docmdp_ok else ()
    yield Checked("nothing was changed since", wrong)
    yield Checked("nothing stands beside it that it does not cover", tuple(_loose(pdf, it)))
    yield _time(it, status)
    yield _whose(it, status, trusted)


def _validated(it: Any, trusted: Sequence[x509.Certificate] | None) -> Any:
    """Validate by the list; certificates are held against the time that a listed timestamp tells, else against now."""
    first = asyncio.run(async_validate_pdf_signature(it, _context(trusted), key_usage_settings=_USES))
    stamp = first.timestamp_validity
    if stamp is None or not (stamp.valid and stamp.intact and stamp.trusted):
        return first
    at = _context(trusted, stamp.timestamp)
    return asyncio.run(async_validate_pdf_signature(it, at, _context(trusted), key_usage_settings=_USES))


def _context(trusted: Sequence[x509.Certificate] | None, moment: datetime | None = None) -> ValidationContext:
    roots = [asn1.Certificate.load(it.public_bytes(Encoding.DER)) for it in trusted or ()]
    return ValidationContext(trust_roots=roots, moment=moment, allow_fetching=False)


def _broken(status: Any) -> tuple[str, ...]:
    if not status.intact:
        return ("the file is not what was signed",)
    return () if status.valid else ("the signature does not belong to the certificate",)


def _time(it: Any, status: Any) -> Checked:
    stamp = status.timestamp_validity
    if stamp is None:
        promised = str(it.sig_object.get("/Reason", "")) == REASON_STAMPED
        wrong = ("what is signed says that there is one: it was taken away",) if promised else ()
        said = f"signed at {_moment(it.self_reported_timestamp)} by the signer's own clock, no timestamp"
        return Checked("a timestamp is there where one was made" if promised else said, wrong)
    by = stamp.signing_cert.subject.human_friendly
    if not (stamp.valid and stamp.intact):
        return Checked("the timestamp holds", (f"it does not: {by} did not sign this",))
    notes = () if stamp.trusted else ("who made it is not in a list of trusted certificates",)
    return Checked(f"signed at {_moment(stamp.timestamp)} by the timestamp of {by}", notes=notes)


def _whose(it: Any, status: Any, trusted: Sequence[x509.Certificate] | None) -> Checked:
    about = signing.describe(x509.load_der_x509_certificate(it.signer_cert.dump()))
    notes = [
        f"issued by {about.issuer}, serial {about.serial}",
        f"valid {about.not_before:%Y-%m-%d} to {about.not_after:%Y-%m-%d}",
        f"certificate sha256 {about.fingerprint}",
    ]
    what = f"the signer is {about.subject}"
    if trusted is None:
        notes.append("no list of trusted certificates was given (--trust): anyone can make a certificate of that name")
        return Checked(what, notes=tuple(notes))
    if status.trusted:
        notes.append("a revocation was not looked for: verifying asks nobody")
        return Checked(what, notes=tuple(notes))
    return Checked(what, (f"not by the list of --trust: {_distrust(status)}",), tuple(notes))


def _distrust(status: Any) -> str:
    reasons = {
        "OUT_OF_BOUNDS_NO_POE": "the certificate is not valid now, and no timestamp of the list says when it signed",
        "OUT_OF_BOUNDS_NOT_REVOKED": "the certificate was not valid when it signed",
        "REVOKED_NO_POE": "the certificate was revoked",
    }
    return reasons.get(getattr(status.trust_problem_indic, "name", ""), _STRANGER)


def _loose(pdf: bytes, it: Any) -> Iterator[str]:
    """Find what was changed where the signature does not reach: in its own wrapping, and in what fills its place."""
    start, end = it.byte_range[1], it.byte_range[2]
    hexed = pdf[start:end]
    if not re.fullmatch(rb"<(?:[0-9a-f]*|[0-9A-F]*)>", hexed):
        yield "the signature is not written as one run of digits"
        return
    body = bytes.fromhex(hexed[1:-1].decode())
    info = cms.ContentInfo.load(body)
    der = info.dump()
    if body[len(der) :].strip(b"\0"):
        yield "something is written behind the signature"
    if not _regular(der):
        yield "the signature is not written by the distinguished encoding rules"
    yield from _loose_parts(info, "data")


def _regular(body: bytes) -> bool:
    """Tell whether bytes are DER throughout, whose every length has one way to be written."""
    while body:
        class_, method, tag, header, content, trailer = parser.parse(body)
        size = len(header) + len(content) + len(trailer)
        if (class_, tag) == (0, 0) or parser.emit(class_, method, tag, content) != body[:size]:
            return False
        if method and not _regular(content):
            return False
        body = body[size:]
    return True


def _loose_parts(info: cms.ContentInfo, kind: str) -> Iterator[str]:
    data = info["content"]
    it = data["signer_infos"][0]
    listed = get_signing_cert_attr(it["signed_attrs"])
    held = [choice.chosen for choice in data["certificates"]]
    yield from _unproved(held, listed["certs"] if listed is not None else [])
    digest = it["digest_algorithm"]
    expected = {
        "its version": (data["version"].native, {"v1", "v3"}),
        "its list of digests": ([one.dump() for one in data["digest_algorithms"]], [[digest.dump()]]),
        "what it says that it is of": (data["encap_content_info"]["content_type"].native, {kind}),
        "its signer's version": (it["version"].native, {"v1", "v3"}),
        "its number of signers": (len(data["signer_infos"]), {1}),
        "the parameters of its digest": (digest["parameters"].native, [None, {}]),
    }
    yield from (f"{name} was changed" for name, (value, right) in expected.items() if value not in right)
    if data["crls"]:
        yield "revocation lists were put beside it"
    for attribute in it["unsigned_attrs"] or ():
        if attribute["type"].native != "signature_time_stamp_token":
            yield "an attribute was put beside it"
        else:
            for token in attribute["values"]:
                yield from (f"timestamp: {said}" for said in _loose_parts(token, "tst_info"))


def _unproved(held: Iterable[Any], listed: Sequence[Any]) -> Iterator[str]:
    """Find certificates that neither the signature nor a certificate beside them answers for."""
    certificates = list(held)
    known = [x509.load_der_x509_certificate(it.dump()) for it in certificates]
    for it, own in zip(certificates, known, strict=True):
        if it["signature_value"].contents[:1] != b"\0":  # bits that count for nothing; a signature has none
            yield f"the certificate of {own.subject.rfc4514_string()} is written otherwise than it was issued"
        if any(check_ess_certid(it, one) for one in listed):
            continue
        if not any(own.issuer == above.subject and signing.issued(own, above) for above in known):
            yield f"the certificate of {own.subject.rfc4514_string()} is answered for by nothing in the file"


def _moment(value: datetime | None) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S %Z}" if value else "a time that it does not tell"
