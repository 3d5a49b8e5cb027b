"""report.pdf: page numbers, tables, attachments, and that the file can be made again byte for byte."""

from __future__ import annotations

import hashlib
import html
import io
import json
import re
import shlex
import subprocess
import time
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pikepdf
import pytest

from auditor import assets
from auditor.model import Signer, Status
from auditor.report import formats, typeset, view, wording
from auditor.report.formats import pdf
from auditor.signing import pades, reading
from auditor.signing.pkcs12 import FileKey
from tests import certificates
from tests.formats import annexed, sample

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from auditor.report.view import Report


@pytest.fixture(scope="module")
def report() -> Report:
    return view.build(sample.results(24))


@pytest.fixture(scope="module", params=["in few parts", "in many parts"])
def made(report: Report, request: pytest.FixtureRequest) -> Iterator[bytes]:
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "in many parts":
            patch.setattr(pdf, "MOST_TOGETHER", 18)
            assert len(pdf.Book(report).body) > 3
        yield pdf.render(report, processes=0)


@pytest.fixture(scope="module")
def pages(made: bytes) -> list[str]:
    text = subprocess.run(
        ["pdftotext", "-layout", "-", "-"], input=made, check=True, capture_output=True
    ).stdout.decode()
    return text.split("\f")[:-1]


def test_every_page_but_the_cover_says_its_number_and_the_manifest(report: Report, pages: list[str]) -> None:
    for number, text in enumerate(pages[1:], start=2):
        assert f"page {number} of {len(pages)}" in text
        assert report.run.manifest_digest in text


def test_the_cover_says_what_of_whom_as_at_when_and_whether_all_was_read(pages: list[str]) -> None:
    cover = pages[0]
    for said in (
        "Contoso <Ltd> & Söhne", "CONFIDENTIAL", "as at 2026-11-22 06:00 UTC", "Evidence: COMPLETE",
        "4 of 4 subscriptions read", "hybrid 1.0.0, owner Head of IT", "No opinion is given",
    ):  # fmt: skip
        assert said in cover


def test_the_summary_fits_on_page_two(pages: list[str]) -> None:
    assert re.search(r"^ *1 +Results$", pages[1], re.MULTILINE)
    assert "Do first" in pages[1]
    assert "Contents" in pages[2]


def test_the_contents_name_the_page_each_section_begins_on(pages: list[str]) -> None:
    listed = re.findall(r"^ *(?:[0-9ABC]+ {2,})?(\S[^\n]*?) {3,}page (\d+)$", pages[2], re.MULTILINE)
    assert len(listed) == 17
    for title, number in listed:
        assert title in pages[int(number) - 1]


def test_sections_stand_in_the_order_auditors_expect(made: bytes) -> None:
    with pikepdf.open(io.BytesIO(made)) as file, file.open_outline() as outline:
        titles = [re.sub(r"^\w+\u2003", "", item.title) for item in outline.root]
    assert titles == [
        "Results", "Contents", "Basis of preparation", "Completeness and accuracy", "Demanded, promised, delivered",
        "Results by rule", "Findings", "Waivers", "Azure Policy, held against this audit",
        "Restore tests and runbooks", "Cost annex", "Control matrix", "Run register", "Population", "Method",
            "Numbers behind the charts",
        "Sign-off", "How to verify this report",
    ]  # fmt: skip


def test_it_declares_pdf_a_3a_and_pdf_ua_1(made: bytes) -> None:
    with pikepdf.open(io.BytesIO(made)) as file:
        xmp = file.Root.Metadata.read_bytes().decode()
        assert bool(file.Root.MarkInfo.Marked)
        assert str(file.Root.Lang) == "en"
    assert 'pdfaid:part="3"' in xmp
    assert 'pdfaid:conformance="A"' in xmp
    assert 'pdfuaid:part="1"' in xmp


