"""report.md, read back by a Markdown parser: what it tells, that it fits, and that no name in it is obeyed."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from auditor.report import formats, view
from auditor.report.formats import markdown
from tests.formats import sample

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markdown_it.token import Token

# Tables, strikethrough and links of bare addresses, as GitHub has them; HTML is told apart, to be forbidden.
GITHUB = MarkdownIt("gfm-like", {"html": True})
KINDS = ["nasty", "clean", "unknown", "incomplete", "empty"]


def _text(kind: str = "nasty") -> str:
    return formats.find("markdown").render(view.build(sample.results(kind=kind))).decode("utf-8")


def _tokens(text: str) -> Iterator[Token]:
    for token in GITHUB.parse(text):
        yield token
        yield from token.children or ()


def _obeyed(text: str) -> list[str]:
    """Give what a page would do with the text beyond showing it."""
    found = [
        it.type for it in _tokens(text) if it.type in {"html_block", "html_inline", "link_open", "image", "s_open"}
    ]
    plain = [it.content for it in _tokens(text) if it.type == "text"]
    return found + [said for said in plain if re.search(r"[@#]\w|:\w+:|\$", said)]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_in_it_is_html_a_link_a_mention_or_a_reference(kind: str) -> None:
    assert _obeyed(_text(kind)) == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_line_of_a_table_has_the_cells_of_its_head(kind: str) -> None:
    rows = 0
    for block in re.findall(r"(?:^\|.*\|\n)+", _text(kind), re.MULTILINE):
        lines = block.splitlines()
        cells = {len(re.findall(r"(?<!\\)\|", line)) for line in lines}
        assert len(cells) == 1, block
        rows += len(lines) - 2
    parsed = sum(it.type == "tr_open" for it in _tokens(_text(kind))) - sum(
        it.type == "thead_open" for it in _tokens(_text(kind))
    )
    assert parsed == rows > 0


def test_it_tells_the_result_first_and_then_what_to_do_findings_and_evidence() -> None:
    report = view.build(sample.results(kind="incomplete"))
    text = markdown.text(report)
    heads = [line for line in text.splitlines() if re.match("##? ", line)]
    assert heads == [
        "# Azure VM data protection as at 2026-11-22 06:00 UTC",
        "## Do first",
        "## Findings",
        "## Results by rule",
        "## Completeness and accuracy",
        "## Waivers",
        "## Responses that match no finding",
        "## Digests to expect",
    ]
    assert "**INCOMPLETE** 7 parts of the evidence could not be read" in text
    for said in (report.result, report.run.manifest_digest, report.run.standard.digest, report.run.rules_digest):
        assert said in text
    for action in report.actions:
        assert action.title in text
    for cause in report.causes:
        assert f"`{cause.rule.id}`" in text
        assert cause.serial in text
    assert text.count("\n- ") >= len(report.unread)


def test_hostile_names_are_legible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markdown, "MOST_ROWS", 100)
    shown = {it.content for it in _tokens(_text("unknown")) if it.type == "code_inline"}
    assert {
        "=cmd|'/c calc'!A1",
        "</script><!--<img src=x onerror=alert(2)>",
        "rtl-[U+202E]gpj.exe",
        "a&amp;b[U+0007]bell[U+2028]line",
        "long-" + "x" * 495,
    } <= shown


def test_no_findings_are_said_to_be_none() -> None:
    text = _text("clean")
    assert "There are no findings." in text
    assert "there is nothing to do first" in text


def test_it_fits_and_says_how_much_was_cut() -> None:
    report = view.build(sample.results(300))
    whole = markdown.text(report)
    assert len(whole.encode()) < markdown.MOST_BYTES
    told = re.search(rf"^([\d,]+) of {report.told:,} findings are shown", whole, re.MULTILINE)
    assert told is not None
    assert int(told[1].replace(",", "")) == sum(
        1 + len(row.also) for cause in report.causes for row in cause.rows[: markdown.MOST_ROWS]
    )
    small = markdown.text(report, 30_000)
    assert len(small.encode()) < 30_000
    cut = re.search(r"Cut here for lack of room: (\d+) causes with ([\d,]+) findings", small)
    assert cut is not None
    shown = small.count("\n### ")
    assert int(cut[1]) == len(report.causes) - shown > 0
    assert int(cut[2].replace(",", "")) == sum(cause.size for cause in report.causes[shown:])
    assert report.run.manifest_digest in small


def test_the_longest_names_do_not_burst_it() -> None:
    made = sample.results(40)
    long = "\N{FIRE}`|" * 4000
    rows = tuple(
        replace(row, rule=row.rule, reason_code=f"code_{n}", resource_name=long, reason=long, owner=long)
        for n, row in enumerate(made.findings * 10)
    )
    report = view.build(replace(made, findings=rows, run=replace(made.run, organisation=long)))
    text = markdown.text(report)
    assert len(text.encode()) < markdown.MOST_BYTES
    assert "Cut here for lack of room" in text


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("newest point 31 h old, 24 h demanded", "newest point 31 h old, 24 h demanded"),
        ("owner @ops, see #12", "owner `@ops`, see `#12`"),
        ("go to https://evil.example now", "go to `https://evil.example` now"),
        ("a <b>bold</b> word", "a `<b>bold</b>` word"),
        ("*x* _y_ ~z~", "`*x* _y_ ~z~`"),
        ("tick ` tick", "tick `` ` `` tick"),
        ("", ""),
    ],
)
def test_only_what_would_be_obeyed_stands_in_code_spans(said: str, written: str) -> None:
    assert markdown.prose(said) == written


_NASTY = st.text(alphabet=st.sampled_from("`|\\<>*_~[]()!@#&;:/.$-{}\n\t abwhtpsWG1\u202e\N{FIRE}"), max_size=40)


@given(_NASTY, _NASTY)
def test_no_text_leaves_its_cell(name: str, said: str) -> None:
    table = "\n".join(markdown._table(("a", "b"), [(name, said)], names=(0,)))
    assert _obeyed(f"{table}\n") == []
    kinds = [token.type for token in GITHUB.parse(f"{table}\n")]
    assert (kinds.count("tr_open"), kinds.count("td_open")) == (2, 2)
    assert kinds[-1] == "table_close"


@given(_NASTY)
def test_no_text_leaves_its_line(said: str) -> None:
    text = f"- x: {markdown.prose(said)}\n"
    assert _obeyed(text) == []
    assert [it.type for it in GITHUB.parse(text)] == [
        "bullet_list_open", "list_item_open", "paragraph_open", "inline", "paragraph_close", "list_item_close",
        "bullet_list_close",
    ]  # fmt: skip


def test_responses_that_match_no_finding_are_named() -> None:
    page = formats.find("markdown").render(view.build(sample.results())).decode()
    _, _, told = page.partition("## Responses that match no finding")
    assert "vm-unprotected, resource group rg-gone | move `<b>it</b>`" in told.replace("| vm", "vm")
    silent = replace(sample.results(), idle_responses=())
    assert "Responses that" not in formats.find("markdown").render(view.build(silent)).decode()
