"""A large report.pdf is laid out in parts: what reaches the reader is one document, whoever laid it out."""

from __future__ import annotations

import io
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pikepdf
import pytest

from auditor.errors import AuditorError
from auditor.report import formats, merging, typeset, view
from auditor.report.formats import json as record
from auditor.report.formats import pdf
from tests.formats import sample

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditor.report.view import Report

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


def text_of(file: bytes) -> str:
    return subprocess.run(
        ["pdftotext", "-layout", "-", "-"], input=file, check=True, capture_output=True
    ).stdout.decode()


def tags(element: Any) -> Iterator[Any]:
    yield element
    kids = element.get("/K", ())
    for kid in kids if isinstance(kids, pikepdf.Array) else [kids]:
        if isinstance(kid, pikepdf.Dictionary) and "/S" in kid:
            yield from tags(kid)


def bookmarks(items: list[pikepdf.OutlineItem], pages: dict[tuple[int, int], int]) -> Iterator[tuple[str, int]]:
    for item in items:
        assert isinstance(item.destination, pikepdf.Array)
        yield item.title, pages[item.destination[0].objgen]
        yield from bookmarks(item.children, pages)


@pytest.fixture(scope="module")
def report() -> Report:
    return view.build(sample.results(24))


@pytest.fixture(scope="module")
def whole(report: Report) -> bytes:
    return pdf.render(report, processes=0)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch, report: Report) -> None:
    monkeypatch.setattr(pdf, "MOST_TOGETHER", 18)
    assert len(pdf.Book(report).body) > 3


@pytest.fixture(scope="module")
def cut(report: Report) -> bytes:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pdf, "MOST_TOGETHER", 18)
        return pdf.render(report, processes=0)


def test_each_row_is_told_once_and_in_order_however_the_report_is_cut(report: Report, whole: bytes, cut: bytes) -> None:
    for row in (r"^ *(E-\d{4}) ", r"^ *(VM-\d{4}) "):
        told = re.findall(row, text_of(whole), re.MULTILINE)
        assert told == re.findall(row, text_of(cut), re.MULTILINE)
    assert Counter(told) == Counter(f"VM-{number:04d}" for number in range(1, len(report.machines) + 1))


def test_a_table_that_goes_on_in_the_next_part_begins_with_its_header(cut: bytes) -> None:
    for page in text_of(cut).split("\f"):
        first = re.search(r"^ *(No\.|VM-\d{4}|E-\d{4}(?! +[a-z ]+, [a-z]+: )) {3,}", page, re.MULTILINE)
        assert first is None or first[1] == "No."


def test_bookmarks_are_those_of_the_report_in_one_part_and_lead_to_their_headings(whole: bytes, cut: bytes) -> None:
    titles = []
    for file in (whole, cut):
        text = text_of(file).split("\f")
        with pikepdf.open(io.BytesIO(file)) as opened, opened.open_outline() as outline:
            found = list(bookmarks(list(outline.root), {it.obj.objgen: n for n, it in enumerate(opened.pages)}))
        for title, page in found:
            last = title.split()[-1]
            assert last in text[page], title
        titles.append([title for title, _ in found])
    assert titles[0] == titles[1]
    assert len(titles[0]) > 30


def test_links_lead_to_the_pages_that_the_contents_tell(cut: bytes) -> None:
    with pikepdf.open(io.BytesIO(cut)) as file:
        pages = {it.obj.objgen: number for number, it in enumerate(file.pages, start=1)}
        links = [[pages[it.Dest[0].objgen] for it in page.obj.get("/Annots", ())] for page in file.pages]
    told = [int(number) for number in re.findall(r"  page (\d+)$", text_of(cut).split("\f")[2], re.MULTILINE)]
    assert links[2] == told
    assert told[-1] > 10
    assert sum(map(len, links)) > len(told)  # other chapters point to each other too


