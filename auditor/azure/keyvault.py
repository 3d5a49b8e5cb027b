"""A key in Azure Key Vault that signs reports: only digests leave this machine, and the key never leaves the vault."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.identity import DefaultAzureCredential
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from auditor.errors import NoRunError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

_AUTHORITIES = {
    ".vault.usgovcloudapi.net": "login.microsoftonline.us",
    ".vault.azure.cn": "login.chinacloudapi.cn",
}
"""Suffix of a vault's host -> where its clients sign in; elsewhere it is the public cloud, or AZURE_AUTHORITY_HOST."""
_BITS = {"sha256": "256", "sha384": "384", "sha512": "512"}
_FORBIDDEN = 403
_REMEDY = "name https://VAULT.vault.azure.net/keys/NAME, or …/certificates/NAME, with /VERSION or without"


class VaultKey:
    """The key of a certificate in a vault."""

    def __init__(self, url: str, tenant: str | None = None) -> None:
        """Read the certificate; what it costs is a GET.

        Args:
            url: id of the key or of the certificate, with a version or without (then the newest).
            tenant: to sign in to, where it is not the vault's own.

        Raises:
            UsageError: it names no key, or one that has no certificate or is denied.
            NoRunError: nobody could sign in, or the vault does not answer.
        """
        self.place = f"--sign-key-vault {url}"
        vault, name, version = self._parts(url)
        try:
            from azure.keyvault.certificates import CertificateClient  # noqa: PLC0415 - an extra
            from azure.keyvault.keys.crypto import CryptographyClient  # noqa: PLC0415
        except ModuleNotFoundError as error:
            said = f"{self.place}: needs {error.name}"
            raise UsageError(said, "pip install 'azure-backup-auditor[keyvault]'") from error
        host = urlsplit(vault).hostname or ""
        authority = next((it for suffix, it in _AUTHORITIES.items() if host.endswith(suffix)), None)
        told = {"authority": authority} if authority else {}
        try:
            credential = DefaultAzureCredential(
                exclude_interactive_browser_credential=True,
                additionally_allowed_tenants=[tenant] if tenant else [],
                **told,
            )
        except ValueError as error:
            raise UsageError(f"no sign-in can be prepared: {error}", "check AZURE_*") from error
        with self._answering():
            client = CertificateClient(vault, credential)
            found = client.get_certificate_version(name, version) if version else client.get_certificate(name)
            if not found.cer or not found.key_id:
                raise UsageError(
                    f"{self.place}: its certificate is not issued yet", "merge the issued certificate first"
                )
            self.certificate = x509.load_der_x509_certificate(bytes(found.cer))
            self._client = CryptographyClient(found.key_id, credential)
        self.others: tuple[x509.Certificate, ...] = ()
        """None: a vault gives the signer's own certificate alone."""

    def _parts(self, url: str) -> tuple[str, str, str]:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise UsageError(f"{self.place}: not the id of a key", _REMEDY) from error
        words = parts.path.strip("/").split("/")
        named = len(words) in (2, 3) and words[0] in ("keys", "certificates") and all(words)
        odd = parts.username is not None or parts.query or parts.fragment
        if parts.scheme != "https" or not parts.hostname or port == 0 or odd or not named:
            raise UsageError(f"{self.place}: not the id of a key", _REMEDY)
        return f"https://{parts.netloc}", words[1], words[2] if len(words) > 2 else ""  # noqa: PLR2004 - kind, name, version

    def sign(self, digest: bytes, algorithm: str) -> bytes:
        """Have the vault sign a digest: RS256, ES256, ES384 or ES512.

        Raises:
            UsageError: the key must not sign.
            NoRunError: the vault does not answer.
        """
        from azure.keyvault.keys.crypto import SignatureAlgorithm  # noqa: PLC0415

        curved = isinstance(self.certificate.public_key(), ec.EllipticCurvePublicKey)
        with self._answering():
            wanted = SignatureAlgorithm(f"{'ES' if curved else 'RS'}{_BITS[algorithm]}")
            made: bytes = self._client.sign(wanted, digest).signature
        if not curved:
            return made
        half = len(made) // 2  # the vault gives the two numbers one behind the other, certificates want them as DER
        return encode_dss_signature(int.from_bytes(made[:half]), int.from_bytes(made[half:]))

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except ClientAuthenticationError as error:
            remedy = "run `az login`, or give a managed or workload identity; see docs/permissions.md"
            raise NoRunError(f"{self.place}: could not sign in: {_first(error)}", remedy) from error
        except ResourceNotFoundError as error:
            said = f"{self.place}: the vault has no certificate of that name and version"
            raise UsageError(
                said, "a key alone can't sign a PDF: make a certificate in the vault, and name it"
            ) from error
        except HttpResponseError as error:
            if error.status_code == _FORBIDDEN:
                remedy = "give the identity Key Vault Certificate User and Key Vault Crypto User; look at its firewall"
                raise UsageError(f"{self.place}: denied: {_first(error)}", remedy) from error
            raise NoRunError(f"{self.place}: {_first(error)}", "try again later") from error
        except AzureError as error:
            raise NoRunError(
                f"{self.place}: no answer: {_first(error)}", "check the name of the vault, and the way to it"
            ) from error
        except ValueError as error:  # a key that is disabled, outdated or not for signing is refused by the SDK itself
            raise UsageError(f"{self.place}: {_first(error)}", "name a key of a vault that may sign now") from error


def _first(error: Any) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
