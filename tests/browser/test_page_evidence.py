"""What the page tells of one VM, and how its rows and links leave it: calendar, address, CSV, paper."""

from __future__ import annotations

import csv
import io
import subprocess
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from auditor.report import formats, view
from tests.browser.pages import Opened, serials, shown
from tests.formats import sample

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from auditor.model import Machine

pytestmark = pytest.mark.browser


def _open(page: Page) -> str:
    return page.inner_text("#panel-title") if page.is_visible("#panel") else ""


def _machine(**wanted: bool) -> Machine:
    machines = sample.results(120).machines
    return next(
        it for it in machines if all(bool(getattr(it.calendar, key, 0)) is said for key, said in wanted.items())
    )


def test_a_vm_s_calendar_marks_each_promised_day_without_a_point(opened: Opened, files: dict[str, Path]) -> None:
    machine = _machine(missing=True)
    calendar = machine.calendar
    assert calendar is not None
    page = opened.go(files["nasty"], f"#vm={machine.name}")
    assert _open(page) == machine.name
    drawn = {kind: page.locator(f"#panel .calendar .cal-{kind}").count() for kind in ("found", "missing", "extra")}
    assert drawn == {
        "found": (calendar.promised & calendar.found).bit_count(),
        "missing": calendar.missing.bit_count(),
        "extra": (calendar.found & ~calendar.promised).bit_count(),
    }
    said = page.inner_text("#panel")
    assert "Promised, no point: " + ", ".join(str(first) for first, _ in calendar.gaps()) in said
    assert page.get_attribute("#panel .calendar", "role") == "img"
    assert f"to {calendar.last}" in (page.get_attribute("#panel .calendar", "aria-label") or "")


def test_the_chain_tells_in_words_what_the_item_does(opened: Opened, files: dict[str, Path]) -> None:
    states = {it.protection: it for it in sample.results(120).machines if it.excluded_code is None}
    said = {"protected": "Backup item: makes points; /subscriptions/", "unprotected": "Backup item: none found"}
    for protection, text in said.items():
        assert _open(opened.go(files["nasty"], f"#vm={states[protection].name}"))
        assert text in opened.page.inner_text("#panel .chain")
    blind = next(it for it in sample.results(120, kind="unknown").machines if it.protection == "unknown")
    assert _open(opened.go(files["unknown"], f"#vm={blind.name}"))
    assert "Backup item: cannot be told" in opened.page.inner_text("#panel .chain")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation_beside_a_calendar(browser: Browser, files: dict[str, Path], scheme: Any) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    page = Opened(context.new_page()).go(files["nasty"], f"#vm={_machine(missing=True).name}")
    assert page.is_visible("#panel .calendar")
    found = Axe().run(page).response["violations"]
    context.close()
    assert [(it["id"], it["nodes"][0]["html"][:120]) for it in found] == []


def test_weeks_are_columns_and_a_sunday_stands_at_the_bottom(opened: Opened, files: dict[str, Path]) -> None:
    machine = _machine(missing=True)
    page = opened.go(files["nasty"], f"#vm={machine.name}")
    places = page.eval_on_selector_all(
        "#panel .calendar rect",
        "all => all.map(it => [it.querySelector('title').textContent.slice(0, 10), +it.getAttribute('y')])",
    )
    heights = {date.fromisoformat(day).weekday(): y for day, y in places}
    assert [heights[day] for day in range(7)] == sorted(heights.values())
    assert heights[6] - heights[0] == 6 * 18


def test_a_vm_whose_days_are_not_known_says_why(opened: Opened, files: dict[str, Path]) -> None:
    page = opened.go(files["unknown"], f"#vm={_machine(found=True).name}")
    assert "Days cannot be shown" in page.inner_text("#panel")
    assert page.locator("#panel .calendar").count() == 0


