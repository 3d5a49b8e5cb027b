"""Verdicts and a threshold in, an exit code with its reasons out; pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from auditor.errors import ExitCode
from auditor.model import Gate, GateReason, Severity, Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditor.model import Coverage, Finding, Gap

THRESHOLDS = ("critical", "high", "medium", "low", "none")
DEFAULT = "medium"


def judge(
    findings: Sequence[Finding],
    coverage: Sequence[Coverage],
    gaps: Sequence[Gap],
    *,
    threshold: str = DEFAULT,
    allowed_gaps: Sequence[str] = (),
) -> Gate:
    """Give the gate: 1 beats 3, and both stand in the reasons.

    Args:
        findings: all but passes.
        coverage: of the run.
        gaps: vaults and items that could not be read.
        threshold: fails at or above this severity trip the gate; `none` lets no fail trip it.
        allowed_gaps: `--allow-incomplete`: names of tables, or `table:subscription`, whose gaps do not cause 3; what a
            vault did not list is a gap of `protected_item`.
    """
    reasons: list[GateReason] = []
    limit = Severity(threshold).rank if threshold != "none" else -1
    failing = [f for f in findings if f.status is Status.FAIL and f.severity.rank <= limit]
    expired = [f for f in failing if f.waiver is not None and f.waiver.get("expired")]
    by_severity = Counter(f.severity for f in failing)
    for severity in Severity:
        if by_severity[severity]:
            number = by_severity[severity]
            said = f"{number} {severity.value} {'finding' if number == 1 else 'findings'}, threshold {threshold}"
            reasons.append(GateReason("findings", number, said, (severity.value,)))
    if expired:
        names = sorted({str(f.waiver["id"]) for f in expired if f.waiver})
        said = f"expired waivers: {', '.join(names)}"
        reasons.append(GateReason("waiver_expired", len(expired), said, tuple(names)))
    incomplete = _incomplete(findings, coverage, gaps, allowed_gaps)
    code = ExitCode.GATE if failing else ExitCode.INCOMPLETE if incomplete else ExitCode.OK
    return Gate(int(code), threshold, (*reasons, *incomplete))


def _incomplete(
    findings: Sequence[Finding], coverage: Sequence[Coverage], gaps: Sequence[Gap], allowed: Sequence[str]
) -> list[GateReason]:
    reasons = []
    lacking = [row for row in coverage if not row.state.whole]
    short = [row for row in lacking if not _accepted(allowed, row.table, row.subscription_id)]
    if short:
        what = sorted({row.table for row in short})
        reasons.append(GateReason("coverage", len(short), f"not read completely: {', '.join(what)}", tuple(what)))
    open_gaps = [gap for gap in gaps if not _accepted(allowed, _table_of(gap), gap.subscription_id)]
    if open_gaps:
        what = sorted({_table_of(gap) for gap in open_gaps})
        said = f"single resources that could not be read: {', '.join(what)}"
        reasons.append(GateReason("gaps", len(open_gaps), said, tuple(what)))
    # Verdicts that are unknown because of accepted gaps do not cause 3 either; without a gap they have another cause.
    forgiven = bool(lacking or gaps) and not short and not open_gaps
    unknown = sum(f.status is Status.UNKNOWN for f in findings)
    if unknown and not forgiven:
        reasons.append(
            GateReason("unknown", unknown, f"{unknown} verdicts are unknown" if unknown > 1 else "1 verdict is unknown")
        )
    return reasons


def _accepted(allowed: Sequence[str], table: str, subscription_id: str) -> bool:
    return table in allowed or f"{table}:{subscription_id}" in allowed


def _table_of(gap: Gap) -> str:
    return "protected_item" if gap.table == "vault" else gap.table
