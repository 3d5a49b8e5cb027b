"""Signatures of report.pdf: a key from a file, PAdES around it, and the reading of what was signed.

A key may stand elsewhere too: whatever has a certificate and signs digests will do (`Key`); azure.keyvault has one.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from auditor.errors import UsageError, without_secrets
from auditor.model import Signer

if TYPE_CHECKING:
    from collections.abc import Sequence

SMALLEST_RSA = 2048
"""Bits; what is smaller is not accepted by those who verify."""
_CURVES = {"secp256r1": "sha256", "secp384r1": "sha384", "secp521r1": "sha512"}
HASHES: dict[str, type[hashes.SHA256 | hashes.SHA384 | hashes.SHA512]] = {
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}


class Key(Protocol):
    """A private key that signs, wherever it is kept."""

    @property
    def place(self) -> str:
        """What the user calls it, for errors."""

    @property
    def certificate(self) -> x509.Certificate:
        """Certificate of the key."""

    @property
    def others(self) -> Sequence[x509.Certificate]:
        """Certificates that came with it, in no order."""

    def sign(self, digest: bytes, algorithm: str) -> bytes:
        """Sign a digest; RSA by PKCS #1 v1.5, elliptic curves as DER.

        Args:
            digest: of what is signed.
            algorithm: that made it: sha256, sha384 or sha512.

        Raises:
            UsageError: the key must not sign.
            NoRunError: its keeper can't be reached.
        """


def algorithm_of(key: Key) -> str:
    """Name the digest that a key of its kind signs.

    Raises:
        UsageError: those who verify would not take a signature of that kind.
    """
    public = key.certificate.public_key()
    if isinstance(public, rsa.RSAPublicKey) and public.key_size >= SMALLEST_RSA:
        return "sha256"
    if isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name in _CURVES:
        return _CURVES[public.curve.name]
    kind = type(public).__name__.removeprefix("_").removesuffix("PublicKey")
    bits = f" of {public.key_size} bits" if isinstance(public, rsa.RSAPublicKey) else ""
    said = f"{key.place}: a key of the kind {kind}{bits} can't sign a report"
    raise UsageError(said, f"use RSA of {SMALLEST_RSA} bits or more, or the curve P-256, P-384 or P-521")


def demand_usable(key: Key, now: datetime | None = None) -> None:
    """Make sure that a signature by this key would be taken.

    Raises:
        UsageError: its certificate is not valid now, or is for something else.
    """
    moment = now or datetime.now(UTC)
    it = key.certificate
    if moment > it.not_valid_after_utc:
        said = f"{key.place}: its certificate expired on {it.not_valid_after_utc:%Y-%m-%d}"
        raise UsageError(said, "renew the certificate, or sign by another key")
    if moment < it.not_valid_before_utc:
        said = f"{key.place}: its certificate is not valid before {it.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        raise UsageError(said, "wait for that, or look at this machine's clock")
    try:
        usage = it.extensions.get_extension_for_class(x509.KeyUsage).value
    except (x509.ExtensionNotFound, ValueError):
        return  # a certificate that names no usage is for all
    if not (usage.digital_signature or usage.content_commitment):
        said = f"{key.place}: its certificate is not for signatures (keyUsage)"
        raise UsageError(said, "use a certificate with digitalSignature or nonRepudiation")


def prove(key: Key) -> None:
    """Sign something without meaning, and verify it by the certificate.

    Raises:
        UsageError: the key does not belong to its certificate, or must not sign.
        NoRunError: its keeper can't be reached.
    """
    algorithm = algorithm_of(key)
    made = HASHES[algorithm]()
    hasher = hashes.Hash(made)
    hasher.update(b"azure-backup-auditor: can this key sign?")
    digest = hasher.finalize()
    signature, public = key.sign(digest, algorithm), key.certificate.public_key()
    try:
        if isinstance(public, rsa.RSAPublicKey):
            public.verify(signature, digest, padding.PKCS1v15(), Prehashed(made))
        elif isinstance(public, ec.EllipticCurvePublicKey):
            public.verify(signature, digest, ec.ECDSA(Prehashed(made)))
    except InvalidSignature as error:
        raise UsageError(f"{key.place}: the key and its certificate do not belong together", "name a pair") from error


def chain(key: Key) -> list[x509.Certificate]:
    """Give the certificates between the key's own and the last issuer that is at hand, in that order."""
    found: list[x509.Certificate] = []
    last = key.certificate
    while last.issuer != last.subject:
        above = next((it for it in key.others if it not in found and issued(last, it)), None)
        if above is None:
            break
        found.append(above)
        last = above
    return found


def issued(below: x509.Certificate, above: x509.Certificate) -> bool:
    """Tell whether the second certificate signed the first."""
    try:
        below.verify_directly_issued_by(above)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def describe(certificate: x509.Certificate, timestamp: str = "") -> Signer:
    """Say in words whose certificate it is."""
    return Signer(
        certificate.subject.rfc4514_string(),
        certificate.issuer.rfc4514_string(),
        f"{certificate.serial_number:x}",
        certificate.fingerprint(hashes.SHA256()).hex(),
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
        without_secrets(timestamp),
    )
