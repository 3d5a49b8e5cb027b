"""What the reports cost. Prints figures; asserts only that the work was done."""

from __future__ import annotations

import time

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
    began = time.process_time()
    body = form.render(view.build(results))
    seconds = time.process_time() - began
    print(f"\n{kind}: {findings:,} findings in {seconds:.1f} CPU s = {1000 * seconds / findings:.1f} CPU s per 1,000")
    print(f"  {len(body) / 1e6:.2f} MB")
    assert body
