"""What reports tell beside verdicts is what the run did: its requests, sources, annexes and register."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from auditor.engine import requests
from auditor.model import Status
from auditor.report import view
from auditor.simulator import Estate
from auditor.simulator.faults import Faults
from tests.audits import AS_OF, audit
from tests.azure.runs import hurried

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

ESTATE: dict[str, Any] = {
    "estate": "told",
    "jobs_days": 3,
    "management_groups": {"mg-a": {"name": "A"}},
    "subscriptions": {"a": {"group": "mg-a"}},
    "vaults": {"a/rg-v/v1": {}},
    "policies": {"std": {"daily": "22:00", "keep": {"daily": "30 Days"}}},
    "vms": [
        {"name": "one", "in": "a/rg-app", "backup": {"vault": "v1", "policy": "std"}},
        {"name": "two", "in": "a/rg-app"},
    ],
    "policy_assignments": [{"name": "asc", "scope": "mg-a", "initiative": "mcsb"}],
    "exemptions": [{"scope": "a/rg-app", "assignment": "asc"}],
}


def test_requests_are_counted_as_the_server_saw_them(tmp_path: Path) -> None:
    made = audit(
        Estate.from_dict(ESTATE, AS_OF), tmp_path, faults=Faults(reset_requests=frozenset({3, 9})), patience=hurried()
    )
    traffic = made.results.traffic
    assert traffic.writes == 0
    answered = Counter(str(request.status) for request in made.log if request.status)
    assert {status: n for status, n in traffic.statuses.items() if status} == answered
    # aiohttp repeats a GET by itself whose connection was lost: that one try nobody above it knows of.
    sent = Counter(request.method for request in made.log)
    assert traffic.methods["POST"] == sent["POST"]
    assert sent["GET"] - 1 <= traffic.methods["GET"] <= sent["GET"]
    assert 1 <= traffic.statuses[""] <= 2
    assert sum(it.count for it in traffic.setbacks) == traffic.statuses[""]


def test_each_source_digests_its_answers_in_their_order(tmp_path: Path) -> None:
    made = audit(Estate.from_dict(ESTATE, AS_OF), tmp_path)
    log = (made.bundle.folder / "raw" / "responses.jsonl").read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line) for line in log]
    assert {it.table for it in made.results.sources} == {entry["table"] for entry in entries}
    for it in made.results.sources:
        own = [entry for entry in entries if entry["table"] == it.table]
        digest = hashlib.sha256("".join(f"{entry['sha256']}\n" for entry in own).encode()).hexdigest()
        assert (it.answers, it.digest) == (len(own), digest)
        assert it.first_at is not None
        assert it.last_at is not None
        assert it.first_at <= it.last_at


class Logged:
    """A bundle's logs."""

    def __init__(self, *entries: dict[str, Any]) -> None:
        self.entries = entries

    def responses(self) -> Any:
        return iter(self.entries)

    def setbacks(self) -> Any:
        return iter(())


def entry(method: str, url: str) -> dict[str, Any]:
    return {"table": "t", "method": method, "url": url, "sent": "", "api_version": "1", "count": 0, "status": 200}


def test_a_post_that_does_not_ask_counts_as_a_write() -> None:
    graph = entry("POST", "https://h/providers/Microsoft.ResourceGraph/resources?api-version=1")
    states = entry(
        "POST", "https://h/subscriptions/s/providers/Microsoft.PolicyInsights/policyStates/latest/queryResults"
    )
    stop = entry("POST", "https://h/subscriptions/s/providers/Microsoft.Compute/virtualMachines/v/deallocate")
    put = entry("PUT", "https://h/subscriptions/s")
    read: Any = requests.read
    assert read(Logged(graph, states, entry("GET", "https://h/x"))).traffic.writes == 0
    assert read(Logged(graph, stop, put)).traffic.writes == 2


def test_the_annexes_hold_what_was_found(tmp_path: Path) -> None:
    results = audit(Estate.from_dict(ESTATE, AS_OF), tmp_path).results
    assert [it.name for it in results.vaults] == ["v1"]
    assert [(it.name, it.keep_days["daily"], it.vm_count) for it in results.policies if it.name == "std"] == [
        ("std", 30, 1)
    ]
    (item,) = results.items
    one = next(it for it in results.machines if it.name == "one")
    assert (item.vm_id, item.vault_name) == (one.resource_id, "v1")
    told = {it.resource_name: (it.status, it.azure_state) for it in results.opinions}
    assert told["one"] == (Status.PASS, "exempt")
    assert set(told) == {"one", "two"}
    assert [it.assignment for it in results.exemptions] == ["asc"]
    assert sum(it.vm_count for it in results.readiness) == 2
    assert all(set(it.verdicts) == {"restore-test-overdue", "restore-test-failed", "recovery-runbook-missing"}
               for it in results.readiness)  # fmt: skip
    assert len(results.restore_tests) == 11
    assert [it.started_at for it in results.restore_tests] == sorted(
        (it.started_at for it in results.restore_tests), reverse=True
    )
    assert results.runbooks
    assert results.period_days == 90


def test_a_second_run_makes_a_period_and_says_that_nothing_changed(tmp_path: Path) -> None:
    estate = Estate.from_dict(ESTATE, AS_OF)
    single = view.build(audit(estate, tmp_path).results)
    assert single.register.single
    assert single.register.changes == ()
    later = view.build(audit(estate, tmp_path, as_of=AS_OF + timedelta(days=7)).results)
    assert (later.register.count, later.register.covered_days, later.register.longest_gap_days) == (2, 7, 7)
    assert later.register.changes == (
        f"The standard is that of run {single.run.id}: hybrid 1.0.0, the same digest.",
        f"The rule set is that of run {single.run.id}, the same digest.",
        f"The scope is that of run {single.run.id}.",
    )