def test_every_tag_belongs_to_the_one_document_and_all_content_to_a_tag(cut: bytes) -> None:
    with pikepdf.open(io.BytesIO(cut)) as file:
        root = file.Root.StructTreeRoot
        (document,) = root.K
        found = list(tags(document))
        assert [str(part.S) for part in document.K] == ["/Part"] * len(document.K)
        assert len(document.K) > 4
        pages = {page.obj.objgen for page in file.pages}
        assert {it.Pg.objgen for it in found if "/Pg" in it} == pages
        numbers = root.ParentTree.Nums
        keys = [int(numbers[index]) for index in range(0, len(numbers), 2)]
        assert keys == list(range(len(keys)))
        of_content = dict(zip(keys, list(numbers)[1::2], strict=True))
        reachable = {it.objgen for it in found}
        for page in file.pages:
            marked = of_content[int(page.obj.StructParents)]
            assert {it.objgen for it in marked} <= reachable
            assert len(marked) == page.Contents[1].read_bytes().count(b"/MCID")
            for annotation in page.obj.get("/Annots", ()):
                assert str(of_content[int(annotation.StructParent)].S) == "/Link"
        heads = [it for it in found if str(it.S) == "/TH"]
        assert {str(it.A.Scope) for it in heads} == {"/Column", "/Row"}


def test_one_colour_profile_and_one_output_intent_are_kept(cut: bytes) -> None:
    with pikepdf.open(io.BytesIO(cut)) as file:
        assert len(file.Root.OutputIntents) == 1
        profiles = {it.Resources.ColorSpace["/srgb"][1].objgen for it in file.pages}
        fonts = [
            font.DescendantFonts[0].FontDescriptor.FontFile2
            for resources in {it.obj.Resources.objgen: it.obj.Resources for it in file.pages}.values()
            for font in resources.Font.values()
        ]
        kept = {it.objgen: it.read_raw_bytes() for it in fonts}
    assert len(profiles) == 1
    assert len(set(kept.values())) == len(kept)


@pytest.mark.usefixtures("small_parts")
def test_one_process_or_two_give_the_same_bytes(report: Report, cut: bytes) -> None:
    assert pdf.render(report, processes=1) == cut
    assert pdf.render(report, processes=2) == cut
    assert not multiprocessing.active_children()


def test_a_front_of_more_pages_than_usual_is_laid_out_again_with_the_right_numbers() -> None:
    asked = []

    def front(pages: Any) -> merging.Part:
        asked.append(dict(pages))
        places = {"summary": merging.Place(2, 0, 0), "contents": merging.Place(3, 0, 0)}
        return merging.Part(b"", ((1, 1),) * 6, places, ())

    body = [merging.Part(b"", ((1, 1),), {"basis": merging.Place(0, 0, 0)}, ())]
    pdf._settled(front, body)
    first = {"summary": 2, "contents": 3, "basis": pdf._FRONT_PAGES + 1}
    assert asked == [first, {"summary": 3, "contents": 4, "basis": 7}]


def _text(name: str, said: str = "x") -> typeset.Text:
    return typeset.Text(name, f"<html lang=en><title>t</title><h1 id={said}>{said}</h1>", 0)


def test_a_process_that_dies_is_told_with_the_part_that_it_had() -> None:
    def texts() -> Iterator[typeset.Text]:
        yield _text("the first")
        (child,) = multiprocessing.active_children()
        assert child.pid
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        yield _text("the second")

    with pytest.raises(AuditorError, match="the second could not be laid out: its process ended with code -9"):
        typeset.parts(texts(), 2, processes=1)
    assert not multiprocessing.active_children()


def test_a_part_that_cannot_be_laid_out_is_named() -> None:
    broken: Any = typeset.Text("the broken one", None, 0)  # type: ignore[arg-type]
    with pytest.raises(AuditorError, match="the broken one could not be laid out: AttributeError"):
        typeset.parts([_text("the first"), broken], 2, processes=1)