def test_enter_in_the_search_tells_everything_of_the_vm_and_escape_leads_back(
    opened: Opened, files: dict[str, Path]
) -> None:
    page = opened.go(files["nasty"])
    name = _machine(missing=True).name
    page.fill("#q", name)
    page.keyboard.press("Enter")
    assert _open(page) == name
    said = page.inner_text("#panel")
    assert said.index("Verdicts of this VM") < said.index("Chain of protection") < said.index("Recovery points by day")
    assert page.evaluate("document.activeElement.id") == "panel-title"
    page.keyboard.press("Escape")
    assert _open(page) == ""
    assert page.evaluate("document.activeElement.closest('#machines') !== null")


def test_back_and_forward_walk_through_what_was_looked_at(opened: Opened, files: dict[str, Path]) -> None:
    page = opened.go(files["nasty"])
    everything = shown(page)[0]
    page.select_option("#status", "waived")
    waived = shown(page)[0]
    page.click("#rows .name >> nth=0")
    title = _open(page)
    assert title
    page.go_back()
    page.wait_for_selector("#panel", state="hidden")
    assert shown(page)[0] == waived
    page.go_back()
    page.wait_for_function("document.getElementById('status').value === ''")
    assert shown(page)[0] == everything
    page.go_forward()
    page.go_forward()
    page.wait_for_selector("#panel-title")
    assert _open(page) == title
    assert shown(page)[0] == waived


def test_a_link_scrolls_to_the_findings_and_an_anchor_keeps_the_filters(opened: Opened, files: dict[str, Path]) -> None:
    page = opened.go(files["nasty"], "#status=fail")
    top = page.evaluate("document.getElementById('findings').getBoundingClientRect().top")
    assert -1 <= top <= 40
    fails = shown(page)[0]
    page.click("header nav >> text=Waivers")
    assert shown(page)[0] == fails


def test_the_link_of_a_finding_and_of_a_vm_names_just_that(browser: Browser, files: dict[str, Path]) -> None:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = Opened(context.new_page()).go(files["nasty"], "#status=fail&sort=-severity")
    page.click("#rows .name >> nth=3")
    title = _open(page)
    machine = _machine(missing=True)
    for action, expected in (("row", title), ("vm", machine.name)):
        if action == "vm":
            page.fill("#q", machine.name)
            page.keyboard.press("Enter")
        page.click("#panel >> text=Copy link")
        page.wait_for_selector("#panel >> text=Copied")
        link = str(page.evaluate("navigator.clipboard.readText()"))
        assert link.startswith(files["nasty"].as_uri() + f"#{action}=")
        assert "status" not in link
        other = context.new_page()
        other.goto(link)
        other.wait_for_selector("#panel-title")
        assert _open(other) == expected
    context.close()


