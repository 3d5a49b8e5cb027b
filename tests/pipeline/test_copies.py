"""Copies and their cost in whole audits: edges of the views, prices, the past, and what was not read."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from auditor import inputs, standard
from auditor.simulator import Estate
from auditor.simulator.faults import Faults
from tests.audits import AS_OF, audit
from tests.pipeline.test_verdicts import judged
from tests.simulator.oracle import Oracle, costs

if TYPE_CHECKING:
    from pathlib import Path

    from auditor.inputs import Inputs
    from tests.audits import Audited

pytestmark = pytest.mark.slow

ENHANCED = {
    "daily": "22:00",
    "enhanced": True,
    "keep": {"daily": "30 Days", "weekly": "12 Weeks", "monthly": "84 Months"},
}


def estate(*, at: Any = AS_OF, **sections: Any) -> Estate:
    """Build an estate of one machine, protected under an Enhanced policy, with what a test adds."""
    tree: dict[str, Any] = {
        "estate": "copies",
        "jobs_days": 0,
        "subscriptions": {"a": {}, "b": {}},
        "resource_groups": {"a/rg": {"tags": {"environment": "prod", "owner": "team"}}},
        "vaults": {"b/rg-v/rsv": {}},
        "policies": {"p": ENHANCED},
        "vms": [{"name": "vm", "in": "a/rg", "disks": [64], "backup": {"vault": "rsv", "policy": "p"}}],
    }
    return Estate.from_dict(tree | sections, at)


def snapshot(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "in": "a/rg", "of": "vm", "age": "2d"} | fields


def of(made: Audited, rule: str) -> dict[str, tuple[str, str | None]]:
    """Give name -> verdict of a rule."""
    return {key.rpartition("/")[2]: verdict for (name, key), verdict in judged(made).items() if name == rule}


def reasons(made: Audited, rule: str) -> dict[str, str]:
    return {f.resource_id.rpartition("/")[2]: f.reason_code for f in made.results.findings if f.rule == rule}


def with_prices(tmp_path: Path, **others: str) -> Inputs:
    """Give the shipped standard with prices and the extra rule."""
    text = standard.default_path().read_text(encoding="utf-8")
    changes = {
        "Standard_LRS: null": "Standard_LRS: 0.05",
        "Premium_LRS: null": "Premium_LRS: 0.1",
        "extras: []": "extras: [disk-unattached-unprotected]",
    } | others
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "standard.yaml"
    path.write_text(text, encoding="utf-8")
    return inputs.read(path)


@pytest.fixture(scope="module")
def edges(tmp_path_factory: pytest.TempPathFactory) -> Audited:
    shots = [
        snapshot("8d", age="8d"),
        snapshot("8d1h", age="193h"),
        snapshot("ends-on-the-30th", age="20d", tags={"expires-on": "{+29d}"}),
        snapshot("ends-later", age="20d", tags={"expires-on": "{+31d}"}),
        snapshot("ended", age="20d", tags={"expires-on": "{-1d}"}),
        snapshot("ends-today", age="20d", tags={"Keep-Until": "{+0d}"}),
        snapshot("said", tags={"Expiry": "{+9d}", "CHANGE-REF": "CHG1"}),  # the owner stands on the group
        snapshot("blank", tags={"expires-on": "{+9d}", "change-ref": " "}),
        snapshot("soon", tags={"expires-on": "soon", "change-ref": "CHG1"}),
        snapshot("premium-24h", age="24h", sku="Premium_LRS"),
        snapshot("premium-25h", age="25h", sku="Premium_LRS"),
        snapshot("handed-4h", age="4h", state="ActiveSAS", network="DenyAll"),
        snapshot("handed-5h", age="5h", state="ActiveSAS", network="DenyAll"),
        snapshot("arriving", create="CopyStart", completion=40),
    ]
    return audit(estate(snapshots=shots), tmp_path_factory.mktemp("edges"))


def test_ages_and_ends_on_the_edge(edges: Audited) -> None:
    found = reasons(edges, "snapshot-stale")
    wanted = {
        "8d": "pass", "8d1h": "too_old", "ends-on-the-30th": "pass", "ends-later": "end_too_far",
        "ended": "end_has_passed", "ends-today": "pass",
    }  # fmt: skip
    assert {name: found.get(name, "pass") for name in wanted} == wanted


def test_tags_are_found_under_other_names_and_on_the_group(edges: Audited) -> None:
    found = reasons(edges, "snapshot-no-expiry-tag")
    assert "said" not in found
    assert found["blank"] == "tags_missing"
    assert found["soon"] == "end_unreadable"
    lacking = {f.resource_name: f.evidence["missing_tags"] for f in edges.results.findings
               if f.rule == "snapshot-no-expiry-tag" and f.resource_name in ("blank", "8d")}  # fmt: skip
    assert lacking == {"blank": "change-ref", "8d": "expires-on, change-ref"}


def test_premium_and_exports_on_the_edge(edges: Audited) -> None:
    premium = of(edges, "snapshot-premium-storage")
    assert (premium["premium-24h"][0], premium["premium-25h"][0]) == ("pass", "fail")
    exposed = of(edges, "snapshot-network-exposed")
    assert exposed["handed-4h"] == ("not_yet_due", None)
    assert exposed["handed-5h"] == ("fail", "high")


def test_a_copy_under_way_is_not_counted(edges: Audited) -> None:
    found = edges.rows("SELECT snapshot_count, partial_count FROM disk_copy WHERE snapshot_count > 0")
    assert found == [{"snapshot_count": 13, "partial_count": 1}]
    assert sorted(of(edges, "snapshot-count-excessive").values()) == [("fail", "low"), ("pass", None)]


def test_money_is_told_with_prices_and_equals_what_the_four_rules_fail(tmp_path: Path) -> None:
    shots = [
        snapshot("stale", age="20d", size=600),
        snapshot("all-at-once", age="40d", size=900, incremental=False, sku="Premium_LRS", recreated=True),
        snapshot("premium", age="30h", size=10, sku="Premium_LRS"),
        snapshot("full", age="30h", size=64, incremental=False),
        snapshot("small", age="30h", size=32, incremental=False),
        snapshot("orphan", age="180h", size=100, of="gone:x"),
        snapshot("held", age="400d", size=5000, of="gone:y", tags={"legal-hold": "yes"}),
        snapshot("other", **{"in": "b/rg-v", "of": "gone:z", "age": "90d", "size": 800}),
    ]
    given = with_prices(tmp_path)
    built = estate(snapshots=shots)
    made = audit(built, tmp_path / "store", given=given)
    judge = Oracle(built)
    price = {"Standard_LRS": 0.05, "Premium_LRS": 0.1}
    totals = {}
    for subscription in built.subscriptions.values():
        wasted = costs.waste(judge, subscription.id)
        totals[subscription.id] = sum(s["properties"]["diskSizeGB"] * price[s["sku"]["name"]] for s in wasted)
    assert sorted(totals.values()) == pytest.approx([40.0, 600 * 0.05 + 900 * 0.1 + 10 * 0.1 + 64 * 0.05 + 100 * 0.05])
    assert {key: status for key, (status, _) in of(made, "cost-snapshot-waste").items()} == {
        key: "fail" if total > 50 else "pass" for key, total in totals.items()
    }
    fail = next(f for f in made.results.findings if f.rule == "cost-snapshot-waste")
    assert fail.evidence["most_month"] == pytest.approx(max(totals.values()))
    assert "upper bound" in fail.reason
    assert fail.severity == "low"


def test_a_loose_disk_without_a_copy_fails_the_extra_rule(tmp_path: Path) -> None:
    loose = [
        {"name": "bare", "in": "a/rg", "age": "31d"},
        {"name": "young", "in": "a/rg", "age": "30d"},
        {"name": "copied", "in": "a/rg", "age": "90d"},
        {"name": "pvc", "in": "a/mc", "age": "90d"},
        {"name": "asrseeddisk-x", "in": "a/rg", "age": "90d"},
    ]
    built = estate(
        disks=loose,
        resource_groups={"a/mc": {"managed_by": "/subscriptions/x/aks"}},
        snapshots=[snapshot("s", of="disk:copied")],
    )
    found = of(audit(built, tmp_path / "store", given=with_prices(tmp_path)), "disk-unattached-unprotected")
    wanted = {
        "bare": "fail", "young": "not_yet_due", "copied": "pass", "pvc": "not_applicable",
        "asrseeddisk-x": "not_applicable",
    }  # fmt: skip
    assert {name: found[name][0] for name in wanted} == wanted
    assert {status for name, (status, _) in found.items() if name.startswith("vm")} == {"not_applicable"}


def test_a_maximum_is_kept_by_the_standard(tmp_path: Path) -> None:
    erased = {
        "daily:   {keep: 30d,  max: null}": "daily:   {keep: 20d,  max: 29d}",
        "  hybrid:\n": "  hybrid:\n    justification: the law wants it erased\n",
    }
    given = with_prices(tmp_path, **erased)
    found = of(audit(estate(), tmp_path / "store", given=given), "cost-retention-over-standard")
    assert found["p"] == ("fail", "medium")


@pytest.mark.parametrize(
    ("tags", "state", "verdict", "reason"),
    [
        ({}, "ProtectionStopped", "fail", "kept_for_ever"),
        ({"legal-hold": "yes"}, "ProtectionStopped", "pass", "within"),
        ({}, "BackupsSuspended", "pass", "within"),  # its policy goes on to end its points
    ],
)
def test_what_a_stopped_item_keeps_beside_an_active_one_is_kept_for_ever(
    tmp_path: Path, tags: dict[str, str], state: str, verdict: str, reason: str
) -> None:
    before = {"vault": "old", "policy": "p", "state": state, "points": {"newest": "-40d"}}
    built = estate(
        vaults={"b/rg-v/rsv": {}, "a/rg/old": {"tags": tags}},
        policies={"p": ENHANCED | {"archive_after": "recommended"}},
        vms=[{"name": "vm", "in": "a/rg", "backup": [{"vault": "rsv", "policy": "p"}, before]}],
    )
    made = audit(built, tmp_path)
    found = {key: v for key, v in judged(made).items() if key[0] == "cost-retention-over-standard"}
    assert found == {key: v for key, v in Oracle(built).verdicts() if key[0] == "cost-retention-over-standard"}
    policy = next(key for key in found if "/vaults/rsv/" in key[1] and key[1].endswith("/p"))
    assert found[policy][0] == verdict
    told = {f.resource_id: f.reason_code for f in made.results.findings if f.rule == policy[0]}
    assert told.get(policy[1], "within") == reason


def test_an_item_is_an_orphan_after_a_week_of_our_own_looking(tmp_path: Path) -> None:
    gone = {"name": "gone", "in": "a/rg", "deleted": True, "backup": {"vault": "rsv", "policy": "p"}}
    back = {"name": "gone", "in": "a/rg", "backup": {"vault": "rsv", "policy": "p"}}
    moved = {"name": "gone", "in": "a/rg2"}
    seen = []
    for days, machines in ((0, [gone]), (6, [gone]), (8, [gone, moved]), (9, [back]), (17, [gone])):
        at = AS_OF + timedelta(days=days)
        made = audit(estate(at=at, vms=machines), tmp_path, as_of=at)
        verdict = next(v for k, v in of(made, "protected-item-orphaned").items() if k.endswith(";gone"))
        seen.append((verdict[0], next(iter(reasons(made, "protected-item-orphaned").values()), "vm_exists")))
    assert seen == [
        ("not_yet_due", "just_missed"),
        ("not_yet_due", "just_missed"),
        ("fail", "perhaps_moved"),
        ("pass", "vm_exists"),
        ("not_yet_due", "just_missed"),  # it was there in between: what is known begins anew
    ]  # fmt: skip


def test_what_was_not_read_is_unknown(tmp_path: Path) -> None:
    built = estate(
        vms=[
            {"name": "vm", "in": "a/rg", "disks": [64]},
            {"name": "gone", "in": "a/rg", "deleted": True, "backup": {"vault": "rsv", "policy": "p"}},
            {"name": "good", "in": "a/rg", "backup": {"vault": "rsv", "policy": "p"}},
        ],
        restore_points=[{"name": "rpc", "in": "a/rg", "of": "vm", "points": ["1d"]}],
    )
    made = audit(built, tmp_path, faults=Faults(denied_paths=frozenset({"restorepointcollections/rpc"})))
    assert of(made, "snapshot-daily-missing")["vm"] == ("unknown", None)
    assert reasons(made, "snapshot-daily-missing")["vm"] == "sources_unread"
    assert of(made, "snapshot-daily-missing")["good"] == ("pass", None)


def test_what_azure_leaves_out_is_unknown_and_never_a_pass(tmp_path: Path) -> None:
    absent = frozenset({
        "properties.publicNetworkAccess", "properties.incremental", "properties.recoveryPointTierDetails",
        "properties.instantRpRetentionRangeInDays",
    })  # fmt: skip
    made = audit(estate(snapshots=[snapshot("s")]), tmp_path, faults=Faults(missing_properties=absent))
    assert of(made, "snapshot-network-exposed")["s"] == ("unknown", None)
    assert of(made, "snapshot-not-incremental")["s"] == ("unknown", None)
    assert of(made, "cost-snapshot-waste")[_subscription(made, "s")] == ("unknown", None)
    assert reasons(made, "snapshot-daily-missing")["vm"] == "tier_not_sent"


def _subscription(made: Audited, name: str) -> str:
    return next(f.subscription_id for f in made.results.findings if f.resource_name == name)


# -- whose copy a snapshot is ------------------------------------------------------------------------------


def test_a_copy_of_a_snapshot_is_judged_by_the_disk_that_it_shows(tmp_path: Path) -> None:
    shots = [
        snapshot("of-a-gone-one", of="gone:x", age="40d"),
        snapshot("second", of="snapshot:of-a-gone-one", create="CopyStart", age="40d"),
        snapshot("third", of="snapshot:second", create="CopyStart", age="40d"),
        snapshot("good", age="40d"),
        snapshot("good-copy", of="snapshot:good", create="CopyStart", age="40d"),
        snapshot("import", of=None, create="Import", age="40d"),
        snapshot("import-copy", of="snapshot:import", create="CopyStart", age="40d"),
    ]
    made = audit(estate(snapshots=shots), tmp_path)
    got = of(made, "snapshot-orphaned")
    assert got["second"] == got["third"] == got["of-a-gone-one"] == ("fail", "medium")
    assert got["good-copy"] == got["import-copy"] == ("pass", None)
    (said,) = (f for f in made.results.findings if f.rule == "snapshot-orphaned" and f.resource_name == "third")
    assert said.evidence["origin_id"].endswith("/disks/x")
    assert said.evidence["source_id"].endswith("/snapshots/second")


def test_the_source_of_a_snapshot_may_have_been_moved(tmp_path: Path) -> None:
    tree = estate(snapshots=[snapshot("moved", age="40d")])
    (document,) = tree.snapshot_documents
    creation = document["properties"]["creationData"]
    creation["sourceResourceId"] = creation["sourceResourceId"].rpartition("/")[0] + "/its-old-name"
    assert of(audit(tree, tmp_path), "snapshot-orphaned") == {"moved": ("pass", None)}


def test_an_immutable_snapshot_without_an_end_cannot_be_deleted_either(tmp_path: Path) -> None:
    tree = estate(snapshots=[snapshot("worm", age="40d"), snapshot("no-more", age="40d")])
    for document, expired in zip(tree.snapshot_documents, (False, True), strict=True):
        policy = {"type": "Locked", "immutabilityDurationDays": 60, "isPolicyExpired": expired}
        document["properties"]["immutabilityPolicy"] = policy
    got = of(audit(tree, tmp_path), "snapshot-stale")
    assert got == {"worm": ("not_applicable", None), "no-more": ("fail", "medium")}


# -- days on which every disk was copied -------------------------------------------------------------------


def daily_but_for_the_last_disk(name: str) -> list[dict[str, Any]]:
    """Give nine days of snapshots of a VM's system disk and of the first of its two data disks."""
    return [
        snapshot(f"{name}-{source.replace(':', '-')}-{day}", of=source, age=f"{day * 24 + 3}h")
        for day in range(9)
        for source in (name, f"{name}:0")
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, "fail"),
        ({"tags": {"backup-exclude-disk": "yes"}}, "pass"),  # it may be left out
        ({"made": "2026-11-21T10:00:00+00:00"}, "pass"),  # on the days before there was none
        ({"made": "2026-11-19T10:00:00+00:00"}, "fail"),  # on the two days since it lacks
    ],
)
def test_a_day_counts_when_every_disk_of_that_day_was_copied(
    change: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    machine = {"name": "big", "in": "a/rg", "disks": [64, 32]}
    tree = estate(vms=[machine], snapshots=daily_but_for_the_last_disk("big"))
    last = next(d for d in tree.disk_documents if d["name"].endswith("DataDisk_1"))
    last["tags"] = change.get("tags")
    last["properties"]["timeCreated"] = change.get("made", last["properties"]["timeCreated"])
    assert of(audit(tree, tmp_path), "snapshot-daily-missing")["big"][0] == expected
