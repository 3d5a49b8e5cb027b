"""What a data-protection standard and a waiver register may say: the files' models."""

from __future__ import annotations

from datetime import date  # noqa: TC003 - pydantic reads the annotation
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from auditor.standard.durations import days
from auditor.standard.selector import Match, Texts  # noqa: TC001 - pydantic reads the annotations
from auditor.standard.strictness import (
    CLOSED,
    EACH_SHORTER,
    FEWER,
    HIGHER,
    IMMUTABLE,
    LONGER,
    LONGER_OR_NULL,
    LOWER,
    MORE,
    NO,
    NULL,
    PRIVATE,
    SHORTER,
    SHORTER_OR_NULL,
    SOONER,
    YES,
)

if TYPE_CHECKING:
    from typing import Self


def _duration(text: str) -> str:
    days(text)
    return text


def _ascending(spans: list[str]) -> list[str]:
    if sorted(spans, key=days) != spans:
        raise ValueError("write them in ascending order")
    return spans


Duration = Annotated[str, BeforeValidator(str), AfterValidator(_duration)]
Said = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
"""A text that must say something: blanks are none."""
Percent = Annotated[float, Field(ge=0, le=100)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]
Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]
DueDays = Annotated[int, Field(ge=1, le=36500)]
SeverityName = Literal["critical", "high", "medium", "low", "info"]
RestoreType = Literal["full_vm_or_disk", "file", "snapshot", "cross_region"]
"""What a restore test recovered."""
SCENARIOS = ("snapshot_rollback", "single_vm", "file_level", "ransomware", "region_loss", "vault_or_key_loss")
"""What a runbook may be for; a tier may ask for more."""


