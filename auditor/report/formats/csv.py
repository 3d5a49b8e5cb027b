"""findings.csv: the rows of findings.json for spreadsheets and databases; evidence stands in it as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditor.report import tables

if TYPE_CHECKING:
    from auditor.report.view import Report

DEFAULT_NAME = "findings.csv"
MEDIA_TYPE = "text/csv"


def render(report: Report) -> bytes:
    """Write a line for each finding, worst first."""
    return tables.to_csv(tables.findings(report))