def test_the_record_is_enclosed_and_its_digest_is_printed(report: Report, made: bytes, pages: list[str]) -> None:
    with pikepdf.open(io.BytesIO(made)) as file:
        enclosed = {name: spec.get_file().read_bytes() for name, spec in file.attachments.items()}
        dates = {str(spec.get_file().obj.Params.CreationDate) for spec in file.attachments.values()}
        kinds = {str(spec.obj.AFRelationship) for spec in file.attachments.values()}
    assert set(enclosed) == {"findings.json", "findings.csv", "findings.xlsx", "population.csv"}
    for kind in ("json", "csv", "xlsx"):
        assert enclosed[f"findings.{kind}"] == formats.find(kind).render(report)
    assert json.loads(enclosed["findings.json"])["run"]["id"] == report.run.id
    for content in enclosed.values():
        assert hashlib.sha256(content).hexdigest() in "".join(pages[-2:])
    assert len(dates) == 1
    assert "20261122" in dates.pop()
    assert kinds == {"/Source", "/Data"}


def test_the_population_cannot_run_as_a_formula(made: bytes) -> None:
    with pikepdf.open(io.BytesIO(made)) as file:
        text = file.attachments["population.csv"].get_file().read_bytes().decode("utf-8-sig")
    assert "'=cmd|" in text
    assert not re.search(r"(^|,)\"?=", text, re.MULTILINE)


