"""Bugs of other tools in reading everything, and in saying what was not read. See the package's docstring."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from auditor import pipeline, reporting
from auditor.collect import Scope
from auditor.errors import ExitCode, NoRunError
from auditor.model import CoverageState, Status
from auditor.simulator import Estate, Simulator
from tests.audits import AS_OF, TOKEN, Audited, audit, audit_at, default_inputs
from tests.azure.runs import ON_POINTS, Verdicts, differing, faulty, hurried, named, of_compute, verdicts
from tests.azure.test_requests import machines

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

SMALL: dict[str, Any] = {
    "estate": "small",
    "jobs_days": 0,
    "subscriptions": {"a": {"name": "Sub A"}, "b": {"name": "Sub B"}},
    "vaults": {"a/rg/rsv-a": {}, "b/rg/rsv-b": {}},
    "policies": {"p": {"daily": "22:00", "keep": {"daily": "30 Days", "weekly": "12 Weeks", "monthly": "84 Months"}}},
    "defaults": {"vm": {"age": "20d", "disks": []}},
    "vms": [
        {"count": 4, "name": "near{n}", "in": "a/rg", "backup": {"vault": "rsv-a", "policy": "p", "since": "-9d"}},
        {"name": "far", "in": "a/rg", "backup": {"vault": "rsv-b", "policy": "p", "since": "-9d"}},
        {"name": "bare", "in": "a/rg"},
    ],
}
NEAR = ("near1", "near2", "near3", "near4")


@pytest.fixture(scope="module")
def small() -> Estate:
    return Estate.from_dict(copy.deepcopy(SMALL), AS_OF)


@pytest.fixture(scope="module")
def flawless(small: Estate, tmp_path_factory: pytest.TempPathFactory) -> Audited:
    made = audit(small, tmp_path_factory.mktemp("small"), patience=hurried())
    assert made.results.run.complete
    return made


@pytest.fixture(scope="module")
def clean(flawless: Audited) -> Verdicts:
    return verdicts(flawless.bundle)


def unprotected(made: Audited) -> dict[str, str]:
    return {m.name: m.statuses["vm-unprotected"].value for m in made.results.machines}


def exit_code(made: Audited) -> int:
    """Give the code where no fail is asked about."""
    return pipeline.read(made.bundle, default_inputs(), threshold="none").gate.exit_code


def changed(clean: Verdicts, made: Audited) -> dict[str, set[str]]:
    """Give the rules whose verdict became unknown, by machine; no verdict may have become another one."""
    found: dict[str, set[str]] = {}
    differs = differing(clean, verdicts(made.bundle))
    # That nothing was cut, a second run can tell and a first could not.
    differs = {key: it for key, it in differs.items() if (key[0], it) != ("retention-reduced", "not_yet_due -> pass")}
    kept = of_compute(differs)
    assert {change.rpartition(" ")[2] for change in differs.values()} <= {"unknown"}
    for (rule, resource), change in named({key: differs[key] for key in kept}).items():
        assert change.endswith("-> unknown"), (rule, resource, change)
        found.setdefault(resource.partition("/")[2], set()).add(rule)
    return found


@pytest.mark.parametrize("how", ["named as expected", "remembered"])
def test_fixture_04_with_the_vaults_subscription_unreadable_nobody_is_called_unprotected(
    how: str, small: Estate, clean: Verdicts, tmp_path: Path
) -> None:
    # Also the second case of fixture 16: 403 on a subscription.
    if how == "remembered":
        audit(small, tmp_path, as_of=AS_OF.replace(hour=5), patience=hurried())
        scope = None
    else:
        scope = Scope(expect_subscriptions=("Sub A", small.subscription_id("b")))
    made = faulty(small, tmp_path, scope=scope, denied_subscriptions=frozenset({"b"}))
    assert of_compute(clean) == of_compute(verdicts(made.bundle))
    assert unprotected(made) == dict.fromkeys(NEAR, "pass") | {"far": "unknown", "bare": "unknown"}
    # A snapshot of any machine may be in the subscription that was not read.
    lost = {name: rules - {"snapshot-daily-missing"} for name, rules in changed(clean, made).items()}
    assert {name for name, rules in lost.items() if rules} == {"far", "bare"}
    assert exit_code(made) == 3


def test_fixture_05_vault_and_machine_in_the_first_and_last_of_301_subscriptions_find_each_other(
    tmp_path: Path,
) -> None:
    first, last = "00000000-0000-0000-0000-000000000001", "ffffffff-ffff-ffff-ffff-ffffffffffff"
    document = copy.deepcopy(SMALL)
    document["subscriptions"] = {"a": {"id": first}, "b": {"id": last}} | {f"s{n}": {} for n in range(300)}
    made = audit(Estate.from_dict(document, AS_OF), tmp_path, patience=hurried())
    asked = [r.body["subscriptions"] for r in made.log if "virtualmachines'" in str(r.body)]
    assert {len(group) for group in asked} == {300, 2}
    assert not [group for group in asked if {first, last} <= set(group)]
    assert unprotected(made) == dict.fromkeys((*NEAR, "far"), "pass") | {"bare": "fail"}
    assert {m.vault_name for m in made.results.machines if m.name == "far"} == {"rsv-b"}
    assert made.results.run.complete


@pytest.mark.parametrize("count", [1000, 1001, 2500])
def test_fixture_12_all_rows_of_all_pages_are_judged(count: int, tmp_path: Path) -> None:
    made = audit(machines(count), tmp_path, patience=hurried())
    assert len({machine.resource_id for machine in made.results.machines}) == count
    assert made.results.population[0].total == count
    (rule,) = (rule for rule in made.results.rules if rule.id == "vm-unprotected")
    assert rule.statuses[Status.FAIL] == count
    asked = [r.body["options"] for r in made.log if "virtualmachines'" in str(r.body)]
    assert ["$skipToken" in options for options in asked] == [False] + [True] * ((count - 1) // 1000)
    assert made.results.run.complete


def test_fixture_13_a_result_cut_short_without_a_token_is_no_whole_one(small: Estate, tmp_path: Path) -> None:
    made = faulty(small, tmp_path, truncated_without_token=True, payload_too_large_above=4)
    cut = {(row.state, row.reason) for row in made.results.coverage if row.table == "vm" and not row.state.whole}
    assert cut == {(CoverageState.PARTIAL, "Resource Graph cut the result short and gave no way to read on")}
    assert not made.results.run.complete
    assert exit_code(made) == ExitCode.INCOMPLETE
    assert "pass" not in unprotected(made).values()
    assert "fail" not in unprotected(made).values()


def test_fixture_14_what_is_too_large_for_a_page_is_read_in_smaller_ones(
    small: Estate, clean: Verdicts, tmp_path: Path
) -> None:
    with Simulator(small, token=TOKEN, quota=None, payload_limit=9_000) as azure:
        bundle = audit_at(azure, tmp_path, patience=hurried())
        refused = azure.requests(path="Microsoft.ResourceGraph", status=400)
        tops = [r.body["options"]["$top"] for r in azure.graph_requests() if r.status == 200]
    assert refused
    assert 1 < min(tops) < 1000
    assert differing(clean, verdicts(bundle)) == {}
    assert pipeline.read(bundle, default_inputs()).run.complete


def test_fixture_15_five_429_that_name_the_quota_alone_change_nothing(
    small: Estate, clean: Verdicts, tmp_path: Path
) -> None:
    made = faulty(small, tmp_path, arg_429=5, rest_429=5, retry_after=None)
    assert sum(request.status == 429 for request in made.log) == 10
    assert differing(clean, verdicts(made.bundle)) == {}
    assert made.results.run.complete


def test_fixture_15_a_429_for_ever_gives_unknown_and_reports_of_what_was_read(
    small: Estate, clean: Verdicts, tmp_path: Path
) -> None:
    made = faulty(small, tmp_path, rest_429_always=True)
    lost = changed(clean, made)
    assert set(lost) == {*NEAR, "far", "bare"}
    assert "vm-unprotected" not in lost["near1"]  # Resource Graph was read
    assert "vm-unprotected" in lost["bare"]
    assert exit_code(made) == 3
    written = reporting.write(made.results, tmp_path / "reports", reporting.wanted_reports(("html", "json")))
    assert written.keys() == {"html", "json"}
    assert all(path.stat().st_size > 10_000 for path in written.values())
    assert '"complete": false' in written["json"].read_text(encoding="utf-8")
    with pytest.raises(NoRunError, match="429") as told:
        faulty(small, tmp_path / "other", arg_429_always=True)
    assert told.value.exit_code == ExitCode.NO_RUN


def test_fixture_16_a_403_on_one_vault_blinds_only_what_it_may_hold(
    small: Estate, clean: Verdicts, tmp_path: Path
) -> None:
    made = faulty(small, tmp_path, rest_denied_vaults=frozenset({"rsv-b"}))
    lost = changed(clean, made)
    assert lost.keys() == {"far", "bare"}
    # The item of `far` is seen in Resource Graph; its points are not.
    assert lost["far"] <= {*ON_POINTS, "backup-job-failing", "backup-success-rate-low"}
    assert {"backup-rpo-breached", "recovery-points-missing", "backup-job-failing"} <= lost["far"]
    assert "vm-unprotected" in lost["bare"]
    assert exit_code(made) == 3


def test_fixture_16_an_empty_table_while_there_are_vaults_makes_nobody_unprotected(
    small: Estate, clean: Verdicts, tmp_path: Path
) -> None:
    empty = frozenset({"recoveryservicesresources"})
    made = faulty(small, tmp_path, empty_tables=empty, rest_denied_vaults=frozenset({"rsv-b"}))
    lost = changed(clean, made)
    assert unprotected(made) == dict.fromkeys(NEAR, "pass") | {"far": "unknown", "bare": "unknown"}
    # Their vault lists them itself; only their policy stood in that table alone.
    kinds = ("frequency", "daily", "weekly", "monthly")
    promises = {*(f"retention-{kind}-below-standard" for kind in kinds), "retention-reduced", "recovery-points-gfs-gap"}
    rest = {"recovery-points-missing", "oldest-point-younger-than-retention", "backup-job-failing"}
    for name in NEAR:
        assert lost[name] <= promises | rest
    assert exit_code(made) == 3


@pytest.mark.parametrize("expected", [("Sub A", "Sub B"), 2])
def test_fixture_17_no_machine_where_subscriptions_were_expected_is_no_clean_run(
    expected: tuple[str, ...] | int, tmp_path: Path
) -> None:
    empty = Estate.from_dict({"subscriptions": {"a": {"name": "Sub A"}, "b": {"name": "Sub B"}}}, AS_OF)
    scope = Scope(expect_subscriptions=expected)
    made = faulty(empty, tmp_path, scope=scope, denied_subscriptions=frozenset({"b"}))
    assert made.results.machines == ()
    assert (made.results.gate.exit_code, made.results.run.complete) == (3, False)
    with pytest.raises(NoRunError) as told:
        faulty(empty, tmp_path / "none", scope=scope, denied_subscriptions=frozenset({"a", "b"}))
    assert told.value.exit_code == 4


def test_fixture_18_subscriptions_of_one_name_are_two(company: Audited, estate: Estate) -> None:
    twins = {estate.subscription_id("b"), estate.subscription_id("c")}
    listed = {s.subscription_id: s for s in company.results.subscriptions if s.name == "Pay-As-You-Go"}
    assert listed.keys() == twins
    assert {(s.reading, s.vm_count) for s in listed.values()} == {("audited", 1)}
    assert {m.subscription_id for m in company.results.machines} == twins | {estate.subscription_id("a")}
    assert twins <= {row.subscription_id for row in company.results.coverage if row.table == "vm"}
