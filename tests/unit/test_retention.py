"""Promised and delivered: the rules on points against a model in plain Python, over drawn policies and points."""

from __future__ import annotations

import json
import math
import random
import tempfile
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor import rulebook, standard
from auditor.inventory import store
from auditor.inventory.facts import Circumstances, Facts
from auditor.inventory.store import Page

SHIPPED = standard.read(standard.default_path())
BOOK = rulebook.read()
SUB = "00000000-0000-0000-0000-000000000001"
VAULT = f"/subscriptions/{SUB}/resourceGroups/rg/providers/Microsoft.RecoveryServices/vaults/v"
ZONES = {"UTC": 0, "W. Europe Standard Time": 60, "India Standard Time": 330, "Pacific Standard Time": -480}
DAYS = {"Days": 1.0, "Weeks": 7.0, "Months": 30.4375, "Years": 365.25}
TOLERANCE = timedelta(hours=6)
KINDS = ("daily", "weekly", "monthly", "yearly")


@dataclass
class Point:
    at: datetime
    vaulted: bool
    deleted: bool


@dataclass
class Case:
    """A VM: its policy and its points."""

    frequency: str
    run: timedelta
    zone: str
    keep: dict[str, tuple[int, str]]
    points: list[Point]

    @property
    def offset(self) -> timedelta:
        return timedelta(minutes=ZONES[self.zone])

    def days(self, kind: str) -> float | None:
        return self.keep[kind][0] * DAYS[self.keep[kind][1]] if kind in self.keep else None


def draw(number: random.Random, as_of: datetime) -> Case:
    """Draw a policy and a history that follows it more or less: holes, late runs, points by hand, deleted ones."""
    frequency = number.choice(["Daily", "Daily", "Hourly", "Weekly"])
    case = Case(
        frequency,
        timedelta(minutes=30 * number.randrange(48)),
        number.choice(list(ZONES)),
        {kind: number.choice(spans) for kind, spans in {
            "daily": [(7, "Days"), (30, "Days"), (45, "Days"), (2, "Weeks")],
            "weekly": [(4, "Weeks"), (12, "Weeks"), (84, "Days")],
            "monthly": [(12, "Months"), (84, "Months"), (1, "Years")],
            "yearly": [(10, "Years")],
        }.items() if number.random() < (0.9 if kind == "daily" else 0.6)},
        [],
    )  # fmt: skip
    if frequency == "Weekly":
        case.keep.pop("daily", None)
        case.keep.setdefault("weekly", (12, "Weeks"))
    elif not case.keep:
        case.keep["daily"] = (30, "Days")
    age = number.choice([1, 5, 20, 60, 200, 800])
    holes = number.choice([0.0, 0.0, 0.03, 0.3])
    today = (as_of + case.offset).date()
    for back in range(age):
        day = today - timedelta(days=back)
        weekly, monthly = day.weekday() == 6, day.weekday() == 6 and day.day <= 7
        kept = (
            back <= (case.days("daily") or 0)
            or (weekly and back <= (case.days("weekly") or 0))
            or (monthly and back <= (case.days("monthly") or 0))
        )
        if not kept or number.random() < holes or (frequency == "Weekly" and not weekly):
            continue
        late = timedelta(hours=number.choice([0, 0, 1, 5, 9]))
        at = datetime(day.year, day.month, day.day, tzinfo=UTC) + case.run - case.offset + late
        if at <= as_of:
            case.points.append(Point(at, number.random() < 0.97, number.random() < 0.01))
    if number.random() < 0.2:  # by hand
        case.points.append(Point(as_of - timedelta(hours=number.randrange(1, 900)), vaulted=True, deleted=False))
    return case


# --- the model


def model(case: Case, as_of: datetime) -> dict[str, Any]:
    """Say what is owed and what is missing, in days, weeks and months; None where nothing can be said yet."""
    usable = [point for point in case.points if not point.deleted]
    local_now = as_of + case.offset
    due = (local_now - case.run - TOLERANCE).date() + timedelta(days=1)
    today = min(local_now.date(), due)
    told: dict[str, Any] = {}
    kept = case.days("daily")
    if kept is not None and case.frequency != "Weekly" and usable:
        filled = {slot(point.at, case) for point in usable}
        first_slot = min((point.at + case.offset - case.run).date() if on_time(point.at, case)
                         else slot(point.at, case) for point in usable)  # fmt: skip
        runs = [day for day in filled if day + timedelta(1) in filled and day + timedelta(2) in filled]
        if runs:
            begin = max(today - timedelta(days=math.floor(kept) - 1), min(runs), first_slot)
            owed = [begin + timedelta(days=n) for n in range((today - begin).days)]
            if owed:
                told["days"] = (len(owed), sum(day not in filled for day in owed))
    vaulted = {slot(point.at, case) for point in usable if point.vaulted}
    end = today - timedelta(days=math.ceil(kept or 0))
    for kind, span in (("weekly", case.days("weekly")), ("monthly", case.days("monthly"))):
        start = monday if kind == "weekly" else first
        held = {start(day) for day in vaulted}
        runs = [p for p in held if after(p, kind) in held and after(after(p, kind), kind) in held]
        if span is None or not runs:
            continue
        period, owed_count, lost = min(runs), 0, 0
        while after(period, kind) <= end:
            if period > today - timedelta(days=math.floor(span)):
                owed_count, lost = owed_count + 1, lost + (period not in held)
            period = after(period, kind)
        if owed_count:
            told[kind] = (owed_count, lost)
    return told


