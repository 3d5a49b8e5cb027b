"""A certificate authority of this process, keys below it, and services that answer on this machine."""

from __future__ import annotations

import asyncio
import base64
import functools
import json
import socket
import ssl
import threading
import time
from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest
from asn1crypto import keys, tsp
from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pyhanko.sign.timestamps import DummyTimeStamper
from pyhanko_certvalidator.registry import SimpleCertificateStore

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

    PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

PASSWORD = "correct horse"
VAULT = "contoso.vault.azure.net"


@functools.cache
def rsa_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:  # noqa: ARG001 - one a name
    return rsa.generate_private_key(65537, bits)


@functools.cache
def curve_key(name: str) -> ec.EllipticCurvePrivateKey:  # noqa: ARG001 - one a name
    return ec.generate_private_key(ec.SECP256R1())


def named(name: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Contoso Ltd"), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    )


def certificate(
    name: str,
    key: PrivateKey,
    *,
    by: tuple[x509.Certificate, PrivateKey] | None = None,
    ca: bool = False,
    days: tuple[float, float] = (-1, 365),
    signs: bool = True,
    use: x509.ObjectIdentifier | None = None,
    host: str = "",
) -> x509.Certificate:
    """Make a certificate; its days are counted from today."""
    now = datetime.now(UTC)
    issuer, issuing = (by[0].subject, by[1]) if by else (named(name), key)
    made = (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days[0]))
        .not_valid_after(now + timedelta(days[1]))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=signs and not ca,
                content_commitment=False,
                key_encipherment=not signs,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=ca,
                crl_sign=ca,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    )
    if use is not None:
        made = made.add_extension(x509.ExtendedKeyUsage([use]), critical=True)
    if host:
        made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
    return made.sign(issuing, hashes.SHA256())


@functools.cache
def root() -> x509.Certificate:
    return certificate("Contoso Root", rsa_key("root"), ca=True)


@functools.cache
def issuing() -> x509.Certificate:
    return certificate("Contoso Issuing", rsa_key("issuing"), by=(root(), rsa_key("root")), ca=True)


@functools.cache
def leaf() -> x509.Certificate:
    return certificate("Internal Audit", rsa_key("leaf"), by=(issuing(), rsa_key("issuing")))


def p12(key: PrivateKey | None, own: x509.Certificate | None, *, password: str = PASSWORD, others: Any = None) -> bytes:
    return pkcs12.serialize_key_and_certificates(
        b"report", key, own, others, BestAvailableEncryption(password.encode()) if password else NoEncryption()
    )


def write_p12(path: Path, **changes: Any) -> Path:
    """Write the key of Internal Audit with the chain above it."""
    path.write_bytes(p12(rsa_key("leaf"), leaf(), others=[issuing(), root()], **changes))
    return path


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(it.public_bytes(Encoding.PEM) for it in certificates)


