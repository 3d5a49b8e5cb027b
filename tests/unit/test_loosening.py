from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from auditor import rulebook, standard
from auditor.errors import DocumentError
from auditor.inputs import Files
from auditor.report import view
from auditor.rulebook import loosening
from auditor.standard.schema import Part, StandardFile, Tier
from auditor.standard.strictness import Stricter
from tests.formats import sample

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SHIPPED = standard.default_path().read_text(encoding="utf-8")

NEUTRAL = {
    *("Keep.legal_basis", "Keep.compliance", "Tier.extends", "Tier.justification"),
    *("ClassRule", "About", "Cost.currency", "Cost.prices_as_of", "Cost.snapshot_gib_month"),
    *("PopulationRules.inherit_resource_group_tags", "PopulationRules.managed_resource_groups"),
    *("PopulationRules.exclude_disk_tag", "SnapshotRules.expiry_tags", "SnapshotRules.hold_tag"),
    *("SnapshotRules.third_party", "EvidenceFiles.restore_tests", "EvidenceFiles.runbooks"),
    *("RuleChoice.extras", "RuleChoice.severity_override", "RuleChoice.params"),
    *("StandardFile.owner_tags", "StandardFile.tiers", "StandardFile.classes", "StandardFile.default_tier"),
    *("StandardFile.limits_as_of", "StandardFile.frameworks"),
}
"""Fields that no order of strictness is known of; severities and parameters of rules are compared with the rules."""


def changed(folder: Path, *changes: tuple[str, str]) -> Path:
    text = SHIPPED
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = folder / "standard.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def line(words: str) -> int:
    return SHIPPED[: SHIPPED.index(words)].count("\n") + 1


SOME = [
    ("rpo: 24h ", "rpo: 48h ", "tiers.hybrid", "rpo 48h instead of 24h"),
    ("daily:   {keep: 30d", "daily:   {keep: 29d", "tiers.hybrid", "backup.daily.keep 29d instead of 30d"),
    (
        "monthly: {keep: 84mo",
        "monthly: {keep: null",
        "tiers.hybrid",
        "backup.monthly.keep not demanded instead of 84mo",
    ),
    ("accept: [GeoRedundant]", "accept: [GeoRedundant, LocallyRedundant]", "tiers.hybrid", "vault.redundancy.accept"),
    ("state: Unlocked", "state: Disabled", "tiers.hybrid", "vault.immutability.state Disabled instead of Unlocked"),
    ("types: [full_vm_or_disk, file,", "types: [file,", "tiers.hybrid", "restore_test.types file, snapshot instead of"),
    (
        "    success_pct: 98",
        "    success_pct: 98\n    severity_shift: -2",
        "tiers.hybrid",
        "severity_shift -2 instead of 0",
    ),
    ("rpo: 6h  ", "rpo: 12h  ", "tiers.mission_critical", "rpo 12h instead of 6h"),
    ("accept_disk_backup: false", "accept_disk_backup: true", "population", "accept_disk_backup true instead of false"),
    ("rpo_tolerance: 6h", "rpo_tolerance: 7h", "timing", "rpo_tolerance 7h instead of 6h"),
    ("require_incremental: true", "require_incremental: false", "snapshots", "require_incremental false"),
    ("waivers: {max: 365d", "waivers: {max: 366d", "waivers", "max 366d instead of 365d"),
    ("high: 14", "high: 15", "standard", "sla_days critical 2, high 15"),
    ("disable: []", "disable: [vm-unprotected]", "rules", "disable vm-unprotected instead of none"),
    (
        "severity_override: {}",
        "severity_override: {vm-unprotected: low}",
        "rules",
        "vm-unprotected low instead of high",
    ),
]


@pytest.mark.parametrize(("old", "new", "place", "said"), SOME)
def test_to_demand_less_without_a_reason_is_refused(tmp_path: Path, old: str, new: str, place: str, said: str) -> None:
    path = changed(tmp_path, (old, new))
    with pytest.raises(DocumentError) as caught:
        Files(path).read()
    (fault,) = caught.value.faults
    assert fault.message.startswith(f"{place} demands less than the shipped standard: ")
    assert said in fault.message
    assert fault.line in {line(old), line(old) + new.count("\n")}
    assert f"{place}.justification" in fault.hint


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("rpo: 24h ", "rpo: 23h "),
        ("monthly: {keep: 84mo", "monthly: {keep: 7y"),
        ("yearly:  {keep: null", "yearly:  {keep: 10y"),
        ("private_endpoint: false", "private_endpoint: true"),
        ("high: 14", "high: 13"),
        ("severity_override: {}", "severity_override: {vm-unprotected: critical}"),
        ("allow_premium: 24h", "allow_premium: null"),
    ],
)
def test_to_demand_more_needs_no_reason(tmp_path: Path, old: str, new: str) -> None:
    Files(changed(tmp_path, (old, new))).read()