class Part(BaseModel):
    """Base of all blocks: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid")


class Justified(Part):
    """Base of the blocks that may ask less than the shipped standard."""

    justification: Said | None = None
    """Why it asks less; reports print it."""


class Keep(Part):
    """How long points of one kind are kept."""

    keep: Annotated[Duration | None, LONGER] = None
    max: Annotated[Duration | None, SHORTER] = None
    legal_basis: str | None = None
    compliance: bool = False

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        if self.keep is not None and self.max is not None and days(self.max) < days(self.keep):
            raise ValueError(f"max {self.max} is shorter than keep {self.keep}, so that no policy can meet both")
        return self


class Backup(Part):
    """Backups in a vault."""

    every: Annotated[Duration | None, SHORTER] = None
    daily: Keep = Keep()
    weekly: Keep = Keep()
    monthly: Keep = Keep()
    yearly: Keep = Keep()
    archive_after: Annotated[Duration | None, SHORTER] = None
    max_missing_pct: Annotated[Percent, LOWER] = 3
    max_gap: Annotated[Duration, SHORTER] = "1d"
    require_all_disks: Annotated[bool, YES] = True
    app_consistent: Annotated[bool, YES] = False


class SnapshotTier(Part):
    """The operational snapshot tier."""

    daily_keep: Annotated[Duration | None, LONGER] = None
    accept: Annotated[list[Literal["instant_restore", "disk_backup", "restore_point", "snapshot"]], FEWER] = []
    max_missing: Annotated[Count, LOWER] = 0


class Redundancy(Part):
    """Accepted storage redundancies."""

    accept: Annotated[list[Literal["LocallyRedundant", "ZoneRedundant", "GeoRedundant"]], Field(min_length=1), FEWER]


class SoftDelete(Part):
    """Soft delete of the vault."""

    keep: Annotated[Duration | None, LONGER] = None
    always_on: Annotated[bool, YES] = False


class Immutability(Part):
    """Immutability of the vault."""

    state: Annotated[Literal["Disabled", "Unlocked", "Locked"], IMMUTABLE]
    time_based_keep: Annotated[Duration | None, LONGER] = None


class MultiUser(Part):
    """Multi-user authorization (Resource Guard)."""

    required: Annotated[bool, YES] = False
    guard_other_subscription: Annotated[bool, YES] = False


class Cmk(Part):
    """Customer-managed keys."""

    required: Annotated[bool, YES] = False
    double: Annotated[bool, YES] = False


class Alerts(Part):
    """Alerts and logs of the vault."""

    job_failures: Annotated[bool, YES] = False
    routed: Annotated[bool, YES] = False
    diagnostics: Annotated[bool, YES] = False
    log_keep: Annotated[Duration | None, LONGER] = None


class VaultTier(Part):
    """What the vault must be."""

    redundancy: Redundancy | None = None
    cross_region_restore: Annotated[bool | None, YES] = None
    soft_delete: SoftDelete | None = None
    immutability: Immutability | None = None
    mua: MultiUser | None = None
    private_endpoint: Annotated[bool | None, YES] = None
    cmk: Cmk | None = None
    alerts: Alerts | None = None


class RestoreTest(Part):
    """Proof of recovery."""

    cadence: Annotated[Duration | None, SHORTER] = None
    sample_pct: Annotated[Percent | None, HIGHER] = None
    sample_min: Annotated[Count | None, HIGHER] = None
    types: Annotated[list[RestoreType], MORE] = []
    isolated_target: Annotated[bool | None, YES] = None
    cross_region_cadence: Annotated[Duration | None, SHORTER] = None


class Runbooks(Part):
    """Recovery procedures."""

    max_age: Annotated[Duration | None, SHORTER] = None
    scenarios: Annotated[list[str], MORE] = []


class Tier(Justified):
    """What is demanded of the resources of a class; null = not demanded."""

    extends: str | None = None
    severity_shift: Annotated[int, Field(ge=-2, le=2), HIGHER] = 0
    rpo: Annotated[Duration | None, SHORTER] = None
    vault_rpo: Annotated[Duration | None, SHORTER] = None
    rto: Annotated[Duration | None, SHORTER] = None
    backup: Backup | None = None
    snapshot: SnapshotTier | None = None
    vault: VaultTier | None = None
    restore_test: RestoreTest | None = None
    runbooks: Runbooks | None = None
    success_pct: Annotated[Percent | None, HIGHER] = None


class ClassRule(Part):
    """Which resources get which tier."""

    name: Said
    precedence: int = Field(ge=-1_000_000, le=1_000_000)
    match: Match
    tier: str
    owner: str | None = None
    reason: str | None = None
    review_on: date | None = None


class About(Part):
    """Who stands behind the standard."""

    name: Said
    version: Annotated[Said, BeforeValidator(str)]
    effective_from: date | None = None
    owner: str | None = None
    approved_by: str | None = None
    next_review: date | None = None
    source: str | None = None
    justification: Said | None = None
    """Why its due dates (`sla_days`) are later than those of the shipped standard; reports print it."""


class ThirdParty(Part):
    """A product other than Azure Backup that is accepted as protection."""

    product: str
    evidence: str
    tags: dict[str, Texts]


class PopulationRules(Justified):
    """Which VMs are judged."""

    scale_set_flexible: Annotated[bool, YES] = True
    exclude_spot: Annotated[bool, NO] = True
    inherit_resource_group_tags: bool = True
    deallocated_exclude_after: Annotated[Duration | None, LONGER_OR_NULL] = None
    managed_resource_groups: Literal["exclude", "include"] = "exclude"
    exclude_publishers: Annotated[list[str], FEWER] = []
    exclude_disk_tag: Said = "backup-exclude-disk"
    accept_disk_backup: Annotated[bool, NO] = False
    accept_third_party: Annotated[list[ThirdParty], FEWER] = []
    accept_sampling: Annotated[bool, NO] = False
    accept_change_tag: Annotated[Said | None, NULL] = None


class Timing(Justified):
    """Graces and tolerances."""

    new_vm_grace: Annotated[Duration, SHORTER] = "24h"
    initial_backup_grace: Annotated[Duration, SHORTER] = "24h"
    rpo_tolerance: Annotated[Duration, SHORTER] = "6h"
    retention_tolerance_pct: Annotated[Percent, LOWER] = 2
    period: Annotated[Duration, LONGER] = "90d"
    min_history_coverage_pct: Annotated[Percent, HIGHER] = 95


class PerDisk(Part):
    """How many snapshots a disk may have."""

    warn: Annotated[Count, LOWER] = 10
    bad: Annotated[Count, LOWER] = 30
    limit_guard: Annotated[Count, LOWER] = 400

    @model_validator(mode="after")
    def _ascends(self) -> Self:
        if not self.warn <= self.bad <= self.limit_guard:
            raise ValueError("write warn, bad and limit_guard in ascending order")
        return self


class SnapshotNetwork(Part):
    """Export of snapshots."""

    policy: Annotated[Literal["DenyAll", "AllowPrivate", "AllowAll"], CLOSED] = "DenyAll"
    public_access: Annotated[Literal["Disabled", "Enabled"], PRIVATE] = "Disabled"
    sas_max: Annotated[Duration, SHORTER] = "4h"


class Marks(Part):
    """How a third-party product's snapshots are known."""

    tag_prefix: str | None = None
    name_prefix: str | None = None


