"""The exit code follows from verdicts, threshold and coverage alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor import gate
from auditor.errors import ExitCode
from auditor.model import Coverage, CoverageState, Finding, Gap, Severity, Status

NOW = datetime(2026, 11, 22, tzinfo=UTC)
VAULT = "/subscriptions/s/resourcegroups/g/providers/microsoft.recoveryservices/vaults/v"
WHOLE = Coverage("vm", "s", CoverageState.COMPLETE, 1, 1)
BLANK: dict[str, Any] = dict.fromkeys(("tier", "class_", "owner", "due", "group", "response", "baseline"))


def finding(status: Status, severity: Severity = Severity.HIGH, waiver: dict[str, Any] | None = None) -> Finding:
    return Finding(
        rule="r",
        resource_id="/x",
        resource_type="vm",
        resource_name="x",
        resource_group="g",
        subscription_id="s",
        subscription_name="S",
        status=status,
        severity=severity,
        reason_code="c",
        reason="c",
        evidence={},
        serial="E-0001",
        waiver=waiver,
        fingerprint="f",
        first_seen=NOW,
        **BLANK,
    )


findings = st.lists(
    st.builds(finding, st.sampled_from([s for s in Status if s is not Status.PASS]), st.sampled_from(Severity))
)


@given(found=findings, threshold=st.sampled_from(gate.THRESHOLDS), state=st.sampled_from(CoverageState))
def test_the_code_is_1_exactly_for_a_fail_at_or_above_the_threshold(
    found: list[Finding], threshold: str, state: CoverageState
) -> None:
    judged = gate.judge(found, [replace(WHOLE, state=state)], [], threshold=threshold)
    order = ["critical", "high", "medium", "low"]
    limit = order[: order.index(threshold) + 1] if threshold != "none" else []
    trips = any(f.status is Status.FAIL and f.severity.value in limit for f in found)
    lacks = not state.whole or any(f.status is Status.UNKNOWN for f in found)
    assert judged.exit_code == (ExitCode.GATE if trips else ExitCode.INCOMPLETE if lacks else ExitCode.OK)
    assert bool(judged.reasons) == (trips or lacks)
    assert all(reason.count > 0 and reason.detail for reason in judged.reasons)


@given(found=findings)
def test_a_stricter_threshold_never_forgives(found: list[Finding]) -> None:
    tripped = [gate.judge(found, [WHOLE], [], threshold=t).exit_code == ExitCode.GATE for t in gate.THRESHOLDS]
    assert tripped == [*sorted(tripped[:-1]), False]


@pytest.mark.parametrize("severity", Severity)
def test_passes_infos_and_waived_alone_are_clean(severity: Severity) -> None:
    waived = finding(Status.WAIVED, severity, {"id": "W", "expired": False})
    informed = finding(Status.FAIL, Severity.INFO)
    judged = gate.judge([waived, informed, finding(Status.NOT_YET_DUE)], [WHOLE], [], threshold="low")
    assert (judged.exit_code, judged.reasons) == (0, ())


def test_an_expired_waiver_trips_at_its_findings_own_severity() -> None:
    expired = finding(Status.FAIL, Severity.MEDIUM, {"id": "W-7", "expired": True})
    judged = gate.judge([expired], [WHOLE], [], threshold="medium")
    assert judged.exit_code == 1
    assert any(reason.code == "waiver_expired" and "W-7" in reason.detail for reason in judged.reasons)
    assert gate.judge([expired], [WHOLE], [], threshold="high").exit_code == 0


def test_one_beats_three_and_both_are_said() -> None:
    judged = gate.judge([finding(Status.FAIL), finding(Status.UNKNOWN)], [WHOLE], [])
    assert judged.exit_code == 1
    assert {reason.code for reason in judged.reasons} == {"findings", "unknown"}


LOST = replace(WHOLE, table="recovery_point", state=CoverageState.PARTIAL)
GAP = Gap("vault", VAULT, CoverageState.DENIED, "HTTP 403")
ITEMS = replace(WHOLE, table="protected_item", state=CoverageState.PARTIAL)


@pytest.mark.parametrize(
    ("coverage", "gaps", "allowed", "code"),
    [
        ([LOST], [], (), 3),
        ([LOST], [], ("recovery_point",), 0),
        ([LOST], [], ("recovery_point:s",), 0),
        ([LOST], [], ("recovery_point:t",), 3),
        ([LOST], [], ("vm",), 3),
        ([LOST, ITEMS], [GAP], ("recovery_point",), 3),
        ([ITEMS], [GAP], ("protected_item",), 0),
        ([ITEMS], [GAP], ("protected_item:s",), 0),
        ([ITEMS], [GAP], (), 3),
        # Nothing is lacking, so that the unknown verdict has another cause than the gap that was allowed.
        ([WHOLE], [], ("recovery_point",), 3),
    ],
)
def test_allowed_gaps_forgive_themselves_and_what_follows_from_them(
    coverage: list[Coverage], gaps: list[Gap], allowed: tuple[str, ...], code: int
) -> None:
    judged = gate.judge([finding(Status.UNKNOWN)], coverage, gaps, threshold="none", allowed_gaps=allowed)
    assert judged.exit_code == code