def test_nothing_is_left_running_when_it_is_interrupted() -> None:
    def texts() -> Iterator[typeset.Text]:
        yield _text("the first")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        typeset.parts(texts(), 2, processes=2)
    assert not multiprocessing.active_children()


def test_nothing_is_left_running_when_the_parent_is_killed() -> None:
    code = (
        "import multiprocessing, os, signal\nfrom auditor.report import typeset\n"
        "if __name__ == '__main__':\n"
        "    with typeset._hands(1):\n"
        "        print(multiprocessing.active_children()[0].pid, flush=True)\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False).stdout
    deadline = time.monotonic() + 20
    while Path(f"/proc/{int(said)}").exists() and "Z" not in Path(f"/proc/{int(said)}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_link_to_nowhere_is_an_error() -> None:
    text = typeset.Text("x", "<html lang=en><title>t</title><h1>a</h1><a href='#b'>b</a>".replace("'", '"'), 0)
    made = typeset.part(text)
    with pytest.raises(ValueError, match="'b', which is nowhere"):
        merging.merge([made], typeset.sheets(_text("sheet")))


def test_parts_are_cut_as_seldom_as_may_be_and_evenly() -> None:
    assert [len(it) for it in pdf._cut(range(1000))] == [1000]
    assert [len(it) for it in pdf._cut(range(1001))] == [501, 500]
    assert [len(it) for it in pdf._cut(range(2500))] == [834, 834, 832]
    assert pdf._cut([]) == []


def test_what_it_costs_to_leave_nothing_out_is_said_before() -> None:
    results = sample.results(400, hostile=False)
    form = formats.find("pdf")
    assert form.notice(view.build(results)) == ""
    said = form.notice(view.build(results, view.Presentation(pdf_all=True)))
    assert re.fullmatch(r"--pdf-all: \d+ findings and 400 VMs take some \d+ pages and \d+ s of computing time", said)
    assert form.notice(view.build(sample.results(12), view.Presentation(pdf_all=True))) == ""
    assert formats.find("html").notice(view.build(results)) == ""


def test_nothing_is_left_out_where_all_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "MOST_FINDINGS", 20)
    monkeypatch.setattr(pdf, "MOST_MACHINES", 10)
    results = sample.results(60)
    few, many = (pdf.markup(view.build(results, view.Presentation(pdf_all=it))) for it in (False, True))
    assert "10 of 60 VMs are shown; all are in the attached" in few
    assert len(re.findall("<tr><td>VM-", few[few.index('id="population"') :])) == 10
    assert "60 of 60 VMs are shown." in many
    report = view.build(results)
    assert f"{report.told} of {report.told} findings are shown, worst first." in many
    assert "findings are shown, worst first; the rest are in the attached" in few
    last = report.causes[-1].serial
    assert f'<span class="serial">{last}</span>' in many
    assert f'<span class="serial">{last}</span>' not in few


def test_how_many_of_a_block_are_shown_is_said_before_its_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "MOST_FINDINGS", 20)
    text = pdf.markup(view.build(sample.results(60)))
    block = next(it for it in text.split('<div class="finding">') if re.search(r">\d+ of \d+ shown\.<", it))
    assert block.index("shown.<") < block.index('<table class="rows tight">')


def test_verapdf_finds_no_fault_in_two_thousand_findings_laid_out_in_parts() -> None:
    from tests.formats import verapdf  # noqa: PLC0415 - starts a Java machine

    report = view.build(sample.results(300, findings=2000))
    assert len(pdf.Book(report).body) > 1
    file = pdf.render(report)
    assert file == pdf.render(report, processes=1)
    assert verapdf.faults(file, "3a") == []
    assert verapdf.faults(file, "ua1") == []
    with pikepdf.open(io.BytesIO(file)) as opened:
        assert opened.attachments["findings.json"].get_file().read_bytes() == record.render(report)