class Served(ABC):
    """An HTTP server of this machine, in a thread; what it answers is said by those below."""

    scheme = "http"

    def __init__(self) -> None:
        handler = type("Handler", (_Handler,), {"answer": lambda _, *words: self.answer(*words)})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.port = self._server.server_address[1]
        self.url = f"{self.scheme}://127.0.0.1:{self.port}"
        self.log: list[str] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @abstractmethod
    def answer(self, method: str, path: str, headers: Any, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Give status, headers and body."""


class _Handler(BaseHTTPRequestHandler):
    answer: Any

    def _reply(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, headers, said = self.answer(self.command, self.path, self.headers, body)
        self.send_response(status)
        for name, value in {"Content-Length": str(len(said)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(said)

    do_GET = do_POST = _reply  # noqa: N815 - http.server's names

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class TimestampService(Served):
    """An RFC 3161 service: pyHanko's own, over HTTP. After `answers` it fails, or writes what is no reply."""

    def __init__(self, *, answers: int = 1_000, then: bytes | None = None) -> None:
        super().__init__()
        own = certificate(
            "Contoso TSA", rsa_key("tsa"), by=(root(), rsa_key("root")), use=ExtendedKeyUsageOID.TIME_STAMPING
        )
        private = rsa_key("tsa").private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        self._stamper = DummyTimeStamper(
            _asn1(own), keys.PrivateKeyInfo.load(private), SimpleCertificateStore.from_certs([_asn1(root())])
        )
        self._answers, self._then = answers, then

    def answer(self, method: str, path: str, headers: Any, body: bytes) -> tuple[int, dict[str, str], bytes]:
        assert headers["Content-Type"] == "application/timestamp-query"
        self.log.append(f"{method} {path}")
        reply = {"Content-Type": "application/timestamp-reply"}
        if len(self.log) > self._answers:
            return (503, {}, b"busy") if self._then is None else (200, reply, self._then)
        made = asyncio.run(self._stamper.async_request_tsa_response(tsp.TimeStampReq.load(body)))
        return 200, reply, made.dump()


class Vault(Served):
    """A Key Vault as its REST interface shows itself: challenge, certificate, key, sign."""

    scheme = "https"

    def __init__(self, key: PrivateKey, own: x509.Certificate, folder: Path, *, denied: str = "") -> None:
        super().__init__()
        self._key, self._own, self._denied = key, own, denied
        self.base = f"https://{VAULT}"
        tls = certificate(VAULT, rsa_key("tls"), by=(root(), rsa_key("root")), host=VAULT)
        secret = rsa_key("tls").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / "tls.pem").write_bytes(secret + pem(tls))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(folder / "tls.pem")
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._lead_home = pytest.MonkeyPatch()

    def __enter__(self) -> Self:
        """Serve; on this machine the vault's name is this server's, for its clients believe no other address."""
        ask = socket.getaddrinfo

        def answered(name: Any, port: Any, *words: Any, **more: Any) -> Any:
            return ask("127.0.0.1", self.port, *words, **more) if name == VAULT else ask(name, port, *words, **more)

        self._lead_home.setattr("socket.getaddrinfo", answered)
        return super().__enter__()

    def __exit__(self, *reason: object) -> None:
        self._lead_home.undo()
        super().__exit__(*reason)

    def answer(self, method: str, path: str, headers: Any, body: bytes) -> tuple[int, dict[str, str], bytes]:
        where = path.partition("?")[0].rstrip("/")
        self.log.append(f"{method} {where}")
        if headers.get("Authorization") != "Bearer of-the-vault":
            asked = (
                'Bearer authorization="https://login.microsoftonline.com/contoso", resource="https://vault.azure.net"'
            )
            return 401, {"WWW-Authenticate": asked}, b"{}"
        if self._denied and where.endswith(self._denied):
            return 403, _JSON, json.dumps({"error": {"code": "Forbidden", "message": "no permission"}}).encode()
        if where in ("/certificates/report", "/certificates/report/v1"):
            return 200, _JSON, json.dumps(self._certificate()).encode()
        if where == "/keys/report/v1":
            return 200, _JSON, json.dumps({"key": self._public(), "attributes": {"enabled": True}}).encode()
        if where == "/keys/report/v1/sign" and method == "POST":
            asked_for = json.loads(body)
            made = self._sign(asked_for["alg"], _unbase64(asked_for["value"]))
            return 200, _JSON, json.dumps({"kid": f"{self.base}/keys/report/v1", "value": _base64(made)}).encode()
        return 404, _JSON, json.dumps({"error": {"code": "CertificateNotFound", "message": "not found"}}).encode()

    def _certificate(self) -> dict[str, Any]:
        der = self._own.public_bytes(Encoding.DER)
        return {
            "id": f"{self.base}/certificates/report/v1",
            "kid": f"{self.base}/keys/report/v1",
            "sid": f"{self.base}/secrets/report/v1",
            "cer": base64.b64encode(der).decode(),
            "attributes": {"enabled": True, "created": 1764000000, "updated": 1764000000},
        }

    def _public(self) -> dict[str, Any]:
        told = {"kid": f"{self.base}/keys/report/v1", "key_ops": ["sign", "verify"]}
        public = self._key.public_key()
        if isinstance(public, rsa.RSAPublicKey):
            numbers = public.public_numbers()
            return {**told, "kty": "RSA", "n": _base64(_bytes(numbers.n)), "e": _base64(_bytes(numbers.e))}
        point = public.public_numbers()
        return {
            **told,
            "kty": "EC",
            "crv": "P-256",
            "x": _base64(_bytes(point.x, 32)),
            "y": _base64(_bytes(point.y, 32)),
        }

    def _sign(self, algorithm: str, digest: bytes) -> bytes:
        if isinstance(self._key, rsa.RSAPrivateKey):
            assert algorithm == "RS256"
            return self._key.sign(digest, padding.PKCS1v15(), Prehashed(hashes.SHA256()))
        assert algorithm == "ES256"
        r, s = decode_dss_signature(self._key.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256()))))
        return _bytes(r, 32) + _bytes(s, 32)


class ManagedIdentity(Served):
    """What gives App Service its tokens; azure-identity's own client asks it."""

    def answer(self, method: str, path: str, headers: Any, body: bytes) -> tuple[int, dict[str, str], bytes]:  # noqa: ARG002 - see Served
        assert headers["X-IDENTITY-HEADER"] == "secret"
        assert "resource=https://vault.azure.net" in unquote(path)
        told = {"access_token": "of-the-vault", "expires_on": str(int(time.time()) + 3600), "token_type": "Bearer"}
        return 200, _JSON, json.dumps({**told, "resource": "https://vault.azure.net"}).encode()


_JSON = {"Content-Type": "application/json"}


def _asn1(it: x509.Certificate) -> asn1.Certificate:
    return asn1.Certificate.load(it.public_bytes(Encoding.DER))


def _base64(body: bytes) -> str:
    return base64.urlsafe_b64encode(body).rstrip(b"=").decode()


def _unbase64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _bytes(number: int, size: int | None = None) -> bytes:
    return number.to_bytes(size or (number.bit_length() + 7) // 8)