def on_time(at: datetime, case: Case) -> bool:
    moment = at + case.offset - case.run
    return timedelta(hours=moment.hour, minutes=moment.minute) <= TOLERANCE


def slot(at: datetime, case: Case) -> date:
    """Give the day that a point fills: of its run, or its calendar day where it was made by hand."""
    return (at + case.offset - case.run).date() if on_time(at, case) else (at + case.offset).date()


def monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def first(day: date) -> date:
    return day.replace(day=1)


def after(period: date, kind: str) -> date:
    return period + timedelta(weeks=1) if kind == "weekly" else first(period + timedelta(days=31))


# --- the product


def item_id(n: int) -> str:
    native = f"iaasvmcontainerv2;rg;vm{n}"
    return f"{VAULT}/backupFabrics/Azure/protectionContainers/IaasVMContainer;{native}/protectedItems/VM;{native}"


def bodies(cases: list[Case]) -> dict[str, list[Page]]:
    machines, items, policies, points = [], [], [], []
    for n, case in enumerate(cases):
        vm = f"/subscriptions/{SUB}/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/vm{n}"
        policy = f"{VAULT}/backupPolicies/p{n}"
        machines.append({"id": vm, "name": f"vm{n}", "properties": {"timeCreated": "2015-01-01T00:00:00Z"}})
        items.append({"id": item_id(n), "name": f"vm{n}", "properties": {
            "sourceResourceId": vm, "policyId": policy, "backupManagementType": "AzureIaasVM",
            "protectionState": "Protected", "lastRecoveryPoint": "2026-01-01T00:00:00Z"}})  # fmt: skip
        run = (
            f"2020-01-01T{int(case.run.total_seconds()) // 3600:02d}:{int(case.run.total_seconds()) // 60 % 60:02d}:00Z"
        )
        policies.append({"id": policy, "name": f"p{n}", "properties": {
            "backupManagementType": "AzureIaasVM", "timeZone": case.zone,
            "schedulePolicy": {"scheduleRunFrequency": case.frequency, "scheduleRunTimes": [run]},
            "retentionPolicy": {"retentionPolicyType": "LongTermRetentionPolicy"} | {
                f"{kind}Schedule": {"retentionDuration": {"count": count, "durationType": unit}}
                for kind, (count, unit) in case.keep.items()}}})  # fmt: skip
        listed = [{"name": f"r{m}", "properties": {
            "recoveryPointTime": point.at.isoformat(),
            "recoveryPointTierDetails": [{"type": "HardenedRP" if point.vaulted else "InstantRP", "status": "Valid"}],
            "recoveryPointProperties": {"isSoftDeleted": point.deleted}}}
            for m, point in enumerate(case.points)]  # fmt: skip
        points.append(Page(item_id(n).lower(), json.dumps({"value": listed}).encode(), "rest"))
    subscription = [
        {"id": f"/subscriptions/{SUB}", "name": "s", "subscriptionId": SUB, "properties": {"state": "Enabled"}}
    ]
    vault = [{"id": VAULT, "name": "v", "properties": {}}]
    graph = {
        "vm": machines,
        "protected_item": items,
        "backup_policy": policies,
        "subscription": subscription,
        "vault": vault,
    }
    return {name: [Page(None, json.dumps({"data": rows}).encode())] for name, rows in graph.items()} | {
        "recovery_point": points
    }


def judged(cases: list[Case], as_of: datetime) -> list[dict[str, Any]]:
    """Give, for each case, what the two rules on delivered points tell as evidence."""
    pages = bodies(cases)
    told: list[dict[str, Any]] = [{} for _ in cases]
    with tempfile.TemporaryDirectory() as folder:
        store.build(Path(folder), lambda table: pages.get(table, ()), as_of)
        with Facts.open(Path(folder), Circumstances(as_of, SHIPPED)) as facts:
            for row in facts.rows(BOOK.get("recovery-points-missing").file.sql):
                number = int(row["resource_id"].rpartition("/vm")[2])
                if row["expected_days"]:
                    told[number]["days"] = (row["expected_days"], row["missing_days"])
            gfs = BOOK.get("recovery-points-gfs-gap")
            for row in facts.rows(gfs.file.sql, dict(BOOK.params[gfs.id])):
                number = int(row["resource_id"].rpartition("/vm")[2])
                for kind, word in (("weekly", "weeks"), ("monthly", "months")):
                    if row[f"expected_{word}"]:
                        told[number][kind] = (row[f"expected_{word}"], row[f"missing_{word}"])
    return told


def compare(seed: int, count: int = 40) -> None:
    number = random.Random(seed)  # noqa: S311 - cases, not secrets
    as_of = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number.randrange(525_600))
    cases = [draw(number, as_of) for _ in range(count)]
    for n, (case, got) in enumerate(zip(cases, judged(cases, as_of), strict=True)):
        assert got == model(case, as_of), f"seed {seed}, case {n} as of {as_of}: {case}"


@pytest.mark.parametrize("seed", range(3))
def test_what_is_owed_and_missing_is_what_the_model_says(seed: int) -> None:
    compare(seed)


@pytest.mark.slow
@settings(deadline=None, max_examples=60, derandomize=True)
@given(seed=st.integers(100, 2**32))
def test_what_is_owed_and_missing_is_what_the_model_says_of_many(seed: int) -> None:
    compare(seed, 60)
