"""What all formats promise: discovery, purity, and the same bytes everywhere."""

from __future__ import annotations

import ast
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import jinja2
import pytest

import auditor.report.formats
from auditor import assets
from auditor.cli.report import command as report_command
from auditor.errors import UsageError
from auditor.report import formats, view
from auditor.report.templates import SHIPPED
from tests.formats import sample

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(auditor.report.formats.__file__).parent

NAMES = {
    "csv": "findings.csv",
    "html": "report.html",
    "json": "findings.json",
    "junit": "junit.xml",
    "markdown": "report.md",
    "pdf": "report.pdf",
    "sarif": "findings.sarif",
    "xlsx": "findings.xlsx",
}
WITHOUT_PANGO = sorted(NAMES.keys() - {"pdf"})

_RENDER = """
import hashlib, sys
sys.path.insert(0, {root!r})
from tests.formats import sample
from auditor.report import formats, view
report = view.build(sample.results(12))
print(*(hashlib.sha256(formats.find(kind).render(report)).hexdigest() for kind in {kinds!r}))
"""


def test_every_module_in_the_folder_is_a_format() -> None:
    assert set(formats.discover()) == {path.stem for path in FOLDER.glob("*.py")} - {"__init__"}
    assert set(NAMES) <= set(formats.discover())


@pytest.mark.parametrize("kind", sorted(NAMES))
def test_a_format_says_its_file_s_name_and_type(kind: str) -> None:
    found = formats.find(kind)
    assert found.default_name == NAMES[kind]
    assert "/" in found.media_type


def test_the_help_of_the_command_line_names_every_kind() -> None:
    (kinds,) = (str(it.help) for it in report_command.params if isinstance(it, click.Option) and it.name == "report")
    assert set(re.findall(r"[a-z]+", kinds.partition(";")[0])) - {"or"} == set(formats.discover())


def test_an_unknown_kind_names_the_known_ones() -> None:
    with pytest.raises(UsageError) as caught:
        formats.find("docx")
    assert "html, " in caught.value.hint


def test_formats_import_nothing_but_the_view() -> None:
    allowed = (
        "auditor.report",
        "auditor.assets",
        "auditor.document",
        "auditor.model",
        "auditor.numerals",
        "auditor.errors",
    )
    for path in FOLDER.parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                fine = not name.startswith("auditor") or name == "auditor" or name.startswith(allowed)
                assert fine, f"{path.name} imports {name}"


def test_the_same_report_gives_the_same_bytes_in_one_process() -> None:
    report = view.build(sample.results(12))
    for kind in WITHOUT_PANGO:
        assert formats.find(kind).render(report) == formats.find(kind).render(report)


@pytest.mark.slow
def test_zone_locale_and_hash_seed_do_not_change_a_byte() -> None:
    code = _RENDER.format(root=str(ROOT), kinds=sorted(NAMES))
    places = (
        {"TZ": "UTC", "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"},
        {"TZ": "Asia/Tokyo", "PYTHONHASHSEED": "12345", "LC_ALL": "C"},
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, **place}, check=True, capture_output=True, text=True
        ).stdout
        for place in places
    ]
    assert said[0] == said[1]
    assert len(said[0].split()) == len(NAMES)
    assert len(said[0].split()[0]) == len(hashlib.sha256().hexdigest())


@pytest.mark.parametrize("kind", WITHOUT_PANGO)
def test_all_but_pdf_do_without_pango(kind: str) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.modules['weasyprint'] = None\n"
        "from tests.formats import sample\nfrom auditor.report import formats, view\n"
        f"assert formats.find({kind!r}).render(view.build(sample.results(6)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_missing_pango_is_told_with_the_command_that_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    with pytest.raises(UsageError) as caught:
        formats.find("pdf").check()
    assert "install" in caught.value.hint
    assert "pango" in caught.value.hint.lower()
    formats.find("html").check()


_LETTERS = re.compile(r"[A-Za-z]{2}")
_NAMES = {"azure-backup-auditor", ", azure-backup-auditor", "VM-", "SHA-256", "&nbsp;"}


def test_no_template_holds_a_sentence_of_its_own() -> None:
    # charts.svg.html is left out: all that it says comes with the chart's numbers.
    folder = assets.templates()
    for path in (*(folder / name for name in ("pdf.html", "parts.html", "report.html")), *folder.glob("pdf/*.html")):
        text = re.sub(r"<style>.*?</style>", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        for line, token, value in jinja2.Environment(autoescape=True).lex(text):
            if token != "data":
                continue
            for said in re.split(r"<[^>]*>|^[^<>]*>|<[^>]*$", value):
                bare = said.strip()
                assert bare in _NAMES or '="' in bare or not _LETTERS.search(bare), f"{path.name}:{line}: {bare!r}"


def test_every_label_of_the_templates_is_in_the_catalogue_and_none_is_left_over() -> None:
    used: set[str] = set()
    for path in assets.templates().rglob("*.html"):
        used |= set(re.findall(r'\b_\("([^"]*)"', path.read_text(encoding="utf-8")))
    assert used == set(SHIPPED.texts().keys("labels"))