def test_a_reason_is_taken_where_the_demand_stands_and_by_the_tiers_that_inherit_it(tmp_path: Path) -> None:
    less = ("monthly: {keep: 84mo", "monthly: {keep: 12mo")
    path = changed(tmp_path, less, ("  hybrid:\n", "  hybrid:\n    justification: law of 2026\n"))
    read = Files(path).read()
    told = {it.place: it for it in loosening.loosenings(read.standard, read.book)}
    assert [str(it) for it in told["tiers.hybrid"].demands] == ["backup.monthly.keep 12mo instead of 84mo"]
    assert told["tiers.mission_critical"].justification == told["tiers.hybrid"].justification == "law of 2026"
    with pytest.raises(DocumentError, match=r"tiers\.mission_critical demands less") as caught:
        Files(
            changed(tmp_path, less, ("  hybrid:\n", "  hybrid:\n    justification: law\n"), ("rto: 4h", "rto: 9h"))
        ).read()
    assert len(caught.value.faults) == 1


def test_a_tier_of_another_name_is_held_against_the_default_tier(tmp_path: Path) -> None:
    silent = ("\nclasses:", "\n  lab:\n    extends: dev_test\n    rto: 9h\n\nclasses:")
    with pytest.raises(DocumentError, match=r"tiers\.lab demands less .*; rto 9h instead of 8h"):
        Files(changed(tmp_path, silent)).read()
    with pytest.raises(DocumentError, match=r"tiers\.dev_test demands less"):
        Files(changed(tmp_path, ('    justification: "rebuildable from code; no personal data"\n', ""))).read()


def test_the_shipped_standard_gives_its_own_reasons() -> None:
    read = Files().read()
    told = loosening.loosenings(read.standard, read.book)
    assert [it.place for it in told] == [f"tiers.{n}" for n in ("zonal_residency", "dev_test", "snapshot_only", "none")]
    assert all(it.justification for it in told)


def with_param(folder: Path, rule: str, name: str, value: str) -> Path:
    return changed(
        folder, ("severity_override: {}", f"severity_override: {{}}, params: {{{rule}: {{{name}: {value}}}}}")
    )


@pytest.mark.parametrize(
    ("rule", "name", "tighter", "looser"),
    [
        ("backup-job-failing", "stuck_hours", "23", "25"),
        ("retention-reduced", "lookback_days", "91", "89"),
        ("snapshot-network-exposed", "require_sign_in", "true", None),
    ],
)
def test_a_parameter_needs_a_reason_only_where_it_lets_more_pass(
    tmp_path: Path, rule: str, name: str, tighter: str, looser: str | None
) -> None:
    Files(with_param(tmp_path, rule, name, tighter)).read()
    if looser:
        with pytest.raises(DocumentError, match=f"rules demands less .*params.{rule}.{name} {looser} instead of "):
            Files(with_param(tmp_path, rule, name, looser)).read()


@pytest.mark.parametrize("value", ["2499", "2501"])
def test_where_nobody_knows_which_way_a_parameter_loosens_any_other_value_needs_a_reason(
    tmp_path: Path, value: str
) -> None:
    path = with_param(tmp_path, "cost-retention-over-standard", "archive_from_days", value)
    with pytest.raises(DocumentError, match=r"rules demands less .*archive_from_days"):
        Files(path).read()


def test_shipped_parameters_say_which_way_they_get_stricter() -> None:
    silent = [
        (rule.id, name)
        for rule in rulebook.read(whole=True).rules
        for name, param in rule.file.params.items()
        if not param.stricter
    ]
    # Points worth an archive: it changes a sentence, no verdict.
    assert silent == [("cost-retention-over-standard", "archive_from_days")]


def test_a_text_has_no_order() -> None:
    with pytest.raises(ValueError, match="no order"):
        rulebook.Param(type="text", default="a", stricter="lower", doc="a text")


def test_a_bundle_s_own_standard_is_not_refused_later(tmp_path: Path) -> None:
    path = changed(tmp_path, ("rpo: 24h ", "rpo: 48h "))
    assert Files(path, judged_before=True).read().standard.tiers["hybrid"].rpo == "48h"


def test_reports_print_what_is_demanded_less_and_why() -> None:
    made = view.build(sample.results(hostile=False))
    said = "rpo 168h instead of 24h; backup.daily.keep not demanded instead of 30d; vault not demanded"
    assert made.loosenings == (("tiers.dev_test", said, "rebuildable from code"),)


def test_each_demand_says_which_way_it_gets_stricter() -> None:
    def fields(model: type[Part]) -> Iterator[tuple[str, bool]]:
        for name, field in model.model_fields.items():
            parts = [
                it for it in (field.annotation, *getattr(field.annotation, "__args__", ())) if isinstance(it, type)
            ]
            below = [it for it in parts if issubclass(it, Part)]
            key = f"{model.__name__}.{name}"
            if name == "justification" or key in NEUTRAL or model.__name__ in NEUTRAL:
                continue
            if below and not any(isinstance(it, Stricter) for it in field.metadata):
                yield from fields(below[0])
            else:
                yield key, any(isinstance(it, Stricter) for it in field.metadata)

    found = dict([*fields(StandardFile), *fields(Tier)])
    assert len(found) > 60
    assert [name for name, marked in found.items() if not marked] == []
