from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from auditor import rulebook, standard
from auditor.engine.evaluate import evaluate
from auditor.errors import DocumentError
from auditor.inventory import store
from auditor.inventory.facts import Circumstances
from auditor.inventory.store import Page
from auditor.model import Coverage, CoverageState
from auditor.standard.schema import RuleChoice, Waiver

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

AS_OF = datetime(2026, 11, 22, 6, tzinfo=UTC)
SHIPPED = standard.read(standard.default_path())
BOOK = rulebook.read()
SUB = "00000000-0000-0000-0000-000000000001"


def vm(name: str, group: str = "rg", **tags: str) -> dict[str, Any]:
    return {
        "id": f"/subscriptions/{SUB}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachines/{name}",
        "name": name,
        "tags": tags,
        "properties": {"timeCreated": "2024-01-01T00:00:00Z"},
    }


def judged(
    folder: Path,
    machines: Sequence[dict[str, Any]],
    *,
    groups: Sequence[dict[str, Any]] = (),
    waivers: Sequence[Waiver] = (),
    coverage: Sequence[Coverage] = (),
    book: rulebook.Rulebook = BOOK,
    chosen: standard.Standard = SHIPPED,
) -> dict[str, dict[str, dict[str, Any]]]:
    """Give rule -> VM name -> row."""
    subscription = {"id": f"/subscriptions/{SUB}", "name": "Main", "properties": {"state": "Enabled"}}
    bodies = {"vm": machines, "subscription": [subscription], "resource_group": groups}
    store.build(
        folder / "inventory",
        lambda table: [Page(None, json.dumps({"data": list(bodies.get(table, ()))}).encode())],
        AS_OF,
    )
    given = Circumstances(AS_OF, chosen, coverage, waivers=waivers)
    evaluate(book, folder / "inventory", given, folder=folder / "findings")
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for path in (folder / "findings").glob("*.parquet"):
        done = duckdb.execute(f"SELECT * FROM read_parquet('{path}')")
        names = [column[0] for column in done.description]
        rows = [dict(zip(names, row, strict=True)) for row in done.fetchall()]
        found[path.stem] = {row["resource_id"].rsplit("/", 1)[-1]: row for row in rows}
    return found


def waiver(**changes: Any) -> Waiver:
    fields = {
        "id": "W-1",
        "rule": "vm-unprotected",
        "match": {"resource_group": "rg"},
        "reason": "r",
        "compensating_control": "c",
        "requester": "Ann",
        "approver": "Bob",
        "approved_on": date(2026, 1, 1),
        "expires_on": date(2026, 12, 31),
        "ticket": "T",
    }
    return Waiver.model_validate(fields | changes)


def test_a_class_shifts_the_severity_and_decides_the_tier(tmp_path: Path) -> None:
    rows = judged(
        tmp_path,
        [
            vm("plain"),
            vm("prod", Environment="PROD"),
            vm("top", **{"Backup-Tier": "tier0"}),
            vm("dev", environment="Dev"),
        ],
    )["vm-unprotected"]
    assert {name: (row["status"], row["severity"]) for name, row in rows.items()} == {
        "plain": ("fail", "high"),
        "prod": ("fail", "high"),
        "top": ("fail", "critical"),
        "dev": ("fail", "medium"),
    }


def test_tags_of_the_resource_group_are_inherited_but_never_win(tmp_path: Path) -> None:
    group = {"id": f"/subscriptions/{SUB}/resourceGroups/RG", "name": "RG", "tags": {"environment": "dev"}}
    rows = judged(tmp_path, [vm("bare"), vm("own", ENVIRONMENT="prod")], groups=[group])["vm-unprotected"]
    assert {name: row["severity"] for name, row in rows.items()} == {"bare": "medium", "own": "high"}


def test_managed_groups_are_known_by_managed_by_never_by_name(tmp_path: Path) -> None:
    groups = [
        {"id": f"/subscriptions/{SUB}/resourceGroups/MC_aks", "name": "MC_aks", "managedBy": "/subscriptions/x/aks"},
        {"id": f"/subscriptions/{SUB}/resourceGroups/MC_fake", "name": "MC_fake", "managedBy": ""},
    ]
    rows = judged(tmp_path, [vm("node", "MC_aks"), vm("pet", "MC_fake")], groups=groups)["vm-unprotected"]
    assert (rows["node"]["status"], rows["node"]["reason"]) == ("not_applicable", "managed_rg")
    assert rows["pet"]["status"] == "fail"