class _Tables(HTMLParser):
    """Find tables, their columns, and what stands in them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.columns: list[int] = []
        self.cells: list[set[int]] = []
        self.row = 0
        self.displays: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.columns.append(0)
            self.cells.append(set())
        elif tag == "col":
            self.columns[-1] += 1
        elif tag == "tr":
            self.row = 0
        elif tag in {"td", "th"}:
            assert "colspan" not in dict(attrs)
            self.row += 1

    def handle_endtag(self, tag: str) -> None:
        if tag == "tr":
            self.cells[-1].add(self.row)


@pytest.mark.parametrize("kind", ["nasty", "clean", "unknown", "incomplete", "empty"])
def test_every_table_has_a_fixed_layout_with_a_column_for_each_cell(kind: str) -> None:
    text = pdf.markup(view.build(sample.results(30, kind=kind)))
    css = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert css
    assert re.search(r"\btable \{ table-layout: fixed; width: 100%", css[1])
    assert not re.search(r"table-layout:\s*auto|display:\s*(inline-)?(flex|grid)|display:\s*inline-table", text)
    tables = _Tables(text)
    assert len(tables.columns) > 15
    for columns, cells in zip(tables.columns, tables.cells, strict=True):
        assert cells == {columns}


@pytest.mark.parametrize("kind", ["nasty", "incomplete"])
def test_nothing_is_laid_out_by_the_width_of_its_contents(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Such a layout breaks each text at each character: sixteen times the cost.
    from weasyprint.layout import block, inline, table  # noqa: PLC0415

    def forbidden(*_args: object, **_named: object) -> None:
        pytest.fail("a table of automatic layout, a flex or a grid box")

    for module, name in (
        (table, "auto_table_layout"),
        (block, "flex_layout"),
        (block, "grid_layout"),
        (inline, "flex_layout"),
        (inline, "grid_layout"),
    ):
        monkeypatch.setattr(module, name, forbidden)
    assert pdf.render(view.build(sample.results(30, kind=kind)), processes=0)


def test_a_character_no_font_has_is_printed_as_its_code(pages: list[str]) -> None:
    text = "".join("".join(pages).split())
    assert "[U+1F525]" in text
    assert "[U+202E]" in text
    assert "[U+65E5]" in text


def test_hostile_names_are_text_in_the_markup() -> None:
    text = pdf.markup(view.build(sample.results(30, kind="unknown")))
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_nothing_but_the_fonts_is_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret", encoding="utf-8")
    fetcher = typeset.fetcher(pictures=False)
    for url in (secret.as_uri(), "http://127.0.0.1:9/", "data:text/plain,x"):
        with pytest.raises(ValueError, match="loads nothing"):
            fetcher.fetch(url)


def test_the_cap_is_said_before_the_table_and_the_worst_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "MOST_FINDINGS", 20)
    report = view.build(sample.results(60))
    text = pdf.markup(report)
    shown = re.search(r"(\d+) of (\d+) findings are shown, worst first; the rest are in the attached", text)
    assert shown
    assert int(shown[1]) <= 20
    assert int(shown[2]) == report.told
    listed = re.findall(r"<tr><td>(E-\d+)</td>", text)
    assert listed[0] == report.causes[0].serial
    assert text.index(shown[0]) < text.index(f"<tr><td>{listed[0]}</td>")


def test_zero_findings_still_make_a_whole_report() -> None:
    text = pdf.markup(view.build(sample.results(20, kind="clean")))
    assert "There are no findings: no verdict is a fail" in text
    assert "Control totals" in text


def test_everything_unknown_cannot_be_missed_on_the_cover() -> None:
    text = pdf.markup(view.build(sample.results(20, kind="unknown")))
    cover = text[: text.index('<section class="chapter">')]
    assert '<div class="banner incomplete"><strong>Evidence: INCOMPLETE</strong>' in cover
    assert "Nothing is said about protection" in cover
    assert "kept for none" not in text


def test_it_says_in_conformity_and_never_compliant() -> None:
    text = pdf.markup(view.build(sample.results(20, kind="clean")))
    assert "in conformity with standard" in text
    assert not re.search(r"compliant|satisf", re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL), re.IGNORECASE)


def test_what_no_rule_tested_is_on_the_cover_and_listed_in_section_two(report: Report, pages: list[str]) -> None:
    assert report.untested
    for page in pages[:2]:
        assert "2 demands of the standard are not tested by this run. See section 2." in " ".join(page.split())
        assert "conformity" not in page
    listed = next(page for page in pages if "Demanded by the standard, not tested by this run" in page)
    assert "restore tests <&>" in listed
    assert re.search(r"^ *2 +Basis of preparation", "".join(pages[2:]), re.MULTILINE)


def test_the_cover_counts_what_was_judged_apart_from_what_was_read(report: Report, pages: list[str]) -> None:
    cover = " ".join(pages[0].split())
    judged, _, read = cover.partition("read as evidence:")
    assert "VMs: 23 of 24" in judged.partition("judged:")[2]
    assert "96 backup policies, 96 protected items, 960 recovery points" in read
    assert report.completeness.points == 960


def test_nothing_is_called_a_reconciliation(report: Report) -> None:
    text = pdf.markup(report)
    assert "econcil" not in text
    assert "recovery_point: items read" in text
    assert '<td class="num">24</td><td class="num">23</td><td class="num">1</td>' in text


def test_a_scope_that_names_nothing_is_all_that_is_visible() -> None:
    made = sample.results(12)
    scope: dict[str, object] = {
        "subscriptions": [],
        "management_groups": [],
        "exclude_subscriptions": [],
        "expect_subscriptions": None,
    }
    text = pdf.markup(view.build(replace(made, run=replace(made.run, scope=scope))))
    assert text.count("<td>all visible (none named)</td>") == 2
    assert '<tr><th scope="row">subscriptions left out</th><td>none</td></tr>' in text


def test_a_waiver_that_has_ended_stands_in_the_block_and_in_the_register() -> None:
    made = sample.results(24)
    waiver = {"id": "W-2025-031", "approver": "carla", "expires_on": "2026-10-31", "expired": True}
    first = view.build(made).causes[0].rows[0].finding
    rows = tuple(replace(row, waiver=waiver) if row.serial == first.serial else row for row in made.findings)
    text = pdf.markup(view.build(replace(made, findings=rows)))
    block = text.split('<div class="finding">')[1]
    assert f"W-2025-031 ended 2026-10-31, what it covered fails again ({first.serial})" in block
    assert "waiver W-2025-031 ended 2026-10-31</td>" in block
    assert "approved by carla" not in block
    assert "<strong>ended 2026-10-31</strong>" in text.split('id="waivers"')[1]


def test_a_waiver_that_has_ended_is_told_of_a_consequence_too() -> None:
    made = sample.results(300)
    child = next(row.also[0] for cause in view.build(made).causes for row in cause.rows if row.also)
    waiver = {"id": "W-9", "approver": "carla", "expires_on": "2026-10-31", "expired": True}
    rows = tuple(replace(row, waiver=waiver) if row.serial == child.serial else row for row in made.findings)
    assert f"what it covered fails again ({child.serial})" in pdf.markup(view.build(replace(made, findings=rows)))


def test_short_sections_share_a_page() -> None:
    made = sample.results(6, kind="clean")
    file = formats.find("pdf").render(view.build(replace(made, waivers=())))
    text = subprocess.run(["pdftotext", "-layout", "-", "-"], input=file, check=True, capture_output=True).stdout
    page = next(page for page in text.decode().split("\f") if "No waivers were given to this run." in page)
    assert "There are no findings" in page
    assert "Azure Policy, held against this audit" in page


def test_a_block_of_one_resource_gives_the_command_with_its_names_and_the_pairs() -> None:
    made = sample.results(24)
    row = next(row for row in made.findings if row.rule == "vm-protection-stopped" and row.status is Status.FAIL)
    text = pdf.markup(view.build(replace(made, findings=(row,))))
    name = html.escape(shlex.quote(wording.visible(f"vm;{row.resource_name}")), quote=False)
    assert f"--vault-name rsv-01 -c {shlex.quote('iaasvmcontainer;')[:-1]}" in html.unescape(text)
    assert html.unescape(name) in html.unescape(text)
    assert re.search(r"<td>age of the newest point: \S+ [hd]; demanded at most 24 h</td>", text)
    assert "newest point age hours" not in text


def test_a_space_before_small_print_is_part_of_it() -> None:
    # Where a text fills its line but for that space, WeasyPrint breaks it behind its first word.
    for template in sorted((assets.templates() / "pdf").glob("*.html")):
        for line in template.read_text(encoding="utf-8").splitlines():
            assert not re.search(r"[^\s>] <(span|b|strong|code|em|a)\b", line), f"{template.name}: {line[:120]}"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["nasty", "unknown", "empty"])
def test_verapdf_finds_no_fault(kind: str) -> None:
    from tests.formats import verapdf  # noqa: PLC0415 - starts a Java machine

    file = formats.find("pdf").render(view.build(sample.results(24, kind=kind)))
    assert verapdf.faults(file, "3a") == []
    assert verapdf.faults(file, "ua1") == []


@pytest.mark.slow
def test_verapdf_would_find_a_fault(made: bytes) -> None:
    from tests.formats import verapdf  # noqa: PLC0415

    target = io.BytesIO()
    with pikepdf.open(io.BytesIO(made)) as file:
        del file.Root.MarkInfo
        del file.Root.OutputIntents
        file.save(target)
    assert verapdf.faults(target.getvalue(), "3a")
    assert verapdf.faults(target.getvalue(), "ua1")


@pytest.mark.slow
def test_a_thousand_findings_cost_little_more_than_a_plain_table_of_as_many_rows() -> None:
    import weasyprint  # noqa: PLC0415

    rows = "".join(
        f"<tr><td>E-{n:04d}</td><td>app{n}</td><td>newest point {n} h old; rg-a, sub-b; owner; due</td></tr>"
        for n in range(1300)
    )
    plain = (
        "<style>table{table-layout:fixed;width:100%;border-collapse:collapse}td{border-bottom:1px solid}</style>"
        f'<table><col style="width:10%"><col style="width:30%"><col style="width:60%">{rows}</table>'
    )
    began = time.process_time()
    weasyprint.HTML(string=plain).write_pdf(pdf_variant="pdf/a-3a")
    table = time.process_time() - began
    report = view.build(sample.results(findings=1000))
    began = time.process_time()
    formats.find("pdf").render(report)
    assert time.process_time() - began < 3 * table


SIGNER = Signer(
    "CN=Internal Audit,O=Contoso <Ltd>", "CN=Contoso Issuing", "5f3a", "ab" * 32, sample.AS_OF, sample.AS_OF, ""
)


@pytest.mark.parametrize("language", ["en", "de"])
def test_the_sign_off_page_says_who_signs(language: str) -> None:
    made = sample.results(6, kind="clean")
    how = view.Presentation(language=language, signer=replace(SIGNER, timestamp="http://tsa.example"))
    told = html.unescape(pdf.markup(view.build(made, how)))
    for said in (SIGNER.subject, SIGNER.issuer, SIGNER.serial, SIGNER.fingerprint, "http://tsa.example", "--trust"):
        assert said in told
    texts = view.build(made, how).texts
    assert texts("signoff.unsigned") not in told
    told = html.unescape(pdf.markup(view.build(made, replace(how, signer=None))))
    assert texts("signoff.unsigned") in told
    assert SIGNER.fingerprint not in told


@pytest.mark.slow
def test_a_signed_report_conforms_to_pdf_a_and_pdf_ua(tmp_path: Path) -> None:
    from tests.formats import verapdf  # noqa: PLC0415

    key = FileKey(certificates.write_p12(tmp_path / "report.p12"), certificates.PASSWORD)
    with certificates.TimestampService() as service:
        signing = pades.Signing(key, service.url)
        how = view.Presentation(signer=signing.about)
        signed = signing.sign(formats.find("pdf").render(view.build(sample.results(6, kind="clean"), how)))
    assert [it.wrong for it in reading.check(signed, [certificates.root()]) if it.wrong] == []
    for flavour in verapdf.FLAVOURS:
        assert verapdf.faults(signed, flavour) == []


@pytest.mark.parametrize("kind", ["pdf", "html"])
def test_a_german_report_has_no_english_number(kind: str) -> None:
    made = view.build(annexed.results(240), view.Presentation(language="de"))
    text = pdf.markup(made) if kind == "pdf" else formats.find("html").render(made).decode()
    text = re.sub(
        r"<style>.*?</style>|<script.*?</script>|<svg.*?>|<(?:path|rect|line|circle|polyline|text)\b[^>]*>",
        "",
        text,
        flags=re.DOTALL,
    )
    text = re.sub(r"<pre>.*?</pre>|<[^>]*>", " ", text, flags=re.DOTALL)
    english = re.findall(r"\b\d{1,3},\d{3}\b(?!\d)|\d\.(?!\d{3}\b)\d+ (?:%|h\b|d\b|GiB|EUR)", text)
    assert not english
    assert re.search(r"\b\d\.\d{3} ", text)
    assert re.search(r"\d,\d %", text)


def test_the_cover_says_first_how_many_vms_fail_unless_nothing_could_be_judged() -> None:
    for kind, first in (("nasty", "result"), ("clean", "result"), ("unknown", "banner"), ("incomplete", "banner")):
        made = view.build(sample.results(20, kind=kind))
        cover = pdf.markup(made).partition('<section class="cover">')[2].partition("</section>")[0]
        places = {name: cover.index(f'class="{name}') for name in ("result", "banner")}
        assert min(places, key=lambda name: places[name]) == first
        assert f'<p class="result">{html.escape(made.charts["outcomes"].takeaway)}</p>' in cover


def test_the_cover_names_the_tenants_of_what_was_read() -> None:
    results = sample.results(6)
    read = tuple(replace(it, tenant_id=f"tenant-{n % 2}") for n, it in enumerate(results.subscriptions))
    made = view.build(replace(results, subscriptions=read, run=replace(results.run, identity={})))
    assert "<td>tenant-0, tenant-1</td>" in pdf.markup(made)
    none = tuple(replace(it, tenant_id="") for it in results.subscriptions)
    assert "<td>the-own</td>" in pdf.markup(
        view.build(replace(results, subscriptions=none, run=replace(results.run, identity={"tenant_id": "the-own"})))
    )


def test_a_row_that_an_earlier_run_has_seen_says_since_when_and_the_others_that_they_are_new() -> None:
    results = sample.results(24, hostile=False)
    as_of = results.run.as_of
    before = tuple(replace(row, first_seen=as_of - timedelta(days=7)) for row in results.findings)
    assert "seen since 2026-11-15" in pdf.markup(view.build(replace(results, findings=before)))
    fresh = pdf.markup(view.build(replace(results, findings=tuple(replace(it, first_seen=as_of) for it in before))))
    assert "seen since" not in fresh
    assert "; new<" in fresh
