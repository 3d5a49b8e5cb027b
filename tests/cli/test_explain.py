"""`auditor explain`: one resource, its chain, its verdicts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from auditor.cli import app
from auditor.errors import UsageError
from auditor.simulator.estate import Estate
from tests.audits import AS_OF, audit

if TYPE_CHECKING:
    from pathlib import Path

ESTATE = {
    "subscriptions": {"a": {}, "b": {}},
    "resource_groups": {"a/rg": {"tags": {"environment": "prod", "owner": "crm@example.com"}}},
    "vaults": {"a/rg-v/v1": {}},
    "policies": {
        "short": {"daily": "22:00", "keep": {"daily": "14 Days", "weekly": "12 Weeks", "monthly": "84 Months"}}
    },
    "vms": [
        {"name": "one", "in": "a/rg", "backup": {"vault": "v1", "policy": "short"}},
        {"name": "bare", "in": "a/rg"},
        {"name": "twin", "in": "a/rg"},
        {"name": "Twin", "in": "b/rg"},
        {"name": "odd", "in": "a/rg", "tags": {"owner": "\x1b[31mred\u202e"}},
    ],
    "snapshots": [{"name": "copy", "in": "a/rg", "of": "bare", "age": "40d"}],
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("store")
    audit(Estate.from_dict(ESTATE, AS_OF), store)
    return store


def explain(store: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["explain", *words, "--store", str(store)], standalone_mode=False)


def test_the_chain_of_a_machine_is_told_to_its_points(store: Path) -> None:
    said = explain(store, "ONE").output
    for part in (
        "class     production, tier hybrid; owner crm@example.com",
        "demanded  a point every 24 h",
        "item      makes points (Azure says Protected)",
        "vault     v1",
        "policy    short (Standard): backups 24 h apart at most, zone UTC, keeps daily 14 d, weekly 84 d",
        "0 of 13 promised days without",
        "looked at: everything that was asked for could be read",
        "FAIL high  retention-daily-below-standard\n  policy short keeps daily points 14 d, 30 d demanded",
        "az backup policy show -g rg-v --vault-name v1 -n short > policy.json",
    ):
        assert part in said, part


def test_without_an_item_it_says_what_was_looked_through(store: Path) -> None:
    said = explain(store, "latest", "bare").output
    assert "item      none, and every vault of the tenant was read" in said
    assert "beside    1 snapshot of its disks" in said
    assert "to pass: see vm-unprotected, which is its cause" in said


def test_other_kinds_are_told_by_what_rules_read_of_them(store: Path) -> None:
    said = explain(store, "copy").output
    assert "copy  (snapshot in" in said
    assert "FAIL medium  snapshot-stale" in said


def test_the_same_for_machines(store: Path) -> None:
    made = json.loads(explain(store, "one", "-f", "json").output)
    assert made["resource_type"] == "vm"
    assert made["protection"]["policy_daily_days"] == 14
    failed = [v["rule"] for v in made["verdicts"] if v["status"] == "fail"]
    assert failed == ["retention-daily-below-standard", "snapshot-daily-missing"]
    assert len(made["verdicts"]) > 15


def test_a_name_of_several_and_a_name_of_none_are_wrong_input(store: Path) -> None:
    several = explain(store, "twin").exception
    assert isinstance(several, UsageError)
    assert "2 resources are called 'twin'" in str(several)
    assert "/virtualmachines/twin; /subscriptions/" in several.hint
    none = explain(store, "bar").exception
    assert isinstance(none, UsageError)
    assert "judges no resource 'bar'" in str(none)
    assert "bare" in none.hint


def test_names_of_others_do_not_command_the_terminal(store: Path) -> None:
    said = explain(store, "odd").output
    assert "\x1b" not in said
    assert "\u202e" not in said
