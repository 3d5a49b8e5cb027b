"""A key in a PKCS #12 file (.p12, .pfx), with the certificates beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import pkcs12

from auditor.errors import UsageError
from auditor.signing import HASHES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cryptography import x509
    from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12KeyAndCertificates

PASSWORD = "AUDITOR_SIGN_PASSWORD"  # noqa: S105 - the name of a variable
_MOST_BYTES = 1_000_000
"""Of a key file; a few certificates are far below."""


class FileKey:
    """The key of a file. Implements `signing.Key`."""

    def __init__(self, path: Path, password: str | None) -> None:
        """Open the file.

        Raises:
            UsageError: it can't be read or opened, or lacks the key or its certificate.
        """
        self.place = f"--sign {path}"
        found = self._open(path, password)
        if found.key is None:
            raise UsageError(f"{self.place}: holds no private key", "export the certificate together with its key")
        if found.cert is None:
            said = f"{self.place}: holds a private key without its certificate"
            raise UsageError(said, "export the key together with its certificate")
        if not isinstance(found.key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
            kind = type(found.key).__name__.removesuffix("PrivateKey")
            raise UsageError(
                f"{self.place}: a key of the kind {kind} can't sign a report", "use RSA or an elliptic curve"
            )
        self._key = found.key
        self.certificate: x509.Certificate = found.cert.certificate
        self.others: Sequence[x509.Certificate] = [it.certificate for it in found.additional_certs]

    def _open(self, path: Path, password: str | None) -> PKCS12KeyAndCertificates:
        try:
            with path.open("rb") as file:
                body = file.read(_MOST_BYTES)
        except OSError as error:
            said = f"{self.place}: cannot be read: {error.strerror}"
            raise UsageError(said, "name a PKCS #12 file (.p12, .pfx)") from error
        try:
            return pkcs12.load_pkcs12(body, password.encode() if password else None)
        except ValueError as error:
            # The library says of a wrong password and of no password alike that one of them is wrong.
            if "password" not in str(error).lower():
                raise UsageError(f"{self.place}: is not a PKCS #12 file", "export the key as .p12 or .pfx") from error
            said = "the password is wrong" if password else "a password is needed"
            remedy = f"set {PASSWORD}, or name a file with it by --sign-password-file"
            raise UsageError(f"{self.place}: {said}", remedy) from error
        except Exception as error:
            # Ciphers that OpenSSL was built without, and whatever its parsers stumble over.
            said = f"{self.place}: cannot be opened: {error}".splitlines()[0]
            raise UsageError(said, "export the key again, encrypted by AES-256") from error

    def sign(self, digest: bytes, algorithm: str) -> bytes:
        """Sign a digest."""
        made = Prehashed(HASHES[algorithm]())
        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(digest, padding.PKCS1v15(), made)
        return self._key.sign(digest, ec.ECDSA(made))
