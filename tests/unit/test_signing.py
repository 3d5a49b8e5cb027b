"""A key signs a PDF, and whoever reads the signature learns of every byte that was changed since."""

from __future__ import annotations

import io
import random
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pikepdf
import pytest
from asn1crypto import cms
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import validate_pdf_signature
from pyhanko_certvalidator import ValidationContext

from auditor.azure.keyvault import VaultKey
from auditor.errors import NoRunError, UsageError
from auditor.signing import pades, reading
from auditor.signing.pkcs12 import FileKey
from tests import certificates as made

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cryptography import x509

    from auditor.model import Checked


@pytest.fixture(scope="module")
def blank() -> bytes:
    with pikepdf.new() as file:
        file.add_blank_page()
        target = io.BytesIO()
        file.save(target)
    return target.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys")


@pytest.fixture(scope="module")
def key(folder: Path) -> FileKey:
    return FileKey(made.write_p12(folder / "report.p12"), made.PASSWORD)


@pytest.fixture(scope="module")
def signed(key: FileKey, blank: bytes) -> bytes:
    return pades.Signing(key).sign(blank)


@pytest.fixture(scope="module")
def stamped(key: FileKey, blank: bytes) -> bytes:
    with made.TimestampService() as service:
        return pades.Signing(key, service.url).sign(blank)


def wrong(pdf: bytes, *trusted: x509.Certificate) -> list[str]:
    return [line for it in checked(pdf, *trusted) for line in it.wrong]


def checked(pdf: bytes, *trusted: x509.Certificate) -> list[Checked]:
    return list(reading.check(pdf, trusted or None))


def test_a_signature_is_appended_and_holds_by_pyhanko_too(signed: bytes, blank: bytes) -> None:
    assert signed.startswith(blank)
    assert wrong(signed, made.root()) == []
    (found,) = PdfFileReader(io.BytesIO(signed)).embedded_regular_signatures
    root = cms.Certificate.load(made.root().public_bytes(Encoding.DER))
    status = validate_pdf_signature(found, ValidationContext(trust_roots=[root]), key_usage_settings=reading._USES)
    assert status.bottom_line
    assert found.sig_object["/SubFilter"] == "/ETSI.CAdES.detached"
    assert found.docmdp_level.value == 1
    with pikepdf.open(io.BytesIO(signed)) as file:
        (field,) = file.Root.AcroForm.Fields
        assert [*map(int, field.Rect)] == [0, 0, 0, 0]


def test_a_timestamp_says_when(stamped: bytes, signed: bytes) -> None:
    assert wrong(stamped, made.root()) == []
    (told,) = [it for it in checked(stamped, made.root()) if "timestamp" in it.what]
    assert "Contoso TSA" in told.what
    assert told.notes == ()
    assert any("own clock" in it.what for it in checked(signed))


def test_a_timestamp_of_a_stranger_is_told_and_is_no_proof_of_the_time(stamped: bytes) -> None:
    (told,) = [it for it in checked(stamped, made.issuing()) if "timestamp" in it.what]
    assert "not in a list" in told.notes[0]


def test_without_a_list_it_is_open_whose_the_signature_is(signed: bytes) -> None:
    assert any("--trust" in note for it in checked(signed) for note in it.notes)
    other = made.certificate("Contoso Root", made.rsa_key("other"), ca=True)
    assert wrong(signed, other) == [f"not by the list of --trust: {reading._STRANGER}"]


@pytest.mark.parametrize("kind", ["signed", "stamped"])
def test_whatever_byte_is_flipped_the_signature_fails(kind: str, request: pytest.FixtureRequest) -> None:
    """Bytes that are signed, the signature, its certificates and timestamp, and the zeros that fill its place."""
    pdf: bytes = request.getfixturevalue(kind)
    draw = random.Random(kind)  # noqa: S311 - which bytes, not a secret
    begins = pdf.index(b"/Contents <")
    places = draw.sample(range(len(pdf)), 80) + draw.sample(range(begins, begins + 500), 40)
    for place in places:
        flipped = bytearray(pdf)
        flipped[place] ^= 1 << draw.randrange(8)
        assert wrong(bytes(flipped)), place


