"""What the reports cost. Prints figures; asserts only that the work was done."""

from __future__ import annotations

import resource
import time
from typing import TYPE_CHECKING

import pytest

from auditor.report import formats, view
from tests.browser.pages import launched
from tests.formats import sample

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.benchmark


@pytest.mark.parametrize(
    ("kind", "findings"),
    [
        ("pdf", 300),
        ("pdf", 1000),
        *((kind, 10_000) for kind in ("html", "json", "csv", "xlsx", "sarif", "junit", "markdown")),
        ("csv", 100_000),
        ("xlsx", 100_000),
    ],
)
def test_reports(kind: str, findings: int) -> None:
    results = sample.results(machines=300, findings=findings, hostile=False)
    form = formats.find(kind)
    form.render(view.build(sample.results(machines=2)))  # imports and fonts are paid once
    began = _seconds()
    body = form.render(view.build(results, view.Presentation(pdf_all=True)))
    seconds = _seconds() - began
    print(f"\n{kind}: {findings:,} findings in {seconds:.1f} CPU s = {1000 * seconds / findings:.1f} CPU s per 1,000")
    # Of this process so far, and the largest of those that laid parts out.
    most = [resource.getrusage(who).ru_maxrss // 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(f"  {len(body) / 1e6:.2f} MB; at most {most[0]} MB of memory here, {most[1]} MB in another process")
    assert body


def test_page_of_a_hundred_thousand_findings(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_bytes(formats.find("html").render(view.build(sample.results(findings=100_000))))
    print(f"\nhtml: 100,000 findings in {target.stat().st_size / 1e6:.2f} MB")
    with launched() as browser:
        for _ in range(3):
            page = browser.new_page()
            page.goto(target.as_uri())
            page.wait_for_selector("html[data-ready]", timeout=60_000)
            ready = page.get_attribute("html", "data-ready")
            name = page.inner_text("#rows .name >> nth=0")
            began = time.perf_counter()
            page.select_option("#severity", "critical")
            filtered = time.perf_counter()
            page.fill("#q", name)
            page.keyboard.press("Enter")
            page.wait_for_selector("#panel-title")
            found = time.perf_counter()
            print(
                f"  ready after {ready} ms; filtered in {1000 * (filtered - began):.0f} ms; "
                f"a VM's verdicts {1000 * (found - filtered):.0f} ms after its name was typed"
            )
            assert page.inner_text("#panel-title") == name
            page.close()


def _seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(it.ru_utime + it.ru_stime for it in used)
