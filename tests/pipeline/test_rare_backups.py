"""Rare but real backups in whole audits: what each looks like, and the verdict it must get."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from auditor import inputs, pipeline, standard
from auditor.inventory import store
from auditor.inventory.facts import Circumstances, Facts
from auditor.inventory.store import Page
from auditor.simulator import Estate
from auditor.simulator.faults import Faults
from tests.audits import AS_OF, Audited, audit, default_inputs
from tests.azure.runs import hurried

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from auditor.inputs import Inputs

SUB = "00000000-0000-0000-0000-000000000001"

KEEP = {"daily": "30 Days", "weekly": "12 Weeks", "monthly": "84 Months"}


def estate(*machines: dict[str, Any], at: Any = AS_OF, policy: dict[str, Any] | None = None, **other: Any) -> Estate:
    """Build a vault with one policy, `p`, and machines that it protects unless they say otherwise."""
    tree: dict[str, Any] = {
        "estate": "rare",
        "jobs_days": 0,
        "subscriptions": {"a": {}},
        "vaults": {"a/rg-v/rsv": {}, "a/rg-v/old": {}},
        "policies": {"p": policy or {"daily": "22:00", "keep": KEEP}},
        "defaults": {"vm": {"in": "a/rg", "age": "400d", "disks": []}},
        "vms": [{"backup": {"vault": "rsv", "policy": "p"}, **machine} for machine in machines],
    }
    return Estate.from_dict(tree | other, at)


def found(made: Audited, rule: str, name: str = "vm") -> tuple[str, str | None]:
    """Give the status and the reason code of a verdict; a pass has no reason here."""
    for finding in made.results.findings:
        if (finding.rule, finding.resource_name) == (rule, name):
            return finding.status.value, finding.reason_code
    return "pass", None


def backup(**fields: Any) -> dict[str, Any]:
    return {"name": "vm", "backup": {"vault": "rsv", "policy": "p"} | fields}


def test_a_weekly_run_that_begins_after_midnight_is_of_its_week(tmp_path: Path) -> None:
    weekly = {"weekly": {"days": ["Sunday"], "at": "23:50"}, "keep": {"weekly": "52 Weeks"}}
    # Runs begin up to 20 minutes late: some on Sunday, most of them on Monday, in the next ISO week.
    machines = [{"name": f"vm{n}"} for n in range(12)]
    made = audit(estate(*machines, policy=weekly), tmp_path, patience=hurried())
    days = made.rows("SELECT DISTINCT day_no % 7 AS day FROM recovery_point")
    assert len(days) == 2, "the estate has runs on both sides of midnight"
    assert {found(made, "recovery-points-gfs-gap", machine["name"])[0] for machine in machines} == {"pass"}


def test_a_daily_run_that_begins_after_midnight_is_a_success_of_its_day(tmp_path: Path) -> None:
    machines = [{"name": f"vm{n}"} for n in range(6)]
    late = estate(*machines, policy={"daily": "23:50", "keep": KEEP}, jobs_days=31)
    made = audit(late, tmp_path, patience=hurried())
    assert {found(made, "backup-success-rate-low", machine["name"])[0] for machine in machines} == {"not_yet_due"}
    history = made.rows("SELECT run_days, success_days FROM backup_history")
    assert [row["run_days"] - row["success_days"] for row in history] == [0] * 6


SCHEDULES: list[tuple[dict[str, Any], int]] = [
    ({"hourly": {"every": 4, "from": "08:00", "hours": 12}}, 12),
    ({"hourly": {"every": 4, "from": "00:00", "hours": 24}}, 4),
    ({"weekly": {"days": ["Sunday"], "at": "02:00"}}, 168),
    ({"weekly": {"days": ["Friday", "Monday", "Wednesday"], "at": "02:00"}}, 72),
    ({"weekly": {"days": ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"], "at": "02:00"}}, 72),
    ({"weekly": {"days": ["Saturday", "Sunday"], "at": "02:00"}}, 144),
    ({"daily": "22:00"}, 24),
]


def test_what_lies_between_two_backups_is_the_longest_gap_of_the_schedule(tmp_path: Path) -> None:
    policies = {f"p{n}": schedule | {"keep": {"weekly": "12 Weeks"}} for n, (schedule, _) in enumerate(SCHEDULES)}
    machines = [
        {"name": f"vm{n}", "tags": {"backup-tier": "mission-critical"}, "backup": {"vault": "rsv", "policy": f"p{n}"}}
        for n in range(len(SCHEDULES))
    ]
    made = audit(estate(*machines, policies=policies), tmp_path, patience=hurried())
    rows = made.rows(
        "SELECT schedule_hours FROM protection p JOIN vm v ON v.resource_no = p.vm_no ORDER BY v.resource_name"
    )
    assert [row["schedule_hours"] for row in rows] == [hours for _, hours in SCHEDULES]
    rare = [
        n for n in range(len(SCHEDULES)) if found(made, "retention-frequency-below-standard", f"vm{n}")[0] == "fail"
    ]
    assert rare == [n for n, (_, hours) in enumerate(SCHEDULES) if hours > 4], "mission-critical: every 4 h"


def test_a_first_point_of_after_the_run_s_moment_is_still_to_come(tmp_path: Path) -> None:
    first = estate(backup(since="-3h", points={"newest": "-30min"}))
    made = audit(first, tmp_path, as_of=AS_OF - timedelta(hours=1), patience=hurried())
    assert found(made, "vm-initial-backup-pending") == ("not_yet_due", "inside_grace")
    assert found(made, "backup-rpo-breached") == ("not_applicable", "judged_by:vm-initial-backup-pending")


def test_the_job_that_configured_it_dates_a_pending_first_backup(tmp_path: Path) -> None:
    pending = backup(state="IRPending", since="-5d", points={"empty": True})
    made = audit(estate(pending, jobs_days=10), tmp_path, patience=hurried())
    assert found(made, "vm-initial-backup-pending") == ("fail", "still_pending")


def test_the_points_of_a_deleted_item_are_no_history(tmp_path: Path) -> None:
    young = {"vault": "rsv", "policy": "p", "since": "-5d"}
    gone = {"vault": "old", "policy": "p", "since": "-60d", "deleted": "2d", "points": {"newest": "-3d"}}
    kept = gone | {"deleted": None, "state": "ProtectionStopped"}
    daily = {"daily": "22:00", "keep": {"daily": "30 Days"}}
    machines = ({"name": "vm", "backup": [young, gone]}, {"name": "kept", "backup": [young, kept]})
    made = audit(estate(*machines, policy=daily), tmp_path, patience=hurried())
    assert found(made, "oldest-point-younger-than-retention", "kept") == ("pass", None)
    assert found(made, "oldest-point-younger-than-retention") == ("not_yet_due", "still_growing")


def test_a_weekly_point_may_be_under_way_to_the_vault(tmp_path: Path) -> None:
    weekly = {"weekly": {"days": ["Sunday"], "at": "00:30"}, "keep": {"weekly": "52 Weeks"}}
    # As of Sunday 06:00 the run of this night is not in the vault yet, that of a week ago is.
    young, stuck = backup(points={"unvaulted": "12h"}), backup(points={"unvaulted": "9d"}) | {"name": "stuck"}
    dev = {"resource_groups": {"a/rg": {"tags": {"environment": "dev"}}}}
    made = audit(estate(young, stuck, policy=weekly, **dev), tmp_path, patience=hurried())
    assert found(made, "backup-not-vaulted") == ("pass", None)
    assert found(made, "backup-not-vaulted", "stuck") == ("fail", "vault_lags")


def test_a_disk_s_tag_that_says_no_does_not_let_it_be_left_out(tmp_path: Path) -> None:
    group = f"/subscriptions/{SUB}/resourceGroups/rg/providers/Microsoft.Compute"
    tags = {"bare": "", "yes": "team", "no": "False"}
    slots = [{"lun": n, "managedDisk": {"id": f"{group}/disks/{name}"}} for n, name in enumerate([*tags, "unread"])]
    machine = {
        "id": f"{group}/virtualMachines/vm",
        "name": "vm",
        "properties": {"storageProfile": {"dataDisks": slots}},
    }
    disks = [
        {"id": f"{group}/disks/{name}", "name": name, "tags": {"Backup-Exclude-Disk": value}, "properties": {}}
        for name, value in tags.items()
    ]
    rows = {"vm": [machine], "disk": disks, "subscription": [{"id": f"/subscriptions/{SUB}", "name": "s"}]}
    store.build(tmp_path, lambda table: [Page(None, json.dumps({"data": rows.get(table, [])}).encode())], AS_OF)
    with Facts.open(tmp_path, Circumstances(AS_OF, default_inputs().standard)) as facts:
        read = facts.rows("SELECT lun, was_read, may_be_left_out FROM vm_disk ORDER BY lun")
    assert [(row["was_read"], row["may_be_left_out"]) for row in read] == [
        (True, True), (True, True), (True, False), (False, False),
    ]  # fmt: skip


def test_a_guard_that_could_not_be_read_is_not_a_weaker_one(tmp_path: Path) -> None:
    vaults = {"vaults": {"a/rg-v/rsv": {"immutability": "Disabled"}}}
    audit(estate(backup(), **vaults), tmp_path, patience=hurried())
    later = AS_OF + timedelta(days=7)
    blind = Faults(
        denied_paths=frozenset({"/backupconfig/"}), missing_properties=frozenset({"properties.securitySettings"})
    )
    made = audit(estate(backup(), at=later, **vaults), tmp_path, as_of=later, faults=blind, patience=hurried())
    assert found(made, "retention-reduced") == ("unknown", "guard_unread")


def test_an_item_that_the_vault_s_own_list_lacks_proves_no_protection(tmp_path: Path) -> None:
    purged = frozenset({"VM;iaasvmcontainerv2;rg;vm"})
    azure = estate(backup(), {"name": "other"})
    made = audit(azure, tmp_path, faults=Faults(graph_ghosts=purged), patience=hurried())
    assert found(made, "vm-unprotected") == ("unknown", "protection_unknown")
    assert found(made, "vm-protection-stopped") == ("unknown", "protection_unknown")
    assert found(made, "vm-unprotected", "other") == ("pass", None)


def changing(folder: Path) -> Inputs:
    """Give a standard that accepts a tag for the approved change of a retention."""
    text = standard.default_path().read_text(encoding="utf-8")
    accepted = "accept_change_tag: Change-Ref\n  justification: our changes are approved before they get a number"
    path = folder / "standard.yaml"
    path.write_text(text.replace("accept_change_tag: null", accepted), encoding="utf-8")
    return inputs.read(path)


@pytest.mark.parametrize(
    ("tags", "verdict"),
    [
        ([{}, {}, {}], ("fail", "retention_cut")),
        ([{}, {}, {"change-ref": "CHG7"}], ("pass", None)),
        # Written down before the change was made, and seen in the run before it.
        ([{}, {"change-ref": "CHG7"}, {"change-ref": "CHG7"}], ("pass", None)),
        # What stood there long before is about another change.
        ([{"change-ref": "CHG7"}] * 3, ("fail", "retention_cut")),
        ([{}, {}, {"change-ref": " "}], ("fail", "retention_cut")),
    ],
)
def test_a_cut_with_a_fresh_reference_to_its_change_passes(
    tmp_path: Path, tags: list[dict[str, str]], verdict: tuple[str, str | None]
) -> None:
    given, short = changing(tmp_path), {"daily": "22:00", "keep": KEEP | {"daily": "14 Days"}}
    for week, said in enumerate(tags):
        at = AS_OF + timedelta(days=7 * week)
        policy = short if week == 2 else None
        vaults = {"a/rg-v/rsv": {"tags": said}}
        made = audit(
            estate(backup(), at=at, policy=policy, vaults=vaults),
            tmp_path / "s",
            as_of=at,
            given=given,
            patience=hurried(),
        )
    assert found(made, "retention-reduced") == verdict
    assert found(made, "retention-reduced") == found(
        Audited(made.bundle, pipeline.read(made.bundle), []), "retention-reduced"
    )


def test_a_reference_counts_on_the_vm_too_and_only_where_the_standard_accepts_it(tmp_path: Path) -> None:
    short = {"daily": "22:00", "keep": KEEP | {"daily": "14 Days"}}
    later = AS_OF + timedelta(days=7)
    cut = estate(backup() | {"tags": {"Change-Ref": "CHG7"}}, at=later, policy=short)
    audit(estate(backup()), tmp_path / "a", given=changing(tmp_path), patience=hurried())
    made = audit(cut, tmp_path / "a", as_of=later, given=changing(tmp_path), patience=hurried())
    assert found(made, "retention-reduced") == ("pass", None)
    audit(estate(backup()), tmp_path / "b", patience=hurried())
    made = audit(cut, tmp_path / "b", as_of=later, patience=hurried())
    assert found(made, "retention-reduced") == ("fail", "retention_cut")


def test_a_point_by_hand_that_ends_sooner_than_before_is_a_cut(tmp_path: Path) -> None:
    def with_point(keep: str, at: datetime) -> Estate:
        taken = (AS_OF - timedelta(days=3)).isoformat()
        return estate(backup(points={"on_demand": [taken], "on_demand_keep": keep}), at=at)

    weeks = [AS_OF + timedelta(days=7 * n) for n in range(4)]
    told = []
    for at, keep in zip(weeks, ("400d", "400d", "500d", "60d"), strict=True):
        made = audit(with_point(keep, at), tmp_path, as_of=at, patience=hurried())
        told.append(found(made, "retention-reduced"))
    assert told == [("not_yet_due", "first_run"), ("pass", None), ("pass", None), ("fail", "expiry_shortened")]
    (row,) = made.rows("SELECT cut_days, last_seen_hours FROM earlier_expiry")
    assert row == {"cut_days": 440, "last_seen_hours": 168}
    # Kept for 30 days where nobody said until when: what a policy keeps says nothing of it.
    plain = audit(with_point("30d", AS_OF), tmp_path / "plain", patience=hurried())
    assert found(plain, "retention-reduced") == ("not_yet_due", "first_run")
