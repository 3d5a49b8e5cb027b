"""The HTML report in a browser: nothing leaves it, everything is reached by keyboard, links show what they name."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from auditor.report import formats, view
from tests.browser.pages import Opened, serials, shown
from tests.formats import sample

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Dialog

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("kind", ["nasty", "clean", "unknown", "incomplete", "empty"])
def test_nothing_is_loaded_and_the_policy_is_not_broken(opened: Opened, files: dict[str, Path], kind: str) -> None:
    page = opened.go(files[kind])
    assert page.evaluate("document.documentElement.dataset.ready") != "failed"
    assert opened.complaints == []
    assert [url for url in opened.requests if not url.startswith(("file:", "data:font/"))] == []


@pytest.mark.parametrize("kind", ["nasty", "clean", "unknown", "incomplete", "empty"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(browser: Browser, files: dict[str, Path], kind: str, scheme: Any) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    page = Opened(context.new_page()).go(files[kind], "#row=E-0001")
    for details in page.query_selector_all("figure details summary"):
        details.click()
    found = Axe().run(page).response["violations"]
    context.close()
    assert [(it["id"], it["nodes"][0]["html"][:120]) for it in found] == []


def test_axe_finds_no_violation_on_a_phone(browser: Browser, files: dict[str, Path]) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740})
    page = Opened(context.new_page()).go(files["nasty"])
    found = Axe().run(page).response["violations"]
    assert [(it["id"], it["nodes"][0]["html"][:120]) for it in found] == []
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.click("#rows .name >> nth=0")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert page.is_visible("#panel")
    context.close()


@pytest.mark.parametrize(("width", "fragment"), [(360, ""), (820, ""), (1440, ""), (1440, "#row=E-0001")])
def test_the_severity_of_a_row_is_seen_once_at_every_width(
    browser: Browser, files: dict[str, Path], width: int, fragment: str
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900})
    page = Opened(context.new_page()).go(files["nasty"], fragment)
    assert page.inner_text("#rows tr >> nth=0").split().count("critical") == 1
    context.close()


def test_no_head_of_a_column_runs_into_the_next(opened: Opened, tmp_path: Path) -> None:
    target = tmp_path / "german.html"
    target.write_bytes(formats.find("html").render(view.build(sample.results(12), view.Presentation(language="de"))))
    page = opened.go(target)
    heads = "[...document.querySelectorAll('#table thead button')].filter(it => it.scrollWidth > it.clientWidth)"
    assert page.evaluate(f"{heads}.map(it => it.textContent)") == []


def test_a_status_filter_shows_only_that_status(opened: Opened, files: dict[str, Path]) -> None:
    page = opened.go(files["nasty"])
    before, everything = shown(page)
    page.select_option("#status", "waived")
    after, _ = shown(page)
    assert 0 < after < before < everything
    words = page.eval_on_selector_all("#rows .status", "cells => cells.map(it => it.textContent)")
    assert set(words) == {"waived"}
    assert "status=waived" in page.url
    page.select_option("#status", "any")
    assert shown(page)[0] == everything


def test_rule_severity_and_subscription_filter_together(opened: Opened, files: dict[str, Path]) -> None:
    page = opened.go(files["nasty"])
    page.click("button[data-rule=retention-monthly-below-standard]")
    by_rule, _ = shown(page)
    page.select_option("#severity", "high")
    by_both, _ = shown(page)
    page.select_option("#subscription", label="sub-prod")
    by_all, _ = shown(page)
    assert by_rule > by_both > by_all > 0
    assert page.get_attribute("button[data-rule=retention-monthly-below-standard]", "aria-pressed") == "true"
    page.click("#clear")
    assert "#" not in page.url or page.url.endswith("#")


def test_subscriptions_of_one_name_are_filtered_apart(opened: Opened, tmp_path: Path) -> None:
    made = sample.results(60, hostile=False)
    names = {it.subscription_id: "twin" for it in made.subscriptions[:2]}
    rows = tuple(
        replace(row, subscription_name=names.get(row.subscription_id, row.subscription_name)) for row in made.findings
    )
    subscriptions = tuple(replace(it, name=names.get(it.subscription_id, it.name)) for it in made.subscriptions)
    target = tmp_path / "twins.html"
    target.write_bytes(
        formats.find("html").render(view.build(replace(made, subscriptions=subscriptions, findings=rows)))
    )
    page = opened.go(target)
    page.select_option("#status", "any")
    for it in made.subscriptions[:2]:
        page.select_option("#subscription", label=f"twin ({it.subscription_id[:8]})")
        assert shown(page)[0] == sum(row.subscription_id == it.subscription_id for row in rows)
        assert f"subscription={it.subscription_id}" in page.url
    assert "twin (00000002)" in page.inner_text("#rows .c-resource >> nth=0")


def test_searching_for_a_vm_shows_its_findings_and_its_card(opened: Opened, files: dict[str, Path]) -> None:
    page = opened.go(files["nasty"])
    name = page.inner_text("#rows .name >> nth=0")
    page.fill("#q", name)
    page.wait_for_function("document.querySelectorAll('#machines button').length > 0")
    assert shown(page)[0] > 0
    assert set(page.eval_on_selector_all("#rows .name", "cells => cells.map(it => it.textContent)")) == {name}
    page.click("#machines button")
    panel = page.inner_text("#panel")
    assert "Chain of protection" in panel
    assert "pass" in panel
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.closest('#machines') !== null")


def test_a_search_that_finds_nothing_says_so(opened: Opened, files: dict[str, Path]) -> None:
    page = opened.go(files["nasty"])
    page.fill("#q", "no such machine anywhere")
    page.wait_for_function("document.querySelectorAll('#rows tr').length === 0")
    assert page.inner_text("#count") == "No finding matches these filters."


def test_sorting_works_by_keyboard_and_is_announced(opened: Opened, files: dict[str, Path]) -> None:
    page = opened.go(files["nasty"])
    for key in ("status", "severity", "resource", "rule", "due"):
        page.focus(f"button[data-sort={key}]")
        page.keyboard.press("Enter")
        head = page.locator(f"th:has(button[data-sort={key}])")
        assert head.get_attribute("aria-sort") == "ascending"
        page.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") == "descending"
        assert page.locator("th[aria-sort]").count() == 1
    page.click("button[data-sort=serial]")
    found = serials(page)
    assert found == sorted(found)
    page.click("button[data-sort=severity]")
    assert page.inner_text("#rows .c-severity >> nth=0") == "critical"
    page.click("button[data-sort=severity]")
    assert page.inner_text("#rows .c-severity >> nth=0") == "medium"


@pytest.mark.parametrize(
    ("fragment", "check"),
    [
        ("#rule=backup-rpo-breached&status=fail", "Newest recovery point is older than the RPO"),
        ("#q=%3Cscript%3E", "app'01\"<script>alert(1)</script>"),
        ("#status=not_applicable", "not applicable"),
    ],
)
def test_a_link_shows_what_it_names(opened: Opened, files: dict[str, Path], fragment: str, check: str) -> None:
    page = opened.go(files["nasty"], fragment)
    assert shown(page)[0] > 0
    assert all(
        check in str(text) for text in page.eval_on_selector_all("#rows tr", "rows => rows.map(it => it.textContent)")
    )


def test_a_link_to_a_row_opens_it_and_a_copy_of_the_address_does_too(opened: Opened, files: dict[str, Path]) -> None:
    page = opened.go(files["nasty"], "#row=E-0012")
    assert page.inner_text("#panel-title").startswith("E-0012")
    assert page.inner_text("#rows tr.current .c-serial") == "E-0012"
    page.click("#panel >> text=Close")
    assert "row=" not in page.url
    page.evaluate("location.hash = '#row=E-0020'")
    page.wait_for_function("(document.getElementById('panel-title') || {}).textContent?.startsWith('E-0020')")


def test_a_figure_of_the_summary_filters_the_table(opened: Opened, files: dict[str, Path]) -> None:
    page = opened.go(files["nasty"])
    figure = page.locator(".figures a", has_text="not yet due")
    count = int(figure.locator(".big").inner_text())
    figure.click()
    assert shown(page)[0] == count


def test_rows_are_walked_with_the_arrow_keys_and_closed_with_escape(opened: Opened, files: dict[str, Path]) -> None:
    page = opened.go(files["nasty"])
    page.focus("#scroller")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.inner_text("#panel-title").startswith("E-0002")
    assert page.evaluate("document.activeElement.id") == "panel-title"
    page.keyboard.press("Escape")
    assert page.is_hidden("#panel")
    assert page.evaluate("document.activeElement.closest('tr').cells[0].textContent") == "E-0002"
    for _ in range(60):
        page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.closest('tr').cells[0].textContent") == "E-0062"
    page.keyboard.press("End")
    last = page.evaluate("document.activeElement.closest('tr').getAttribute('aria-rowindex')")
    assert int(last) == shown(page)[0] + 1
    assert int(page.get_attribute("#table", "aria-rowcount") or 0) == shown(page)[0] + 1


def test_page_down_moves_one_screen_and_not_ten(opened: Opened, files: dict[str, Path]) -> None:
    page = opened.go(files["nasty"])
    page.focus("#scroller")
    height = page.evaluate("document.getElementById('scroller').clientHeight")
    for step in (1, 2, 3):
        page.keyboard.press("PageDown")
        page.wait_for_timeout(400)
        moved = page.evaluate("document.getElementById('scroller').scrollTop")
        assert 0.7 * height * step < moved <= height * step
    first = page.evaluate(
        "(() => { const box = document.getElementById('scroller').getBoundingClientRect();"
        " const rows = [...document.querySelectorAll('#rows tr')];"
        " return rows.some(it => it.getBoundingClientRect().bottom >= box.bottom); })()"
    )
    assert first


def test_hostile_names_run_nothing_and_areshown(opened: Opened, files: dict[str, Path]) -> None:
    dialogs: list[str] = []

    def refuse(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    opened.page.on("dialog", refuse)
    page = opened.go(files["unknown"])
    for text in ("<script>", "onerror", "rtl-", "{{ 7", "=cmd"):
        page.fill("#q", text)
        page.wait_for_function("document.querySelectorAll('#machines button').length > 0")
        page.click("#rows .name >> nth=0")
        assert page.is_visible("#panel")
    page.fill("#q", "rtl-")
    page.wait_for_function("document.querySelectorAll('#machines button').length === 1")
    assert "rtl-[U+202E]gpj.exe" in page.inner_text("#rows .name >> nth=0")
    assert dialogs == []
    assert opened.complaints == []
    assert page.evaluate("document.querySelectorAll('#panel script, #panel img, #rows script').length") == 0


def test_the_panel_shows_the_fix_and_copies_it(browser: Browser, files: dict[str, Path]) -> None:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = Opened(context.new_page()).go(files["nasty"], "#rule=vm-protection-stopped&status=fail")
    page.click("#rows .name >> nth=0")
    page.click("#panel >> text=Copy command")
    page.wait_for_selector("#panel >> text=Copied")
    copied = str(page.evaluate("navigator.clipboard.readText()"))
    assert copied.startswith("az backup protection resume -g <group> --vault-name rsv-01 -c 'iaasvmcontainer;")
    assert " -i 'vm;" in copied
    assert copied.endswith("--policy-name <policy>")
    pairs = page.inner_text("#panel table")
    assert re.search(r"age of the newest point\s+24 h\s+[\d.]+ [hd]", pairs)
    context.close()


def test_without_scripts_the_worst_findings_can_be_read(browser: Browser, files: dict[str, Path]) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(files["nasty"].as_uri())
    assert page.locator("noscript tbody tr").count() == 100
    table = page.locator("noscript table").bounding_box()
    assert table is not None
    assert table["height"] > 1000
    context.close()


@pytest.mark.slow
def test_a_hundred_thousand_findings_are_small_and_can_be_searched(opened: Opened, tmp_path: Path) -> None:
    target = tmp_path / "large.html"
    target.write_bytes(formats.find("html").render(view.build(sample.results(findings=100_000))))
    assert target.stat().st_size < 5_000_000
    page = opened.go(target)
    page.select_option("#severity", "critical")
    assert 0 < shown(page)[0] < 100_000
    page.click("#clear")
    page.focus("#scroller")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.closest('tr').getAttribute('aria-rowindex')") == "100001"
    name = page.inner_text("#rows .name >> nth=0")
    page.fill("#q", name)
    page.keyboard.press("Enter")
    page.wait_for_selector("#panel-title")
    assert page.inner_text("#panel-title") == name