@pytest.mark.parametrize("kind", ["signed", "stamped"])
def test_every_digit_that_wraps_the_signature_matters(kind: str, request: pytest.FixtureRequest) -> None:
    """Lengths and names of its outermost parts, which nothing signs; by each other digit at the first of them."""
    pdf: bytes = request.getfixturevalue(kind)
    begins = pdf.index(b"/Contents <") + len(b"/Contents <")
    for place in range(begins, begins + 16):
        for digit in set("0123456789ABCDEF") - {chr(pdf[place])}:
            flipped = bytearray(pdf)
            flipped[place] = ord(digit)
            assert wrong(bytes(flipped)), (place - begins, digit)


def test_bits_that_a_certificates_signature_leaves_out_are_a_change(signed: bytes) -> None:
    held = signed[signed.index(b"/Contents <") :].split(b"<")[1].split(b">")[0]
    for choice in cms.ContentInfo.load(bytes.fromhex(held.decode()), strict=False)["content"]["certificates"]:
        value = choice.chosen["signature_value"].contents.hex().upper().encode()
        # That many bits less is the same signature to whoever ignores the number.
        for unused in range(1, 8):
            changed = signed.replace(value, b"%02X" % unused + value[2:])
            assert changed != signed
            assert wrong(changed), unused


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["signed", "stamped"])
def test_digits_all_over_the_signature_matter(kind: str, request: pytest.FixtureRequest) -> None:
    pdf: bytes = request.getfixturevalue(kind)
    begins = pdf.index(b"/Contents <") + len(b"/Contents <")
    ends = pdf.index(b">", begins)
    used = len(pdf[begins:ends].rstrip(b"0")) + 2
    for place in [*range(begins, begins + used, 5), ends - 1]:
        flipped = bytearray(pdf)
        flipped[place] = ord(f"{int(chr(pdf[place]), 16) ^ 1:X}")
        assert wrong(bytes(flipped)), place - begins


@pytest.mark.slow
def test_a_timestamp_keeps_a_signature_good_when_its_certificate_expires(blank: bytes, folder: Path) -> None:
    brief = made.certificate(
        "Brief", made.rsa_key("leaf"), by=(made.root(), made.rsa_key("root")), days=(-1, 30 / 86_400)
    )
    path = folder / "brief.p12"
    path.write_bytes(made.p12(made.rsa_key("leaf"), brief))
    key = FileKey(path, made.PASSWORD)
    bare = pades.Signing(key).sign(blank)
    with made.TimestampService() as service:
        kept = pades.Signing(key, service.url).sign(blank)
    while datetime.now(UTC) <= brief.not_valid_after_utc + timedelta(seconds=2):
        time.sleep(1)
    assert wrong(kept, made.root()) == []
    (told,) = wrong(bare, made.root())
    assert "no timestamp of the list says when it signed" in told