def test_two_classes_of_equal_precedence_are_a_conflict_judged_by_the_default(tmp_path: Path) -> None:
    text = SHIPPED.text.replace("precedence: 40", "precedence: 50")
    path = tmp_path / "standard.yaml"
    path.write_text(text)
    rows = judged(tmp_path, [vm("both", "rg-dev-x", environment="prod")], chosen=standard.read(path))
    assert rows["vm-unprotected"]["both"]["severity"] == "high"


def test_a_valid_waiver_turns_a_fail_into_waived_and_nothing_else(tmp_path: Path) -> None:
    rows = judged(tmp_path, [vm("a"), vm("b", "other")], waivers=[waiver()])
    assert {n: (r["status"], r["waiver_id"]) for n, r in rows["vm-unprotected"].items()} == {
        "a": ("waived", "W-1"),
        "b": ("fail", None),
    }
    assert rows["vm-protection-stopped"]["a"]["waiver_id"] is None


@pytest.mark.parametrize(
    ("expires", "status"), [("2026-11-23", "waived"), ("2026-11-22", "fail"), ("2026-11-21", "fail")]
)
def test_a_waiver_stops_counting_on_its_day(tmp_path: Path, expires: str, status: str) -> None:
    row = judged(tmp_path, [vm("a")], waivers=[waiver(expires_on=date.fromisoformat(expires))])["vm-unprotected"]["a"]
    assert (row["status"], row["waiver_id"]) == (status, "W-1")


def test_of_two_waivers_the_valid_one_counts(tmp_path: Path) -> None:
    both = [waiver(id="old", expires_on=date(2026, 2, 1)), waiver(id="new")]
    assert judged(tmp_path, [vm("a")], waivers=both)["vm-unprotected"]["a"]["waiver_id"] == "new"


def test_a_gap_in_the_list_of_vms_makes_every_verdict_there_unknown(tmp_path: Path) -> None:
    gap = Coverage("vm", SUB, CoverageState.PARTIAL, None, 1, "a page was lost")
    rows = judged(tmp_path, [vm("a")], coverage=[gap], waivers=[waiver()])
    for rule in BOOK.rules:
        if rule.file.resource_type == "vm":
            assert (rows[rule.id]["a"]["status"], rows[rule.id]["a"]["reason"]) == (
                "unknown",
                "resource_table_incomplete",
            )


@pytest.mark.parametrize("table", ["subscription", "vault", "protected_item"])
def test_nothing_is_unprotected_where_a_vault_may_be_unread(tmp_path: Path, table: str) -> None:
    gap = Coverage(table, "another-subscription", CoverageState.DENIED, 1, 0, "403")
    rows = judged(tmp_path, [vm("a")], coverage=[gap])
    judging = {rule: found["a"]["status"] for rule, found in rows.items() if "a" in found}
    del judging["vm-tier-unassigned"]  # tags come with the VM itself
    assert set(judging.values()) == {"unknown"}


def test_an_organisations_severity_holds_against_the_rules_own(tmp_path: Path) -> None:
    book = rulebook.read((), RuleChoice(severity_override={"vm-unprotected": "low"}))
    assert judged(tmp_path, [vm("a")], book=book)["vm-unprotected"]["a"]["severity"] == "low"


