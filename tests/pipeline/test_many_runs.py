"""What only several runs can tell: the company of `auditor demo`, audited month after month."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from auditor.model import Status
from auditor.simulator.estate import Estate
from tests.audits import AS_OF, Audited, audit
from tests.pipeline.test_verdicts import CONTOSO

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.slow


def named(estate: dict[str, Any], name: str) -> dict[str, Any]:
    """Give a machine of its own, taken out of the entry that names several."""
    for entry in estate["vms"]:
        if entry.get("name") == name:
            return entry  # type: ignore[no-any-return]
        if name in entry.get("names", ()):
            entry["names"].remove(name)
            alone = {**copy.deepcopy(entry), "name": name}
            del alone["names"]
            estate["vms"].append(alone)
            return alone
    raise KeyError(name)


@pytest.fixture(scope="module")
def months(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Audited]:
    store = tmp_path_factory.mktemp("store")
    made = []
    for month in range(4):
        estate = yaml.safe_load(CONTOSO.read_text(encoding="utf-8"))
        if month == 3:
            estate["policies"]["daily-45"]["keep"]["daily"] = "20 Days"  # somebody saves
            named(estate, "crm-web-02")["backup"] = {
                "points": {"daily": 20, "weekly": 2, "monthly": 1}
            }  # points are lost
        as_of = AS_OF + timedelta(days=30 * month)
        made.append(audit(Estate.from_dict(estate, as_of), store, as_of=as_of))
    return made


def verdict(made: Audited, rule: str, name: str) -> tuple[str, str]:
    found = [f for f in made.results.findings if f.rule == rule and f.resource_name == name]
    return (found[0].status.value, found[0].reason_code) if found else ("pass", "")


def test_a_cut_retention_shows_in_the_run_after_it(months: Sequence[Audited]) -> None:
    assert [verdict(made, "retention-reduced", "crm-batch") for made in months] == [
        ("not_yet_due", "first_run"), ("pass", ""), ("pass", ""), ("fail", "retention_cut"),
    ]  # fmt: skip


def test_lost_points_show_against_what_earlier_runs_saw_promised(months: Sequence[Audited]) -> None:
    rule = "oldest-point-younger-than-retention"
    assert verdict(months[2], rule, "crm-web-02") == ("not_yet_due", "still_growing")
    assert verdict(months[3], rule, "crm-web-02") == ("fail", "history_lost")
    assert verdict(months[3], rule, "crm-web-01") == ("not_yet_due", "still_growing")


def test_the_success_rate_is_judged_once_the_period_is_known(months: Sequence[Audited]) -> None:
    found = [verdict(made, "backup-success-rate-low", "crm-web-01") for made in months]
    assert found == [("not_yet_due", "history_too_short")] * 2 + [("pass", "")] * 2


def test_every_rule_fires_and_passes_in_some_run(months: Sequence[Audited]) -> None:
    rules = {rule.id: rule for rule in months[0].results.rules}
    met = {
        rule: {s for made in months for r in made.results.rules if r.id == rule for s, n in r.statuses.items() if n}
        for rule in rules
    }
    # A VM without snapshots is not the first one's business; the default standard demands no key and knows no prices.
    assert {rule for rule, seen in met.items() if Status.PASS not in seen} == {"vm-snapshot-only", "vault-cmk-missing"}
    assert {rule for rule, seen in met.items() if Status.FAIL not in seen} == {
        "vault-cmk-missing",
        "cost-snapshot-waste",
    }