def test_a_file_that_ends_early_fails(signed: bytes) -> None:
    for size in (20, len(signed) // 2, signed.index(b"/Contents <") + 1000, len(signed) - 20, len(signed) - 1):
        assert wrong(signed[:size]) or b"/ByteRange" not in signed[:size], size


def test_what_is_added_later_fails(signed: bytes) -> None:
    assert wrong(signed + b"\n") == ["bytes were added after it was signed"]
    writer = IncrementalPdfFileWriter(io.BytesIO(signed))
    writer.root["/Lang"] = writer.root["/Type"]
    writer.update_root()
    target = io.BytesIO()
    writer.write(target)
    told = wrong(target.getvalue())
    assert "bytes were added after it was signed" in told
    assert "something was changed that the signature forbids to change" in told


def test_a_timestamp_that_was_taken_away_is_missed(stamped: bytes) -> None:
    begins = stamped.index(b"/Contents <") + len(b"/Contents <")
    ends = stamped.index(b">", begins)
    info = cms.ContentInfo.load(bytes.fromhex(stamped[begins:ends].decode()))
    del info["content"]["signer_infos"][0]["unsigned_attrs"]
    less = info.dump(force=True).hex().encode()
    told = wrong(stamped[:begins] + less.ljust(ends - begins, b"0") + stamped[ends:])
    assert told == ["what is signed says that there is one: it was taken away"]


def test_a_certificate_put_beside_the_signature_is_found(signed: bytes) -> None:
    begins = signed.index(b"/Contents <") + len(b"/Contents <")
    ends = signed.index(b">", begins)
    info = cms.ContentInfo.load(bytes.fromhex(signed[begins:ends].decode()))
    stranger = made.certificate("Stranger", made.rsa_key("tsa"), by=(made.issuing(), made.rsa_key("other")))
    added = cms.Certificate.load(stranger.public_bytes(Encoding.DER))
    info["content"]["certificates"].append(cms.CertificateChoices("certificate", added))
    more = info.dump(force=True).hex().encode()
    told = wrong(signed[:begins] + more.ljust(ends - begins, b"0") + signed[ends:])
    assert any("answered for by nothing" in it for it in told)


def test_an_unsigned_file_is_told_and_fails_where_a_signature_is_demanded(blank: bytes) -> None:
    assert wrong(blank) == []
    assert checked(blank)[0].what == "the file is not digitally signed"
    (told,) = reading.check(blank, demanded=True)
    assert told.wrong == ("it is not",)


def test_certificates_in_the_file_are_the_chain_of_the_signer_alone(folder: Path, blank: bytes) -> None:
    stranger = made.certificate("Stranger", made.rsa_key("other"), ca=True)
    path = folder / "more.p12"
    path.write_bytes(made.p12(made.rsa_key("leaf"), made.leaf(), others=[stranger, made.root(), made.issuing()]))
    pdf = pades.Signing(FileKey(path, made.PASSWORD)).sign(blank)
    (found,) = PdfFileReader(io.BytesIO(pdf)).embedded_regular_signatures
    names = {it.subject.native["common_name"] for it in found.other_embedded_certs}
    assert names == {"Contoso Issuing", "Contoso Root"}
    assert wrong(pdf, made.root()) == []


def test_a_curve_signs_too(folder: Path, blank: bytes) -> None:
    path = folder / "curve.p12"
    path.write_bytes(made.p12(made.curve_key("leaf"), made.certificate("Curve", made.curve_key("leaf")), password=""))
    assert wrong(pades.Signing(FileKey(path, None)).sign(blank)) == []


UNUSABLE: dict[str, tuple[dict[str, Any], str]] = {
    "an expired certificate": ({"days": (-30, -1)}, "expired on"),
    "a certificate of tomorrow": ({"days": (1, 30)}, "not valid before"),
    "a certificate for encryption": ({"signs": False}, "not for signatures"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_what_nobody_would_accept_is_refused_before_anything_is_signed(case: str, folder: Path) -> None:
    changes, said = UNUSABLE[case]
    path = folder / "unusable.p12"
    path.write_bytes(made.p12(made.rsa_key("leaf"), made.certificate("X", made.rsa_key("leaf"), **changes)))
    with pytest.raises(UsageError, match=said) as refused:
        pades.Signing(FileKey(path, made.PASSWORD))
    assert refused.value.hint


def test_keys_that_do_not_fit_are_refused(folder: Path) -> None:
    path = folder / "odd.p12"
    small = made.rsa_key("small", 1024)
    path.write_bytes(made.p12(small, made.certificate("X", small)))
    with pytest.raises(UsageError, match="of 1024 bits"):
        pades.Signing(FileKey(path, made.PASSWORD))
    edwards = ed25519.Ed25519PrivateKey.generate()
    path.write_bytes(made.p12(edwards, None))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="without its certificate"):
        FileKey(path, made.PASSWORD)


def test_a_certificate_that_expires_while_the_run_is_made_is_refused_when_signing(
    key: FileKey, blank: bytes, folder: Path
) -> None:
    ready = pades.Signing(key)
    other = folder / "late.p12"
    other.write_bytes(made.p12(made.rsa_key("leaf"), made.certificate("X", made.rsa_key("leaf"), days=(-9, -1))))
    ready._key = FileKey(other, made.PASSWORD)
    with pytest.raises(UsageError, match="expired on"):
        ready.sign(blank)


@pytest.mark.parametrize("url", ["tsa", "ftp://tsa", "http://", "http://[", "http://u:p@tsa", "http://tsa:0"])
def test_a_timestamp_service_has_a_url(url: str, key: FileKey) -> None:
    with pytest.raises(UsageError, match="not the URL of a service"):
        pades.Signing(key, url)


@pytest.mark.parametrize("then", [None, b"", b"<html>", b"\x30\x03\x02\x01"])
def test_a_timestamp_service_that_fails_is_told_before_and_when_signing(
    then: bytes | None, key: FileKey, blank: bytes
) -> None:
    with (
        made.TimestampService(answers=0, then=then) as service,
        pytest.raises(NoRunError, match="no timestamp came back"),
    ):
        pades.Signing(key, service.url)
    with made.TimestampService(answers=1, then=then) as service:
        ready = pades.Signing(key, service.url)
        with pytest.raises(NoRunError, match="no timestamp came back"):
            ready.sign(blank)
    with pytest.raises(NoRunError, match="no timestamp came back"):
        pades.Signing(key, service.url)


@pytest.fixture
def at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Lead the vault's host to this machine, with a managed identity to sign in by; all else is the SDKs' own."""
    (tmp_path / "ca.pem").write_bytes(made.pem(made.root()))
    with made.ManagedIdentity() as identity:
        for name, value in {
            "REQUESTS_CA_BUNDLE": str(tmp_path / "ca.pem"),
            "AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential",
            "IDENTITY_ENDPOINT": f"{identity.url}/msi/token",
            "IDENTITY_HEADER": "secret",
        }.items():
            monkeypatch.setenv(name, value)
        yield tmp_path


@pytest.mark.parametrize("kind", ["keys/report", "keys/report/v1", "certificates/report", "certificates/report/v1"])
def test_a_key_in_a_vault_signs_without_leaving_it(kind: str, at_home: Path, blank: bytes) -> None:
    with made.Vault(made.rsa_key("leaf"), made.leaf(), at_home) as vault:
        pdf = pades.Signing(VaultKey(f"{vault.base}/{kind}")).sign(blank)
        asked = {line for line in vault.log if not line.endswith("/sign")}
    assert wrong(pdf, made.issuing()) == []
    assert vault.log.count("POST /keys/report/v1/sign") >= 2
    assert asked <= {"GET /certificates/report", "GET /certificates/report/v1", "GET /keys/report/v1"}


def test_a_curve_in_a_vault_signs_too(at_home: Path, blank: bytes) -> None:
    own = made.certificate("Curve", made.curve_key("leaf"))
    with made.Vault(made.curve_key("leaf"), own, at_home) as vault:
        assert wrong(pades.Signing(VaultKey(f"{vault.base}/keys/report")).sign(blank), own) == []


def test_a_vault_that_says_no_is_told_with_what_helps(at_home: Path) -> None:
    with made.Vault(made.rsa_key("leaf"), made.leaf(), at_home) as vault, pytest.raises(UsageError) as refused:
        VaultKey(f"{vault.base}/keys/other")
    assert "no certificate of that name" in refused.value.message
    for denied in ("/certificates/report", "/sign"):
        with made.Vault(made.rsa_key("leaf"), made.leaf(), at_home, denied=denied) as vault:
            with pytest.raises(UsageError, match="denied") as refused:
                pades.Signing(VaultKey(f"{vault.base}/keys/report"))
            assert "Key Vault Crypto User" in refused.value.hint
    with (
        made.Vault(made.rsa_key("other"), made.leaf(), at_home) as vault,
        pytest.raises(UsageError, match="do not belong together"),
    ):
        pades.Signing(VaultKey(f"{vault.base}/keys/report"))


@pytest.mark.parametrize(
    "url",
    [
        "contoso", "http://contoso.vault.azure.net/keys/a", "https://contoso.vault.azure.net/secrets/a", "https://[/keys/a",
        "https://contoso.vault.azure.net/keys", "https://contoso.vault.azure.net/keys/a/b/c",
        "https://u:p@contoso.vault.azure.net/keys/a", "https://contoso.vault.azure.net/keys/a?x=1",
    ],
)  # fmt: skip
def test_a_key_of_a_vault_has_an_id(url: str) -> None:
    with pytest.raises(UsageError, match="not the id of a key"):
        VaultKey(url)