def test_the_rows_that_match_are_saved_and_run_nothing_in_a_spreadsheet(
    opened: Opened, files: dict[str, Path], tmp_path: Path
) -> None:
    page = opened.go(files["unknown"])
    made = sample.results(120, kind="unknown")
    for query, expected in (("", len(made.findings)), ("=cmd", None)):
        page.select_option("#status", "any")
        page.fill("#q", query)
        page.keyboard.press("Tab")
        page.wait_for_timeout(50)
        with page.expect_download() as started:
            page.click("#save")
        started.value.save_as(tmp_path / "rows.csv")
        text = (tmp_path / "rows.csv").read_bytes().decode("utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
        assert started.value.suggested_filename == "findings-2026-11-22T060000Z.csv"
        assert len(rows) == (expected or sum(it.resource_name.startswith("=cmd") for it in made.findings)) > 0
        assert not [cell for row in rows for cell in row.values() if cell[:1] in set("=+-@\t\r\n")]
        assert page.inner_text("#count") == f"{len(rows):,} rows saved as findings-2026-11-22T060000Z.csv"
    assert {row["resource_name"] for row in rows} == {"'=cmd|'/c calc'!A1"}
    told = {(it.serial, it.rule, it.reason_code, it.resource_id) for it in made.findings}
    assert {(row["serial"], row["rule"], row["reason_code"], row["resource_id"]) for row in rows} <= told
    assert [url for url in opened.requests if not url.startswith(("file:", "data:font/", "blob:"))] == []
    assert opened.complaints == []


def _printed(page: Page) -> str:
    done = subprocess.run(["pdftotext", "-layout", "-", "-"], input=page.pdf(), check=True, capture_output=True)
    return " ".join(done.stdout.decode().split())


def test_paper_has_the_summary_the_filters_and_the_rows_and_no_controls(opened: Opened, files: dict[str, Path]) -> None:
    page = opened.go(files["nasty"], "#rule=backup-rpo-breached&status=fail")
    count = shown(page)[0]
    text = _printed(page)
    assert f"Filters: rule backup-rpo-breached, status fail. {count} of {count} rows that match" in text
    assert all(serial in text for serial in serials(page))
    assert "Evidence: COMPLETE" in text
    assert "VMs judged fail at least one rule" in text
    assert "promised days have a recovery point" in text
    for control in ("Save these rows", "All rules", "Clear", "Skip to"):
        assert control not in text


def test_paper_is_capped_and_says_so_and_the_screen_comes_back(opened: Opened, tmp_path: Path) -> None:
    target = tmp_path / "many.html"
    target.write_bytes(formats.find("html").render(view.build(sample.results(findings=1200, hostile=False))))
    page = opened.go(target)
    text = _printed(page)
    assert "500 of 1,200 rows that match the filters are printed" in text
    assert "E-0500" in text
    assert "E-0501" not in text
    assert page.locator("#rows tr").count() < 60
    page.focus("#scroller")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.closest('tr').cells[0].textContent") == "E-0001"


_STOP = """() => {
  const it = document.activeElement, name = it.id || it.dataset.filter || it.textContent.trim().slice(0, 30);
  return it === document.body ? null : [name, getComputedStyle(it).outlineStyle !== "none"];
}"""


def test_every_stop_of_the_tab_key_can_be_seen_and_there_is_no_trap(opened: Opened, files: dict[str, Path]) -> None:
    page = opened.go(files["clean"])
    stops = []
    for _ in range(400):
        page.keyboard.press("Tab")
        stop = page.evaluate(_STOP)
        if stop is None:
            break
        stops.append(stop)
    else:
        pytest.fail("the tab key never leaves the page")
    names = [name for name, _ in stops]
    assert [name for name, visible in stops if not visible] == []
    assert names[0] == "Skip to the findings"
    wanted = ["status=fail", "q", "status", "severity", "subscription", "clear", "save", "scroller"]
    assert [name for name in names if name in wanted] == wanted


def test_nothing_moves_for_those_who_asked_for_rest(browser: Browser, files: dict[str, Path]) -> None:
    context = browser.new_context(reduced_motion="reduce")
    page = Opened(context.new_page()).go(files["nasty"], "#row=E-0003")
    page.click("header nav >> text=Rules")
    assert page.evaluate("document.getAnimations().length") == 0
    moving = (
        "[...document.querySelectorAll('*')].filter(it => { const style = getComputedStyle(it);"
        " return style.scrollBehavior === 'smooth' || style.transitionDuration !== '0s'"
        " || style.animationName !== 'none'; }).length"
    )
    assert page.evaluate(moving) == 0
    context.close()


def test_open_tables_of_the_charts_fit_a_phone(browser: Browser, files: dict[str, Path]) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740})
    page = Opened(context.new_page()).go(files["nasty"])
    for details in page.query_selector_all("figure details summary"):
        details.click()
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.fill("#q", _machine(missing=True).name)
    page.keyboard.press("Enter")
    assert page.is_visible("#panel .calendar")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.keyboard.press("Escape")
    assert page.is_hidden("#panel")
    context.close()
