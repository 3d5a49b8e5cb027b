"""PAdES around a report: an invisible signature by which nothing may change any more."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from asn1crypto import tsp, x509
from cryptography.hazmat.primitives.serialization import Encoding
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import attributes, fields, signers
from pyhanko.sign.general import as_signing_certificate_v2
from pyhanko.sign.timestamps import HTTPTimeStamper, TimestampRequestError
from pyhanko_certvalidator.registry import SimpleCertificateStore

from auditor import signing
from auditor.errors import NoRunError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from auditor.model import Signer

FIELD = "Report"
REASON = "The report as it was made"
REASON_STAMPED = "The report as it was made; a timestamp is enclosed"
"""A timestamp stands beside what is signed: taking it away would not show, did what is signed not speak of it."""
_TIMEOUT_SECONDS = 20
_MOST_SIGNATURE_BYTES = 1024
"""Of the signature alone: RSA of 8192 bits."""


class Signing:
    """Signs reports by one key, with a timestamp where a service is named."""

    def __init__(self, key: signing.Key, timestamp: str = "") -> None:
        """Make sure, before hours of collecting, that it can be done.

        Args:
            key: that signs.
            timestamp: URL of an RFC 3161 service; "" for none.

        Raises:
            UsageError: the key or its certificate can't be used, or the URL is none.
            NoRunError: the key's keeper or the service does not answer.
        """
        signing.algorithm_of(key)
        signing.demand_usable(key)
        signing.prove(key)
        self._key = key
        self.about: Signer = signing.describe(key.certificate, timestamp)
        self._stamper = HTTPTimeStamper(_address(timestamp), timeout=_TIMEOUT_SECONDS) if timestamp else None
        if self._stamper is not None:
            with _answering(timestamp):
                asyncio.run(self._stamper.async_dummy_response(signing.algorithm_of(key)))

    def sign(self, pdf: bytes) -> bytes:
        """Append the signature: the file begins with the bytes of the unsigned one.

        Raises:
            UsageError: the certificate is not valid any more, or the key must not sign.
            NoRunError: the key's keeper or the timestamp service does not answer.
        """
        signing.demand_usable(self._key)
        about = signers.PdfSignatureMetadata(
            field_name=FIELD,
            md_algorithm=signing.algorithm_of(self._key),
            subfilter=fields.SigSeedSubFilter.PADES,
            certify=True,
            docmdp_permissions=fields.MDPPerm.NO_CHANGES,
            reason=REASON_STAMPED if self._stamper else REASON,
        )
        signer = signers.PdfSigner(
            about,
            _Signer(self._key),
            timestamper=self._stamper,
            new_field_spec=fields.SigFieldSpec(FIELD),  # no box: what is drawn would break PDF/A and PDF/UA
        )
        made = io.BytesIO()
        with _answering(self.about.timestamp):
            signer.sign_pdf(IncrementalPdfFileWriter(io.BytesIO(pdf)), output=made)
        return made.getvalue()


@contextlib.contextmanager
def _answering(url: str) -> Iterator[None]:
    """Tell of a timestamp service that failed."""
    try:
        yield
    except (TimestampRequestError, OSError, ValueError, TypeError) as error:
        if not url:
            raise
        # What is no timestamp reply is refused by whichever parser meets it first.
        said = str(error.__cause__ or error).splitlines() or [type(error).__name__]
        remedy = "try again later, name another service, or leave --timestamp out: the signature holds without it"
        raise NoRunError(f"--timestamp {url}: no timestamp came back: {said[0]}", remedy) from error


def _address(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.username is not None:
        raise UsageError(f"--timestamp {url}: not the URL of a service", "write http://host/path or https://host/path")
    return url


class _Signer(signers.Signer):
    """Hands digests to a key; what pyHanko wants of a signer."""

    def __init__(self, key: signing.Key) -> None:
        self._key = key
        own, *above = (
            x509.Certificate.load(it.public_bytes(Encoding.DER)) for it in (key.certificate, *signing.chain(key))
        )
        store = SimpleCertificateStore.from_certs(above)
        super().__init__(signing_cert=own, cert_registry=store)
        self.signed_attr_prov_spec = _Attributes([own, *above])

    async def async_sign_raw(self, data: bytes, digest_algorithm: str, dry_run: bool = False) -> bytes:
        if dry_run:
            return bytes(_MOST_SIGNATURE_BYTES)
        return self._key.sign(hashlib.new(digest_algorithm, data).digest(), digest_algorithm)


class _Attributes(attributes.SignedAttributeProviderSpec):
    """What is signed beside the document: the digests of every certificate that is enclosed, not the signer's alone."""

    def __init__(self, certificates: list[Any]) -> None:
        self._certificates = certificates

    def signed_attr_providers(
        self,
        data_digest: bytes,  # noqa: ARG002 - pyHanko's signature
        digest_algorithm: str,  # noqa: ARG002 - pyHanko's signature
    ) -> Iterable[attributes.CMSAttributeProvider]:
        yield _Certificates(self._certificates)


class _Certificates(attributes.CMSAttributeProvider):
    attribute_type = "signing_certificate_v2"

    def __init__(self, certificates: list[Any]) -> None:
        self._certificates = certificates

    async def build_attr_value(self, dry_run: bool = False) -> Any:  # noqa: ARG002 - pyHanko's signature
        known = [as_signing_certificate_v2(it)["certs"][0] for it in self._certificates]
        return tsp.SigningCertificateV2({"certs": known})