BAD = """\
id: {id}
title: t
severity: low
resource_type: vm
rationale: r
remediation: {{}}
reads: [vm]
sql: |
{sql}
messages: {{x: x}}
cannot: {{unknown: w, fail: w, pass: w}}
tests: []
"""


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        (
            "SELECT v.resource_id, 'pass' AS status, 'x' AS reason FROM vm v WHERE v.resource_name <> 'a'",
            "gave 1 rows for 2",
        ),
        ("SELECT v.resource_id, 'pass' AS status, 'x' AS reason FROM vm v, vm w", "gave 4 rows for 2"),
        ("SELECT 'z' AS resource_id, 'pass' AS status, 'x' AS reason FROM vm v", "gave 2 rows for 2"),
        ("SELECT v.resource_id, v.resource_name AS status, 'x' AS reason FROM vm v", "gave the status"),
        ("SELECT v.resource_id, 'waived' AS status, 'x' AS reason FROM vm v", "gave the status 'waived'"),
        ("SELECT v.resource_id, nullif('x', 'x') AS status, 'x' AS reason FROM vm v", "gave the status None"),
        (
            "SELECT w.resource_id, 'pass' AS status, 'x' AS reason FROM vm v, vm w WHERE w.resource_name = 'a'",
            "gave 2 rows for 2",
        ),
        (
            "SELECT v.resource_id, 'pass' AS status, 'x' AS reason, 'bad' AS severity FROM vm v",
            "gave the severity 'bad'",
        ),
        ("SELECT v.resource_id, 'pass' AS status, 'x' AS reason, v.nope FROM vm v", "nope"),
        (
            "SELECT v.resource_id, 'pass' AS status, 'x' AS reason, cast(v.resource_id AS INTEGER) AS n FROM vm v",
            "Could not convert",
        ),
    ],
)
def test_a_rule_that_breaks_its_contract_is_named_with_its_line(tmp_path: Path, sql: str, told: str) -> None:
    (tmp_path / "own" / "protection").mkdir(parents=True)
    path = tmp_path / "own" / "protection" / "vm-bad-rule.yaml"
    path.write_text(BAD.format(id="vm-bad-rule", sql=f"  {sql}"))
    book = rulebook.read([tmp_path / "own"], shipped=False)
    with pytest.raises(DocumentError) as caught:
        judged(tmp_path, [vm("a"), vm("b")], book=book)
    assert told in str(caught.value)
    assert "vm-bad-rule.yaml:8" in str(caught.value)


@pytest.mark.parametrize("end", ["", ";", "; -- done", " -- done", "\n  ;\n  /* ; */"])
def test_a_rules_sql_may_end_as_it_likes(tmp_path: Path, end: str) -> None:
    (tmp_path / "own" / "protection").mkdir(parents=True)
    text = BAD.format(id="vm-good-rule", sql=f"  SELECT v.resource_id, 'pass' AS status, ';' AS reason FROM vm v{end}")
    (tmp_path / "own" / "protection" / "vm-good-rule.yaml").write_text(text)
    book = rulebook.read([tmp_path / "own"], shipped=False)
    rows = judged(tmp_path, [vm("a"), vm("b")], book=book)["vm-good-rule"]
    assert [(row["status"], row["reason"]) for row in rows.values()] == [("pass", ";")] * 2


@pytest.mark.parametrize("name", ["blind", "severity_shift", "resource_no", "left_out", "waiver_id", "tier"])
def test_evidence_may_be_called_anything(name: str, tmp_path: Path) -> None:
    (tmp_path / "own" / "protection").mkdir(parents=True)
    sql = f"  SELECT v.resource_id, 'fail' AS status, 'x' AS reason, 7 AS {name} FROM vm v"
    (tmp_path / "own" / "protection" / "vm-own-rule.yaml").write_text(BAD.format(id="vm-own-rule", sql=sql))
    book = rulebook.read([tmp_path / "own"], shipped=False)
    rows = judged(tmp_path, [vm("a"), vm("b")], book=book)["vm-own-rule"]
    told = [(it["status"], it["severity"], it["reason"], json.loads(it["evidence"])) for it in rows.values()]
    assert told == [("fail", book.severities["vm-own-rule"], "x", {name: 7})] * 2


def test_a_vm_of_unknown_age_has_no_grace(tmp_path: Path) -> None:
    ageless = {**vm("ageless"), "properties": {}}
    young = {**vm("young"), "properties": {"timeCreated": "2026-11-22T01:00:00.1234567+00:00"}}
    rows = judged(tmp_path, [ageless, young])["vm-unprotected"]
    assert {name: row["status"] for name, row in rows.items()} == {"ageless": "fail", "young": "not_yet_due"}


def test_a_waiver_that_nobody_has_approved_yet_covers_nothing(tmp_path: Path) -> None:
    early = waiver(approved_on=date(2026, 11, 23), expires_on=date(2027, 1, 1))
    row = judged(tmp_path, [vm("a")], waivers=[early])["vm-unprotected"]["a"]
    assert (row["status"], row["waiver_id"]) == ("fail", None)


def test_a_severity_set_to_the_rules_own_still_beats_its_grading() -> None:
    plain = rulebook.read((), RuleChoice(severity_override={"snapshot-stale": "low"}))
    assert plain.overridden == {"snapshot-stale"}
    assert plain.severities["snapshot-stale"] == "low"
    assert BOOK.overridden == frozenset()
