"""`--sign` on the command line, and `verify` of what somebody was handed: a report, a store."""

from __future__ import annotations

import hashlib
import io
import json
import random
import shutil
import subprocess
from typing import TYPE_CHECKING

import pikepdf
import pytest

from auditor import reporting
from auditor.bundle import Bundle
from auditor.signing import pades
from auditor.signing.pkcs12 import FileKey
from tests import certificates as made

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from auditor.simulator import Simulator
    from tests.audits import Audited
    from tests.cli.conftest import Auditor

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def reported(finished: Audited, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a store with one run and its signed report, and the key beside it."""
    place = tmp_path_factory.mktemp("signed")
    folder = place / "store" / finished.bundle.folder.name
    shutil.copytree(finished.bundle.folder, folder, ignore=shutil.ignore_patterns("reports", "evaluations"))
    signing = pades.Signing(FileKey(made.write_p12(place / "report.p12"), made.PASSWORD))
    reporting.write(finished.results, folder / "reports", {"pdf": None}, signing=signing)
    (place / "root.pem").write_bytes(made.pem(made.root()))
    return place


@pytest.fixture
def place(reported: Path, auditor: Auditor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: ARG001 - `auditor` stands in tmp_path
    shutil.copytree(reported, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("AUDITOR_SIGN_PASSWORD", made.PASSWORD)
    monkeypatch.setenv("AUDITOR_STORE", "store")
    return next((tmp_path / "store").iterdir())


def test_the_index_knows_the_report_and_what_it_was_before_it_was_signed(place: Path) -> None:
    pdf = (place / "reports" / "report.pdf").read_bytes()
    entry = json.loads((place / "reports" / "index.json").read_bytes())["reports"]["pdf"]
    assert entry["sha256"] == hashlib.sha256(pdf).hexdigest()
    unsigned = entry["unsigned"]
    assert unsigned["size"] < entry["size"] == len(pdf)
    assert unsigned["sha256"] == hashlib.sha256(pdf[: unsigned["size"]]).hexdigest()
    assert Bundle(place).damage() == []


def test_a_report_that_was_handed_over_is_verified(place: Path, auditor: Auditor) -> None:
    told = auditor("verify", place / "reports" / "report.pdf", "--trust", "root.pem", "--require-signature")
    assert told.code == 0, told.out
    assert "FAIL" not in told.out
    for said in (
        "CN=Internal Audit",
        "covers the whole file",
        "findings.csv, findings.json, findings.xlsx, population.csv",
        Bundle(place).manifest_digest,
    ):
        assert said in told.out
    assert auditor("verify", place / "reports" / "report.pdf", "-q").out == ""


def test_a_report_of_a_run_that_is_not_at_hand_says_what_it_was_compared_with(place: Path, auditor: Auditor) -> None:
    told = auditor("verify", place / "reports" / "report.pdf", "--store", "elsewhere")
    assert told.code == 0, told.out
    assert "compared with nothing" in told.out


def test_a_report_signed_again_is_the_same_report(place: Path, auditor: Auditor) -> None:
    earlier = (place / "reports" / "report.pdf").read_bytes()
    told = auditor("report", "latest", "--report", "pdf", "--sign", "report.p12", "-q")
    assert told.code == 1, told.err
    assert (place / "reports" / "report.pdf").read_bytes() != earlier
    (place / "handed.pdf").write_bytes(earlier)
    told = auditor("verify", place / "handed.pdf", "--trust", "root.pem")
    assert told.code == 0, told.out
    assert "signed again by the same signer" in told.out


def test_a_stranger_who_signs_what_he_changed_is_found(place: Path, auditor: Auditor) -> None:
    """His signature holds, and the file begins with the report that the index lists."""
    pdf = (place / "reports" / "report.pdf").read_bytes()
    size = json.loads((place / "reports" / "index.json").read_bytes())["reports"]["pdf"]["unsigned"]["size"]
    own = made.certificate("Internal Audit", made.rsa_key("other"))
    (place / "his.p12").write_bytes(made.p12(made.rsa_key("other"), own))
    his = pades.Signing(FileKey(place / "his.p12", made.PASSWORD)).sign(pdf[:size])
    (place / "his.pdf").write_bytes(his)
    told = auditor("verify", place / "his.pdf")
    assert told.code == 1
    assert "this file was changed, or another was made since" in told.out
    told = auditor("verify", place / "his.pdf", "--store", "elsewhere", "--trust", "root.pem")
    assert told.code == 1
    assert "no certificate of the list stands behind it" in told.out


def test_whatever_byte_of_a_report_is_flipped_verify_exits_1(place: Path, auditor: Auditor) -> None:
    pdf = (place / "reports" / "report.pdf").read_bytes()
    draw = random.Random(1)  # noqa: S311 - which bytes, not a secret
    target = place / "flipped.pdf"
    for at in [0, 1, len(pdf) - 1, len(pdf) - 4, *draw.sample(range(len(pdf)), 12)]:
        flipped = bytearray(pdf)
        flipped[at] ^= 1 << draw.randrange(8)
        target.write_bytes(flipped)
        told = auditor("verify", target, "--store", "elsewhere")
        assert told.code == 1, at
        assert "FAIL" in told.out


def test_a_report_that_ends_early_fails(place: Path, auditor: Auditor) -> None:
    pdf = (place / "reports" / "report.pdf").read_bytes()
    for size in (10, len(pdf) // 2, len(pdf) - 1):
        (place / "short.pdf").write_bytes(pdf[:size])
        assert auditor("verify", place / "short.pdf").code == 1, size


def test_a_report_without_a_signature_is_verified_for_what_can_be(place: Path, auditor: Auditor) -> None:
    assert auditor("report", "latest", "--report", "pdf", "-q").code == 1
    pdf = place / "reports" / "report.pdf"
    told = auditor("verify", pdf)
    assert told.code == 0, told.out
    assert "is not digitally signed" in told.out
    assert auditor("verify", pdf, "--require-signature").code == 1
    pdf.write_bytes(pdf.read_bytes() + b"\n")
    told = auditor("verify", pdf)
    assert told.code == 1
    assert "was changed" in told.out
    told = auditor("verify", place)
    assert told.code == 1
    assert "report.pdf (pdf) was changed after it was made" in told.out


def test_an_enclosed_file_that_was_changed_is_found(place: Path, auditor: Auditor) -> None:
    body = (place / "reports" / "report.pdf").read_bytes()
    with pikepdf.open(io.BytesIO(body)) as file:
        spec = file.attachments["findings.json"]
        record = spec.get_file().read_bytes().replace(b'"fail"', b'"pass"')
        description = spec.description
        file.attachments["findings.json"] = pikepdf.AttachedFileSpec(
            file, record, filename="findings.json", description=description
        )
        file.save(place / "changed.pdf")
    told = auditor("verify", place / "changed.pdf", "--store", "elsewhere")
    assert told.code == 1
    assert "findings.json: is not the file of the digest beside it" in told.out


def test_a_pdf_of_somebody_else_is_no_report(place: Path, auditor: Auditor) -> None:
    with pikepdf.new() as file:
        file.add_blank_page()
        file.save(place / "other.pdf")
    told = auditor("verify", place / "other.pdf")
    assert told.code == 1
    assert "no findings.json in it" in told.out


def test_what_is_no_pdf_is_wrong_input(place: Path, auditor: Auditor) -> None:
    for words, said in (
        (["report.p12"], "is not a PDF"),
        (["none.pdf"], "no such bundle"),
        (["x" * 5000], "cannot be read"),
        ([place / "reports" / "report.pdf", "--trust", "none.pem"], "cannot be read"),
        ([place / "reports" / "report.pdf", "--trust", "report.p12"], "holds no certificates"),
        (["latest", "--trust", "root.pem"], "are for a PDF"),
        (["latest", "--require-signature"], "are for a PDF"),
    ):
        told = auditor("verify", *words)
        assert told.code == 2, told.out
        assert said in told.err


def test_a_timestamp_service_that_fails_at_the_end_takes_no_other_report_with_it(place: Path, auditor: Auditor) -> None:
    shutil.rmtree(place / "reports")
    with made.TimestampService(answers=1) as service:
        told = auditor(
            "report",
            "latest",
            "--report",
            "pdf",
            "--report",
            "json",
            "--sign",
            "report.p12",
            "--timestamp",
            service.url,
        )
    assert told.code == 4
    for said in ("report.pdf is not written", "no timestamp came back", "auditor report 2026-11-22T060000Z"):
        assert said in told.err
    assert {it.name for it in (place / "reports").iterdir()} == {"findings.json", "index.json"}
    assert json.loads((place / "reports" / "index.json").read_bytes())["reports"].keys() == {"json"}


def test_a_timestamped_report_is_verified(place: Path, auditor: Auditor) -> None:
    with made.TimestampService() as service:
        words = ("--sign", "report.p12", "--timestamp", service.url, "-q")
        assert auditor("report", "latest", "--report", "pdf", *words).code == 1
    told = auditor("verify", place / "reports" / "report.pdf", "--trust", "root.pem")
    assert told.code == 0, told.out
    assert "by the timestamp of" in told.out


def test_a_store_is_verified_run_by_run(place: Path, auditor: Auditor) -> None:
    told = auditor("verify", "store")
    assert told.code == 0, told.out
    assert place.name in told.out
    later = place.with_name("run=2026-11-29T060000Z")
    shutil.copytree(place, later)
    manifest = json.loads((later / "manifest.json").read_bytes())
    manifest["run"]["id"] = "2026-11-29T060000Z"
    manifest["previous"] = {"run": "2026-11-25T060000Z", "manifest_digest": "0" * 64}
    (later / "manifest.json").write_text(json.dumps(manifest))
    (place / "coverage.json").write_text("{}")
    told = auditor("verify", "store", "-q")
    assert told.code == 1
    assert "coverage.json was changed" in told.out
    assert "run=2026-11-25T060000Z is not in the store" in told.out
    (later / "manifest.json").write_text("{")
    told = auditor("verify", "store")
    assert told.code == 1
    assert "cannot be read" in told.out


def test_a_damaged_pdf_is_told_in_the_same_words_each_time(auditor: Auditor, tmp_path: Path) -> None:
    (tmp_path / "cut.pdf").write_bytes(b"%PDF-1.7 cut off")
    first, second = (auditor("verify", tmp_path / "cut.pdf") for _ in range(2))
    assert first.code == 1
    assert "they cannot be read: unable to find trailer" in first.out
    assert first.out == second.out


FILES: dict[str, Callable[[], bytes]] = {
    "text.p12": lambda: b"not a key",
    "empty.p12": lambda: b"",
    "keyless.p12": lambda: made.p12(None, None, others=[made.leaf()]),
    "alone.p12": lambda: made.p12(made.rsa_key("leaf"), None),
    "expired.p12": lambda: made.p12(made.rsa_key("leaf"), made.certificate("X", made.rsa_key("leaf"), days=(-9, -1))),
    "latin.txt": lambda: b"caf\xe9",
    "password.txt": lambda: b"correct horse\r\n",
    "wrong.txt": lambda: b"battery staple\n",
}
SIGN = ["--sign", "report.p12"]
WRONG: dict[str, tuple[list[str], list[str]]] = {
    "a key that is not there": (["--sign", "none.p12"], ["none.p12", "cannot be read"]),
    "a key that is a folder": (["--sign", "."], ["cannot be read"]),
    "a file that is no key": (["--sign", "text.p12"], ["is not a PKCS #12 file"]),
    "an empty key file": (["--sign", "empty.p12"], ["is not a PKCS #12 file"]),
    "a file without a key": (["--sign", "keyless.p12"], ["holds no private key"]),
    "a key without a certificate": (["--sign", "alone.p12"], ["without its certificate"]),
    "an expired certificate": (["--sign", "expired.p12"], ["expired on", "renew"]),
    "a wrong password": (
        [*SIGN, "--sign-password-file", "wrong.txt"],
        ["the password is wrong", "AUDITOR_SIGN_PASSWORD"],
    ),
    "a password that is not there": ([*SIGN, "--sign-password-file", "none.txt"], ["none.txt", "cannot be read"]),
    "a password that is no text": ([*SIGN, "--sign-password-file", "latin.txt"], ["is not UTF-8"]),
    "no PDF to sign": ([*SIGN, "--report", "json"], ["no PDF"]),
    "two signers": ([*SIGN, "--sign-key-vault", "https://v.vault.azure.net/keys/a"], ["two signers"]),
    "a timestamp of nothing": (["--timestamp", "http://127.0.0.1:9"], ["nothing signs"]),
    "a password of nothing": (["--sign-password-file", "password.txt"], ["nothing signs"]),
    "a password for a vault": (
        ["--sign-key-vault", "https://v.vault.azure.net/keys/a", "--sign-password-file", "password.txt"],
        ["a vault has no password"],
    ),
    "a vault's id that is none": (["--sign-key-vault", "contoso"], ["not the id of a key", "vault.azure.net/keys"]),
    "a timestamp's URL that is none": ([*SIGN, "--timestamp", "tsa"], ["not the URL of a service"]),
    "an option that names nothing": (["--sign", ""], ["names nothing"]),
    "a report over the key": ([*SIGN, "--report", "pdf=report.p12"], ["would replace an input"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_signature_that_cannot_be_is_told_before_azure_is_asked(
    case: str, auditor: Auditor, tmp_path: Path, tiny: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, expected = WRONG[case]
    for name, body in FILES.items():
        (tmp_path / name).write_bytes(body())
    made.write_p12(tmp_path / "report.p12")
    monkeypatch.setenv("AUDITOR_SIGN_PASSWORD", made.PASSWORD)
    before = sorted(path.name for path in tmp_path.rglob("*"))
    tiny.log.clear()
    told = auditor("audit", "--arm-endpoint", tiny.url, "--no-progress", *words)
    assert told.code == 2, told.err
    assert told.out == ""
    for said in expected:
        assert said in told.err
    assert tiny.log == []
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_a_password_is_asked_for_and_is_kept_nowhere(
    auditor: Auditor, tmp_path: Path, tiny: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.write_p12(tmp_path / "report.p12")
    told = auditor("audit", "--arm-endpoint", tiny.url, *SIGN)
    assert told.code == 2
    assert "a password is needed" in told.err
    (tmp_path / "password.txt").write_text(made.PASSWORD + "\n")
    monkeypatch.setenv("AUDITOR_SIGN", "report.p12")
    words = ("--sign-password-file", "password.txt", "--report", "pdf", "-q")
    assert auditor("audit", "--arm-endpoint", tiny.url, *words).code == 0
    (run,) = (tmp_path / "audits").iterdir()
    assert made.PASSWORD.encode() not in b"".join(it.read_bytes() for it in run.rglob("*") if it.is_file())
    assert auditor("verify", run / "reports" / "report.pdf", "--require-signature", "-q").code == 0


def test_a_timestamp_service_that_does_not_answer_is_told_before_azure_is_asked(
    auditor: Auditor, tmp_path: Path, tiny: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.write_p12(tmp_path / "report.p12")
    monkeypatch.setenv("AUDITOR_SIGN_PASSWORD", made.PASSWORD)
    tiny.log.clear()
    told = auditor("audit", "--arm-endpoint", tiny.url, *SIGN, "--timestamp", "http://127.0.0.1:9/tsa")
    assert told.code == 4
    assert "no timestamp came back" in told.err
    assert tiny.log == []
    assert not (tmp_path / "audits").exists()


def test_what_a_url_carries_of_credentials_is_told_and_kept_nowhere(
    auditor: Auditor, tmp_path: Path, tiny: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.write_p12(tmp_path / "report.p12")
    monkeypatch.setenv("AUDITOR_SIGN_PASSWORD", made.PASSWORD)
    job = ("audit", "--arm-endpoint", tiny.url, "--report", "pdf", "--report", "html")
    with made.TimestampService() as service:
        told = auditor(*job, *SIGN, "--timestamp", f"{service.url}/tsa?key=hunter2")
    assert told.code == 0, told.err
    (run,) = (tmp_path / "audits").iterdir()
    assert f"{service.url}/tsa?…" in (run / "manifest.json").read_text()
    (tmp_path / "report.txt").write_bytes(subprocess.check_output(["pdftotext", run / "reports" / "report.pdf", "-"]))
    assert f"{service.url}/tsa?…" in (tmp_path / "report.txt").read_text()
    said = [told.out + told.err]
    for words in (
        ("--timestamp", "http://127.0.0.1:9/tsa?key=hunter2"),
        ("--timestamp", "http://user:hunter2@127.0.0.1:9/tsa"),
        ("--sign-key-vault", "https://v.vault.azure.net/keys/a?sig=hunter2"),
        ("--arm-endpoint", "https://user:hunter2@arm.example.com"),
        ("--arm-endpoint", "https://arm.example.com/?sig=hunter2"),
        ("--arm-endpoint", "https://arm.example.com", "--authority", "user:hunter2@login.example.com"),
    ):
        told = auditor(*job, *(() if "--sign-key-vault" in words else SIGN), *words)
        assert told.code in {2, 4}, told.err
        said.append(told.out + told.err)
    assert "hunter2" not in "".join(said)
    assert b"hunter2" not in b"".join(it.read_bytes() for it in tmp_path.rglob("*") if it.is_file())