class SnapshotRules(Justified):
    """Demands on managed-disk snapshots."""

    stale_after: Annotated[Duration, SHORTER] = "7d"
    grace: Annotated[Duration, SHORTER] = "1d"
    bands: Annotated[list[Duration], Field(min_length=3, max_length=3), AfterValidator(_ascending), EACH_SHORTER] = [
        "7d", "30d", "90d",
    ]  # fmt: skip
    max_expiry: Annotated[Duration, SHORTER] = "30d"
    required_tags: Annotated[list[str], MORE] = []
    expiry_tags: list[str] = []
    hold_tag: str = "legal-hold"
    per_disk: PerDisk = PerDisk()
    require_incremental: Annotated[bool, YES] = True
    allow_premium: Annotated[Duration | None, SHORTER_OR_NULL] = None
    network: SnapshotNetwork = SnapshotNetwork()
    third_party: dict[str, Marks] = {}


class AzurePolicyRules(Justified):
    """Azure Policy definitions that must be, or may be, assigned."""

    require_definitions: Annotated[list[str], MORE] = []
    accept_any_of: Annotated[list[str], FEWER] = []
    max_state_age: Annotated[Duration, SHORTER] = "48h"


class WaiverRules(Justified):
    """Demands on waivers."""

    max: Annotated[Duration, SHORTER] = "365d"
    approver_not_requester: Annotated[bool, YES] = True
    required: Annotated[list[str], MORE] = []


class EvidenceFiles(Justified):
    """Where restore tests and runbooks are recorded."""

    restore_tests: str | None = None
    runbooks: str | None = None
    keep: Annotated[Duration, LONGER] = "7y"


class Cost(Justified):
    """Prices for the cost rules."""

    currency: str = "EUR"
    prices_as_of: date | None = None
    snapshot_gib_month: dict[str, Price | None] = {}
    min_month: Annotated[Price, LOWER] = 0


class RuleChoice(Justified):
    """Which rules run."""

    disable: Annotated[list[str], FEWER] = []
    extras: list[str] = []
    severity_override: dict[str, SeverityName] = {}
    params: dict[str, dict[str, Any]] = {}


class StandardFile(Part):
    """A data-protection standard: one YAML file."""

    standard: About
    population: PopulationRules = PopulationRules()
    timing: Timing = Timing()
    owner_tags: list[str] = []
    sla_days: Annotated[dict[SeverityName, DueDays], SOONER] = {}
    tiers: dict[str, dict[str, Any]]
    classes: list[ClassRule] = []
    default_tier: str
    snapshots: SnapshotRules = SnapshotRules()
    azure_policy: AzurePolicyRules = AzurePolicyRules()
    waivers: WaiverRules = WaiverRules()
    evidence: EvidenceFiles = EvidenceFiles()
    cost: Cost = Cost()
    limits_as_of: date | None = None
    rules: RuleChoice = RuleChoice()
    frameworks: list[str] = []


class WaiverEntry(Part):
    """A waiver as it is written, honest or not; `waivers lint` tells of those that are not."""

    id: Annotated[Said, BeforeValidator(str)]
    rule: str
    match: Match
    reason: Said
    compensating_control: Said
    requester: Said
    approver: Said
    approved_on: date
    expires_on: date
    ticket: Annotated[Said, BeforeValidator(str)]

    @property
    def self_approved(self) -> bool:
        """Tell whether somebody let himself off."""
        return self.approver.strip().casefold() == self.requester.strip().casefold()


class Waiver(WaiverEntry):
    """A fail that somebody answers for, until a day."""

    @model_validator(mode="after")
    def _is_honest(self) -> Self:
        if self.self_approved:
            raise ValueError("approver and requester are the same person; a waiver needs a second pair of eyes")
        if self.match.takes_all:
            raise ValueError("match: it selects everything; name what is meant")
        if self.expires_on < self.approved_on:
            raise ValueError(f"expires_on {self.expires_on} lies before approved_on {self.approved_on}")
        return self


class WaiverFile(Part):
    """A waiver register: one YAML file."""

    waivers: list[Waiver]


class Register(Part):
    """A waiver register as it is written, honest or not."""

    waivers: list[WaiverEntry] = []


class Response(Part):
    """What management says to a finding: it is printed beside it and changes no verdict."""

    fingerprint: Annotated[str, StringConstraints(to_lower=True, pattern="^[0-9a-fA-F]{64}$")] | None = None
    rule: str | None = None
    match: Match | None = None
    action: Said
    owner: Said
    due: date
    author: Said
    on: date

    @model_validator(mode="after")
    def _speaks_of_something(self) -> Self:
        if (self.fingerprint is None) == (self.rule is None) or (self.rule is None) != (self.match is None):
            raise ValueError("name the finding by fingerprint, or by rule and match")
        return self


class ResponseFile(Part):
    """Management's responses: one YAML file."""

    responses: list[Response] = []
