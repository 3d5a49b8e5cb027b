"""Restore tests and runbooks of each class, read from the files once more."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import yaml

from auditor.simulator import jobs
from tests.simulator.oracle import DEV, HYBRID, MISSION, Oracle, Verdict, folded, when

if TYPE_CHECKING:
    from collections.abc import Iterator

RULES = ("restore-test-overdue", "restore-test-failed", "recovery-runbook-missing")
_DAY = timedelta(days=1)
_JOBS_DAYS = 30
SCENARIOS = ("snapshot_rollback", "single_vm", "file_level", "ransomware", "region_loss", "vault_or_key_loss")
# Class -> its tier and the tier's name, days that a test counts, share of VMs, hours of the RTO, other region wanted.
CLASSES = {
    "mission-critical": (MISSION, "mission_critical", 90, 1.0, 4, True),
    "production": (HYBRID, "hybrid", 90, 0.1, 8, True),
    "development": (DEV, "dev_test", 365, 0.05, 8, False),
    "(unclassified)": (HYBRID, "hybrid", 90, 0.1, 8, True),
}


def class_of(oracle: Oracle, machine: Any) -> str:
    group = oracle._group(machine["id"])
    tags = folded(group["tags"]) | folded(machine.get("tags"))
    environment, name = tags.get("environment", "").casefold(), group["name"].casefold()
    if tags.get("backup-tier", "").casefold() in ("mission-critical", "tier0", "tier1"):
        return "mission-critical"
    if environment in ("prod", "production"):
        return "production"
    dev = environment in ("dev", "test", "sandbox") or fnmatchcase(name, "rg-dev-*") or fnmatchcase(name, "rg-sbx-*")
    return "development" if dev else "(unclassified)"


def moment(value: Any) -> datetime:
    """Read what YAML makes of an instant."""
    read = datetime.fromisoformat(str(value))
    return read if read.tzinfo else read.replace(tzinfo=UTC)


class Readiness:
    def __init__(self, oracle: Oracle) -> None:
        self.oracle, self.as_of = oracle, oracle.as_of
        self.machines: dict[str, dict[str, Any]] = {name: {} for name in CLASSES}
        for machine in oracle.estate.machine_documents:
            if not oracle._excluded(machine):
                self.machines[class_of(oracle, machine)][machine["id"].lower()] = machine
        paths = sorted((oracle.evidence / "restore-tests").glob("*.yaml"))
        self.tests = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in paths]
        path = oracle.evidence / "runbooks.yaml"
        self.runbooks = yaml.safe_load(path.read_text(encoding="utf-8"))["runbooks"] if path.exists() else []
        self.jobs: dict[str, list[tuple[datetime, str]]] = {}
        self.failed_jobs: set[str] = set()
        for items in oracle.items.values():
            for item in items:
                self._jobs_of(item)

    def _jobs_of(self, item: Any) -> None:
        for document in jobs.job_documents(item, self.as_of, self.oracle.estate.jobs_days):
            properties = document["properties"]
            started = when(properties["startTime"])
            if properties["operation"] != "Restore" or self.as_of - started > _JOBS_DAYS * _DAY:
                continue
            if properties["status"] == "Failed":
                self.failed_jobs.add(document["name"].lower())
            if properties["status"] in ("Completed", "CompletedWithWarnings", "Failed"):
                machine = item.properties["sourceResourceId"].lower()
                self.jobs.setdefault(machine, []).append((started, properties["status"]))

    def verdicts(self) -> Iterator[tuple[tuple[str, str], Verdict]]:
        for name, machines in self.machines.items():
            subject = f"auditor:class/{name}"
            if not machines:
                yield from (((rule, subject), ("not_applicable", None)) for rule in RULES)
                continue
            tests = [(test, vm) for test in self.tests for vm in self._tested(test) if vm in machines]
            tests = [
                (t, vm) for t, vm in tests if t.get("class", name) == name and moment(t["started_at"]) <= self.as_of
            ]
            yield ("restore-test-overdue", subject), self._overdue(name, tests)
            yield ("restore-test-failed", subject), self._failed(name, tests)
            yield ("recovery-runbook-missing", subject), self._runbook(name)

    def _tested(self, test: Any) -> set[str]:
        found: set[str] = set()
        names = {s.id: s.name.casefold() for s in self.oracle.estate.subscriptions.values()}
        for vm in [{"id": test["vm_id"]}] if "vm_id" in test else test["vms"]:
            if "id" in vm:
                found.add(vm["id"].lower())
                continue
            meant = []
            for identifier in (it for machines in self.machines.values() for it in machines):
                parts = identifier.split("/")
                place = vm.get("subscription", parts[2]).casefold()
                here = place in (parts[2], names[parts[2]])
                if here and (parts[4], parts[-1]) == (vm["resource_group"].casefold(), vm["name"].casefold()):
                    meant.append(identifier)
            if len(meant) == 1:
                found.add(meant[0])
        return found

    def _outcome(self, test: Any) -> str:
        """Tell what a test came to: good, bad, or nothing that anybody made sure of."""
        words = {test.get("result"), (test.get("validation") or {}).get("result")}
        if "fail" in words or str(test.get("job_id", "")).lower() in self.failed_jobs:
            return "bad"
        return "good" if test.get("validation") else "claimed"

    def _overdue(self, name: str, tests: list[tuple[Any, str]]) -> Verdict:
        tier, _, cadence, share, _, crossing = CLASSES[name]
        good = [
            (test["type"], self.as_of - moment(test["started_at"]), vm)
            for test, vm in tests
            if self._outcome(test) == "good"
            and (test["type"] == "file" or (test.get("target") or {}).get("isolated_network"))
        ]
        recent = [(kind, vm) for kind, age, vm in good if age <= cadence * _DAY]
        total = len(self.machines[name])
        enough = len({vm for _, vm in recent}) >= max(math.ceil(round(share * total, 9)), 1)
        kinds = {"full_vm_or_disk", "file", "snapshot"} <= {kind for kind, _ in recent}
        crossed = any(kind == "cross_region" and age <= 365 * _DAY for kind, age, _ in good)
        fine = enough and kinds and (crossed or not crossing)
        return ("pass", None) if fine else self.oracle._fail("high", tier)

    def _failed(self, name: str, tests: list[tuple[Any, str]]) -> Verdict:
        tier, _, _, _, hours, _ = CLASSES[name]
        codes = set()
        for vm in self.machines[name]:
            mine = [(moment(t["started_at"]), self._outcome(t), t) for t, of in tests if of == vm]
            # Of two at the same moment the bad one counts.
            mine = sorted((it for it in mine if it[1] != "claimed"), key=lambda it: (it[0], it[1] == "bad"))
            last = max(self.jobs.get(vm, []), default=None)
            broken = last is not None and last[1] == "Failed" and (not mine or last[0] > mine[-1][0])
            if broken or (mine and mine[-1][1] == "bad"):
                codes.add("bad")
            elif mine:
                codes.add("slow" if self._hours(mine[-1][2]) > hours else "fine")
        if "bad" in codes:
            return self.oracle._fail("high", tier)
        if "slow" in codes:
            return self.oracle._fail("medium", tier)
        return ("pass", None) if codes else ("not_applicable", None)

    @staticmethod
    def _hours(test: Any) -> float:
        if "service_restored_at" in test:
            return (moment(test["service_restored_at"]) - moment(test["started_at"])) / timedelta(hours=1)
        text = str(test["duration"])
        return int(text.removesuffix("min")) / 60 if text.endswith("min") else float(text.removesuffix("h"))

    def _runbook(self, name: str) -> Verdict:
        tier, word = CLASSES[name][:2]
        for scenario in SCENARIOS:
            fine = False
            for runbook in self.runbooks:
                classes, tiers = runbook.get("class", []), runbook.get("tier", [])
                mine = name in (classes if isinstance(classes, list) else [classes]) or word in (
                    tiers if isinstance(tiers, list) else [tiers]
                )
                reviewed = runbook.get("reviewed_on")
                known = "url" in runbook and "sha256" in runbook and reviewed is not None
                fresh = known and timedelta() <= self.as_of - moment(reviewed) <= 365 * _DAY
                fine = fine or (mine and scenario in runbook["scenarios"] and fresh)
            if not fine:
                return self.oracle._fail("medium", tier)
        return "pass", None


def verdicts(oracle: Oracle) -> Iterator[tuple[tuple[str, str], Verdict]]:
    yield from Readiness(oracle).verdicts()
