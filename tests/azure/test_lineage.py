"""What is said to stand behind a rule is what stands behind it: take a table away, and see whose verdicts change."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import duckdb
import pytest

from auditor.engine.evaluate import evaluate
from auditor.inventory import catalogue
from auditor.inventory.facts import Circumstances
from auditor.inventory.lineage import Lineage
from auditor.model import Coverage, CoverageState
from tests.audits import AS_OF, default_inputs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.audits import Audited

pytestmark = pytest.mark.slow

RULES = default_inputs().book.rules
BEHIND = {rule.id: Lineage(default_inputs().standard).behind(rule.file.sql) for rule in RULES}


def judged(inventory: Path, lost: str | None, audited: Audited, folder: Path) -> dict[str, list[tuple[str, ...]]]:
    """Judge the tables; `lost` counts as denied everywhere."""
    given = default_inputs()
    covered = audited.bundle.covered()
    rows = [replace(row, state=CoverageState.DENIED) if row.table == lost else row for row in covered.coverage]
    if lost and lost != "subscription":
        places = {row.subscription_id for row in covered.coverage}
        rows += [Coverage(lost, place, CoverageState.DENIED, None, 0, "taken away") for place in sorted(places)]
    circumstances = Circumstances(AS_OF, given.standard, rows, covered.gaps, covered.second, waivers=given.waivers)
    evaluate(given.book, inventory, circumstances, folder=folder)
    with duckdb.connect() as con:
        return {
            rule.id: con.execute(
                f"SELECT resource_id, status, reason, severity FROM '{folder / rule.id}.parquet' ORDER BY 1"
            ).fetchall()
            for rule in given.book.rules
        }


@pytest.fixture(scope="module")
def untouched(flawless: Audited, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[str, ...]]]:
    return judged(flawless.bundle.inventory, None, flawless, tmp_path_factory.mktemp("untouched"))


FIRST = {"vault", "protected_item", "recovery_point", "snapshot", "disk"}


@pytest.mark.parametrize("lost", [table.name for table in catalogue.tables()])
def test_only_rules_that_stand_on_a_table_fall_with_it(
    lost: str, flawless: Audited, untouched: dict[str, list[tuple[str, ...]]], tmp_path: Path
) -> None:
    inventory = tmp_path / "inventory"
    shutil.copytree(flawless.bundle.inventory, inventory)
    emptied = inventory / f"{lost}.parquet"
    with duckdb.connect() as con:
        source = flawless.bundle.inventory / emptied.name
        con.execute(f"COPY (SELECT * FROM '{source}' LIMIT 0) TO '{emptied}' (FORMAT parquet)")
    without = judged(inventory, lost, flawless, tmp_path / "findings")
    # A table that is lost is empty too, so that what was joined from it is missed as well.
    changed = {rule for rule, rows in without.items() if rows != untouched[rule]}
    assert changed <= {rule for rule, behind in BEHIND.items() if lost in behind.tables}
    assert changed or lost not in FIRST


def test_what_stands_behind_a_rule() -> None:
    assert {"vm", "protected_item", "vault", "subscription"} <= BEHIND["vm-unprotected"].tables
    assert {"subscription", "vault", "protected_item"} <= BEHIND["vm-unprotected"].whole
    assert "snapshot" not in BEHIND["vm-unprotected"].tables
    assert "recovery_point" in BEHIND["recovery-points-missing"].tables
    assert "vm" not in BEHIND["snapshot-stale"].tables
    assert "role_assignment" not in BEHIND["vault-soft-delete-weak"].tables
    assert "alert_rule" in BEHIND["vault-monitoring-missing"].whole
    asked = {"vault_config", "vault_storage_config", "resource_guard_proxy", "diagnostic_setting"}
    assert {rule: asked & BEHIND[rule].tables for rule in BEHIND if rule.startswith("vault-")} == {
        "vault-redundancy-below-standard": {"vault_storage_config"},
        "vault-crr-disabled": {"vault_storage_config"},
        "vault-soft-delete-weak": {"vault_config"},
        "vault-immutability-weak": set(),
        "vault-mua-missing": {"resource_guard_proxy"},
        "vault-network-exposed": set(),
        "vault-cmk-missing": set(),
        "vault-monitoring-missing": {"diagnostic_setting"},
    }
    assert {rule for rule, behind in BEHIND.items() if "action_group" in behind.tables} == {"vault-monitoring-missing"}
