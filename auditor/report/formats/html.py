"""report.html: one file that works offline, for the engineer; data inside, strict content security policy."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING

from markupsafe import Markup

from auditor.model import Status
from auditor.report import fonts, packing, page

if TYPE_CHECKING:
    from auditor.report.view import Report

DEFAULT_NAME = "report.html"
MEDIA_TYPE = "text/html; charset=utf-8"

MOST_WITHOUT_SCRIPT = 100
"""Rows of the table that stands in for the interactive one where scripts are off."""
MOST_ROWS = 400

_FACE = '@font-face{{font-family:"Report Sans";font-weight:400 600;src:url(data:font/woff2;base64,{data})}}\n'
_COMMENT = re.compile(r"/\*.*?\*/\s*", re.DOTALL)


def render(report: Report) -> bytes:
    """Write the page; the policy in its head allows the one script and the one style sheet by their digests."""
    script = report.how.templates.source("report.js")
    sheets = report.how.templates.source("report.css") + report.how.templates.source("blocks/style.css")
    style = _FACE.format(data=fonts.web()) + _COMMENT.sub("", sheets)
    content = page.filler(
        report
    )(
        "report.html",
        policy=_policy(script, style, pictures=report.how.templates.own is not None),
        script=Markup(script),  # noqa: S704 - our own file
        style=Markup(style),  # noqa: S704
        data=packing.pack(report),
        state=report.state,
        worst=[row for row in report.findings if row.status is not Status.NOT_APPLICABLE][:MOST_WITHOUT_SCRIPT],
        areas=_areas(report),
        subscriptions=_subscriptions(report),
        statuses=packing.STATUSES,
        limits={"rows": MOST_ROWS},
    )
    return content.encode("utf-8", "replace")


def _policy(script: str, style: str, *, pictures: bool) -> str:
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_digest(script)}'",
            f"style-src '{_digest(style)}'",
            "font-src data:",
            *(["img-src data:"] if pictures else []),
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _subscriptions(report: Report) -> list[tuple[str, str]]:
    """List the subscriptions that have a finding, by id: several may share a name."""
    seen = {row.subscription_id for row in report.findings} - {""}
    labels = ((key, report.subscription_labels[key]) for key in seen)
    return sorted(labels, key=lambda it: (it[1].casefold(), it[0]))


def _areas(report: Report) -> list[tuple[str, list[tuple[int, str, str, dict[str, int]]]]]:
    """List the rules by group, with the counts that the list beside the table shows."""
    grouped: dict[str, list[tuple[int, str, str, dict[str, int]]]] = {}
    for number, rule in enumerate(report.rules):
        counts = {str(status): rule.statuses.get(status, 0) for status in (Status.FAIL, Status.UNKNOWN, Status.WAIVED)}
        grouped.setdefault(rule.area, []).append((number, rule.id, rule.title, counts))
    return list(grouped.items())
