"""Reports for one framework, and reports without persons."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from auditor import reporting, rulebook
from auditor.errors import UsageError
from tests.cli.conftest import tree

if TYPE_CHECKING:
    from pathlib import Path

    from tests.audits import Audited
    from tests.cli.conftest import Auditor


@pytest.fixture
def alone(finished: Audited, tmp_path: Path) -> Path:
    folder = tmp_path / "store" / finished.bundle.folder.name
    shutil.copytree(finished.bundle.folder, folder)
    return folder


def test_a_framework_that_no_rule_names_is_wrong_input(alone: Path, auditor: Auditor) -> None:
    told = auditor("report", alone, "--framework", "soc_2017")
    assert told.code == 2
    assert "--framework soc_2017: no rule of this run names a framework that is called so" in told.err
    assert "did you mean 'soc2_2017'?" in told.err
    assert not (alone / "reports").exists()


def test_a_framework_is_found_by_the_beginning_of_its_name_where_only_one_has_it() -> None:
    book = rulebook.read()
    assert reporting.framework(None, book) is None
    assert reporting.framework("soc2", book) == "soc2_2017"
    assert reporting.framework("NIST-800-53-r5", book) == "nist_800_53_r5"
    with pytest.raises(UsageError, match="nist") as caught:
        reporting.framework("nist", book)
    assert "nist_800_53_r5, nist_csf_2_0" in str(caught.value.hint)


def test_the_record_tells_of_all_frameworks_whatever_the_pdf_is_for(alone: Path, auditor: Auditor) -> None:
    assert auditor("report", alone, "--report", "json", "-q").code == 1
    before = tree(alone / "reports")["findings.json"]
    words = ("report", alone, "--framework", "soc2", "--report", "json", "--report", "pdf", "-q")
    assert auditor(*words).code == 1
    assert tree(alone / "reports")["findings.json"] == before


@pytest.mark.parametrize("words", [("--framework", "soc2"), ("--pdf-all",)])
def test_what_is_for_the_pdf_is_not_ignored_where_none_is_made(
    words: tuple[str, ...], alone: Path, auditor: Auditor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for verb in (("report", alone, "--report", "html"), ("evaluate", alone)):
        told = auditor(*verb, *words)
        assert told.code == 2
        assert f"error: {words[0]} is for the PDF, and none is made\n  add --report pdf" in told.err
    assert not (alone / "reports").exists()
    # What stands in a variable or in a file is for every command that is run there.
    monkeypatch.setenv("AUDITOR_FRAMEWORK", "soc2")
    monkeypatch.setenv("AUDITOR_PDF_ALL", "1")
    assert auditor("report", alone, "--report", "json", "-q").code == 1


def test_the_key_is_made_in_the_store_once_and_never_in_the_bundle(alone: Path, auditor: Auditor) -> None:
    key = alone.parent / "redact.key"
    assert auditor("report", alone, "--redact", "--report", "json", "-q").code == 1
    made, first = key.read_bytes(), tree(alone / "reports")["findings.json"]
    assert key.stat().st_mode & 0o077 == 0
    assert auditor("report", alone, "--redact", "--report", "json", "-q").code == 1
    assert (key.read_bytes(), tree(alone / "reports")["findings.json"]) == (made, first)
    assert not any(made.strip() in body for body in tree(alone).values())
    assert json.loads(first)["run"]["redacted"] is True


def test_the_same_key_gives_the_same_pseudonyms_and_another_gives_others(
    alone: Path, auditor: Auditor, tmp_path: Path
) -> None:
    one, other = tmp_path / "one.key", tmp_path / "other.key"
    other.write_text("f" * 64, encoding="ascii")
    bodies = []
    for key in (one, one, other):
        assert auditor("report", alone, "--redact", "--redact-key", key, "--report", "json", "-q").code == 1
        bodies.append(tree(alone / "reports")["findings.json"])
    assert bodies[0] == bodies[1] != bodies[2]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--redact-key", "k"), "nothing is redacted"),
        (("--redact", "--redact-key", "{short}"), "holds 5 bytes"),
        (("--redact", "--redact-key", "{folder}"), "cannot be"),
    ],
)
def test_a_key_that_is_none_is_wrong_input(
    words: tuple[str, ...], said: str, alone: Path, auditor: Auditor, tmp_path: Path
) -> None:
    short = tmp_path / "short.key"
    short.write_text("short", encoding="ascii")
    given = [word.format(short=short, folder=tmp_path) for word in words]
    told = auditor("report", alone, *given, "--report", "json")
    assert told.code == 2
    assert said in told.err


def test_a_wrong_framework_is_told_before_anything_is_collected(
    auditor: Auditor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUDITOR_TOKEN", "t")
    told = auditor(
        "audit",
        "--arm-endpoint",
        "http://127.0.0.1:9",
        "--store",
        tmp_path / "s",
        "--framework",
        "x",
    )
    assert told.code == 2
    assert "--framework x" in told.err
    assert not list(tmp_path.glob("s/run=*"))
