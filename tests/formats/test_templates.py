"""A folder of the user's own: its blocks, pictures and texts win; mistakes are told by file and line."""

from __future__ import annotations

import base64
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml

from auditor import assets, rulebook
from auditor.engine import results
from auditor.errors import AuditorError, DocumentError, UsageError
from auditor.report import formats, remedy, templates, view
from auditor.report.formats import pdf
from auditor.report.templates import SHIPPED
from auditor.rulebook import frameworks
from tests.formats import sample

if TYPE_CHECKING:
    from pathlib import Path

DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
LOGO = '<img class="mark" src="{{ picture("logo.png") }}" alt="Contoso" height="12">'


def written(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def shown(folder: Path, language: str = "en") -> view.Report:
    how = view.Presentation(language=language, templates=templates.opened(folder))
    return view.build(sample.results(6), how)


def test_blocks_pictures_and_texts_of_the_user_win(tmp_path: Path) -> None:
    own = written(
        tmp_path,
        {
            "blocks/logo.html": LOGO,
            "blocks/classification.html": "INTERNAL {{ run.id }}",
            "blocks/style.css": ".mark { height: 3mm }",
            "texts.en.yaml": "title: Can we recover?\nlabels: {Standard: Yardstick}\n",
            "logo.png": DOT,
        },
    )
    report = shown(own)
    page, document = formats.find("html").render(report).decode(), pdf.markup(report)
    for text in (page, document):
        assert "data:image/png;base64," in text
        assert "<h1>Can we recover?</h1>" in text
        assert f"INTERNAL {report.run.id}" in text
        assert ".mark { height: 3mm }" in text
    assert "img-src data:" in page
    assert ">Yardstick<" in document
    assert formats.find("pdf").render(report).startswith(b"%PDF")
    assert "img-src" not in formats.find("html").render(view.build(sample.results(6))).decode()


def test_a_logo_has_the_size_of_one_unless_the_user_gives_another(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"blocks/logo.html": '<img src="{{ picture("logo.png") }}" alt="Contoso">'}
    files["logo.png"] = DOT
    for style, height in (("", 9), ("img { height: 20mm }", 20)):
        own = written(tmp_path / str(height), files | {"blocks/style.css": style})
        (tmp_path / "report.pdf").write_bytes(formats.find("pdf").render(shown(own)))
        listed = subprocess.check_output(
            ["pdfimages", "-list", "-f", "1", "-l", "1", tmp_path / "report.pdf"], text=True
        )
        assert int(listed.splitlines()[2].split()[13]) == round(25.4 / height)


def test_a_new_language_is_one_file_and_says_the_rest_in_english(tmp_path: Path) -> None:
    own = written(tmp_path, {"texts.fr.yaml": "status: {fail: échec}\n"})
    report = shown(own, "fr")
    assert (report.texts("status.fail"), report.texts("status.unknown")) == ("échec", "unknown")
    assert '<html lang="fr">' in pdf.markup(report)


def test_german_says_all_that_english_says_with_the_same_places() -> None:
    english, german = (yaml.safe_load(SHIPPED.source(f"texts.{code}.yaml")) for code in ("en", "de"))
    ours = {path.stem for path in assets.rules().glob("*/*-*.yaml")}
    rules = german.pop("rules")
    assert set(rules) == ours
    assert all(set(said) == {"title", "rationale"} for said in rules.values())
    del english["rules"], english["controls"], german["controls"]  # see test_frameworks
    del english["sentences"], german["sentences"]  # see below
    assert leaves(german) == leaves(english)


def test_german_says_each_sentence_of_frameworks_rules_and_demands_and_no_other() -> None:
    german = yaml.safe_load(SHIPPED.source("texts.de.yaml"))["sentences"]
    controls = [it for read in frameworks.read().values() for it in read.file.controls]
    said = {text.strip() for it in controls for text in (it.proves, it.does_not_prove)}
    for rule in rulebook.read(whole=True).rules:
        parts = {kind: remedy.parts(kind, fix.strip()) for kind, fix in rule.file.remediation.items()}
        said |= {*parts["portal"], *(step for step in parts["az"] if step.startswith("#"))}
    said |= {words for _, words, _ in results.DEMANDS}
    assert {text for text in said if text not in german} == set(), "not said in German"
    assert {text for text in german if text not in said} == set(), "said by nobody"
    places = {text: set(re.findall(r"\{\w*\}|<[^>]*>", text)) for text in german}
    assert {text: set(re.findall(r"\{\w*\}|<[^>]*>", words)) for text, words in german.items()} == places
    assert [text for text, words in german.items() if text == words] == []


def leaves(tree: object, key: tuple[object, ...] = ()) -> dict[tuple[object, ...], set[str]]:
    if isinstance(tree, dict):
        return {path: found for name, inner in tree.items() for path, found in leaves(inner, (*key, name)).items()}
    if isinstance(tree, list):
        return {path: found for name, inner in enumerate(tree) for path, found in leaves(inner, (*key, name)).items()}
    return {key: set(re.findall(r"\{\w*\}", str(tree)))}


def test_a_report_in_german_says_nothing_in_english() -> None:
    report = view.build(sample.results(30), view.Presentation(language="de"))
    text = re.sub(r"<style>.*?</style>|<[^>]+>", " ", pdf.markup(report), flags=re.DOTALL)
    for english in ("Findings", "verdict", "not yet due", "Completeness", "Self-test", "Sign-off", "Contents"):
        assert english not in text, text[text.index(english) - 60 :][:160]
    page = formats.find("html").render(report).decode()
    assert '<html lang="de">' in page
    assert "Nachweise: " in page


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"blocks/lgo.html": "x"}, "blocks/lgo.html: overrides no template\n  did you mean 'blocks/logo.html'?"),
        ({"blocks/logo.html": "a\n{% if %}"}, "blocks/logo.html:2: is no template"),
        ({"blocks/style.css": b"\xff"}, "blocks/style.css: is no template"),
        ({"texts.en.yaml": "titel: x\n"}, "texts.en.yaml:1: unknown text 'titel'\n  did you mean 'title'?"),
        ({"texts.en.yaml": "status:\n  fial: x\n"}, "texts.en.yaml:2: unknown text 'fial'\n  did you mean 'fail'?"),
        ({"texts.en.yaml": "as_at: at {then}\n"}, "texts.en.yaml:1: unknown place {then}"),
        ({"texts.en.yaml": "as_at: at {when\n"}, "texts.en.yaml:1: a brace is not closed"),
        ({"texts.en.yaml": "status: fail\n"}, "texts.en.yaml:1: status: has another form"),
        ({"texts.en.yaml": "- x\n"}, "texts.en.yaml:1: must be a block"),
        ({"texts.en.yaml": "a: [\n"}, "texts.en.yaml:2: "),
    ],
)
def test_a_mistake_is_told_by_file_and_line(files: dict[str, str | bytes], said: str, tmp_path: Path) -> None:
    with pytest.raises(DocumentError) as caught:
        templates.opened(written(tmp_path, files))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("\n{{ nothing }}", "blocks/logo.html:2: cannot be filled: 'nothing' is undefined"),
        ("{{ 1 / 0 }}", "blocks/logo.html:1: cannot be filled: ZeroDivisionError: division by zero"),
        ("{% include 'blocks/logo.html' %}", "blocks/logo.html:1: cannot be filled: RecursionError"),
        ("{{ draw.fonts.__loader__ }}", "blocks/logo.html:1: cannot be filled: access to attribute 'fonts'"),
        ("{{ picture('../secret.png') }}", "no picture '../secret.png'"),
        ("{{ picture('logo.png') }}", "no picture 'logo.png'"),
    ],
)
def test_a_block_that_cannot_be_filled_is_told(block: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(DOT)
    own = written(tmp_path / "own", {"blocks/logo.html": block})
    report = shown(own)
    for kind in ("html", "pdf"):
        with pytest.raises(AuditorError) as caught:
            formats.find(kind).render(report)
        assert said in str(caught.value)


@pytest.mark.parametrize(
    "block",
    [
        "{{ report.how.templates.source('%s') }}",
        "{{ report.how.templates.own.joinpath('%s').read_text() }}",
        "{{ report.how.templates.folders[0].joinpath('%s').write_text('x') }}",
        "{{ report['how']['templates']['own'].joinpath('%s').read_text() }}",
        "{{ (report.how | attr('templates')).source('%s') }}",
        "{{ ([report.how] | map(attribute='templates') | first).source('%s') }}",
        "{{ draw.fonts.Path('%s').read_text() }}",
        "{% include '%s' %}",
        "{{ picture('%s') }}",
    ],
)
def test_a_template_reaches_no_file_but_its_own(block: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("the password")
    report = shown(written(tmp_path / "own", {"blocks/logo.html": block.replace("%s", str(secret))}))
    with pytest.raises(UsageError):
        formats.find("html").render(report)
    assert secret.read_text() == "the password"


def test_no_template_sees_the_key_of_the_pseudonyms() -> None:
    assert view.build(sample.results(6), view.Presentation(redact_key=b"k" * 32)).how.redact_key is None


def test_a_style_sheet_of_the_pdf_that_cannot_be_filled_is_told(tmp_path: Path) -> None:
    report = shown(written(tmp_path, {"pdf.css": "p { color: {{ nothing }} }"}))
    with pytest.raises(UsageError, match=r"pdf\.css:1: cannot be filled: 'nothing' is undefined"):
        pdf.markup(report)


def test_a_folder_or_a_language_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        templates.opened(tmp_path / "none")
    with pytest.raises(UsageError, match="nothing in it overrides"):
        templates.opened(written(tmp_path, {"logo.png": DOT}))
    with pytest.raises(UsageError, match="no texts in it"):
        SHIPPED.texts("xx")
