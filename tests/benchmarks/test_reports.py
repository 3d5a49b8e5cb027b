"""What the reports cost. Prints figures; asserts only that the work was done."""

from __future__ import annotations

import resource

import pytest

from auditor.report import formats, view
from tests.formats import sample

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


def _seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(it.ru_utime + it.ru_stime for it in used)
