"""The vocabulary shared by all stages: frozen values, no I/O."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date, datetime


class Status(StrEnum):
    """The verdict of one rule on one resource; the six add up to the population."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    WAIVED = "waived"
    """A fail under a valid waiver."""
    NOT_YET_DUE = "not_yet_due"
    """Inside a grace, or our own history is too short to judge."""
    NOT_APPLICABLE = "not_applicable"
    UNKNOWN = "unknown"
    """Evidence that should have been readable is missing, denied, throttled or lost."""


class Severity(StrEnum):
    """How bad a fail is, worst first."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INFO = "info"

    @property
    def rank(self) -> int:
        """0 for critical up to 4 for info."""
        return list(Severity).index(self)

    def shifted(self, steps: int) -> Severity:
        """Raise by `steps` (negative lowers) within critical..low; info is never shifted."""
        if self is Severity.INFO:
            return self
        order = list(Severity)[:4]
        return order[min(max(self.rank - steps, 0), len(order) - 1)]


class CoverageState(StrEnum):
    """How far a table was read for a subscription."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    DENIED = "denied"
    FAILED = "failed"
    REUSED = "reused"

    @property
    def whole(self) -> bool:
        """True where nothing is missing, so that absence is evidence."""
        return self in (CoverageState.COMPLETE, CoverageState.REUSED)


NOT_ASKED = "not asked for: --recovery-points none"
"""Reason of a recovery_point coverage row where the user did not want the points read."""

NOT_SAMPLED = "left out of the sample of --recovery-points"
"""Reason of a recovery_point coverage row where only some of the items were read."""

MONTH_DAYS, YEAR_DAYS = 30.4375, 365.25
"""Gregorian means: 84 months and 7 years are the same length."""

CLOCK_TOLERANCE_SECONDS = 300.0
"""This machine's clock may differ so much from Azure's: ages are counted from it."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """What was read of one table in one subscription, against what should have been."""

    table: str
    subscription_id: str
    """Lower-cased id; the text the user gave where no such subscription is visible; "" for the tenant."""
    state: CoverageState
    expected: int | None
    """Rows there should be; None where Azure gives no count. Of a table that is asked for resource by resource (points
    of each item, settings of each vault) these are the resources asked about."""
    received: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """One kind of resource as two independent sources tell it, compared id by id."""

    table: str
    first: str
    """Code of the first source: `graph`."""
    second: str
    """Code of the second: `list` (Resource Manager's own), `vaults` (their own lists), `policies` (their counters)."""
    first_count: int
    second_count: int
    only_first: int
    """Resources that the first source alone has: deleted meanwhile, or not in the reach of the second."""
    only_second: int
    """Resources that the second source alone has: younger than the index; they are judged too."""
    unread: int
    """Places (subscriptions, vaults) where the second source could not be asked; their resources are not compared."""


@dataclass(frozen=True, slots=True)
class Gap:
    """One vault or protected item that could not be read although its subscription could."""

    table: str
    resource_id: str
    """Lower-cased ARM id of what was asked about: a vault, a protected item, a subscription, ..."""
    state: CoverageState
    reason: str

    @property
    def subscription_id(self) -> str:
        """Lower-cased id of its subscription; "" for what belongs to the tenant."""
        words = self.resource_id.split("/")
        return words[2] if words[1:2] == ["subscriptions"] and len(words) > 2 else ""  # noqa: PLR2004 - /subscriptions/s


@dataclass(frozen=True, slots=True)
class StandardRef:
    """Which data-protection standard the verdicts were judged by."""

    name: str
    version: str
    digest: str
    """SHA-256 of the YAML file, hex."""
    owner: str | None = None
    approved_by: str | None = None
    effective_from: str | None = None
    next_review: str | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One audit run: when, of what, by whom, with which inputs."""

    id: str
    """`2026-11-22T060000Z`, from as_of."""
    as_of: datetime
    """The one instant all ages are counted from; UTC."""
    started_at: datetime
    finished_at: datetime
    tool_version: str
    rules_digest: str
    standard: StandardRef
    scope: Mapping[str, Any]
    """subscriptions, management_groups, exclude_subscriptions, expect_subscriptions, recovery_points as given."""
    identity: Mapping[str, Any]
    """Claims of the token that signed the requests: object_id, app_id, name, tenant_id, type; and its roles where they
    could be read: `Reader at /subscriptions/…`. On loopback only its type."""
    cloud: str
    arm_endpoint: str
    complete: bool
    manifest_digest: str
    self_test: Mapping[str, int]
    """{"passed": n, "failed": n} of the rules' own tests, run before this audit."""
    organisation: str = ""
    classification: str = ""
    allowed_gaps: tuple[str, ...] = ()
    """Coverage gaps accepted by --allow-incomplete, printed in the reports."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Python and the libraries that bear on what was read and how it was judged."""
    command: Mapping[str, Any] = field(default_factory=dict)
    """Every option of the command line, the configuration and the environment, as given."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription that is visible, named in the scope, or expected."""

    subscription_id: str
    name: str
    state: str
    """Azure's own: Enabled, Warned, PastDue, Disabled, Deleted; "" where unreadable."""
    management_groups: tuple[str, ...]
    """Display names, nearest first."""
    reading: str
    """`audited`, `not in scope`, `excluded`, `unreadable`."""
    vm_count: int
    tenant_id: str = ""
    """Lower-cased id; another than the identity's where it is delegated by Lighthouse; "" where Azure did not say."""


@dataclass(frozen=True, slots=True)
class Population:
    """How many resources of a kind there are, and why some are not judged."""

    resource_type: str
    total: int
    in_scope: int
    not_applicable: Mapping[str, int]
    """Resources outside the judged population by reason code."""


@dataclass(frozen=True, slots=True)
class RuleResult:
    """A rule as it ran: its text, its parameters, its verdict counts."""

    id: str
    area: str
    title: str
    severity: Severity
    resource_type: str
    rationale: str
    remediation: Mapping[str, str]
    """`portal` and `az`, with {placeholders} of the finding's evidence already described in words."""
    references: tuple[str, ...]
    controls: Mapping[str, tuple[str, ...]]
    """Framework -> control ids."""
    params: Mapping[str, Any]
    """Parameter -> value as run."""
    sql: str
    statuses: Mapping[Status, int]
    """All six, zeros included."""

    @property
    def evaluated(self) -> bool:
        """False where the population was empty."""
        return sum(self.statuses.values()) > 0


@dataclass(frozen=True, slots=True)
class FrameworkRef:
    """What a report says of a framework whose controls its rules name."""

    name: str
    say: str
    """What must be said wherever it is named; may be empty."""
    titles: Mapping[str, str]
    """Control id -> its subject in own words."""
    verified: frozenset[str]
    """Ids that were read in the publisher's own or a law's text; all others are marked."""
    proves: Mapping[str, str] = field(default_factory=dict)
    """Control id -> what our evidence proves for it."""
    lacks: Mapping[str, str] = field(default_factory=dict)
    """Control id -> what it does not prove."""


def fingerprint(rule: str, resource_id: str) -> str:
    """Give the identity of a finding over all runs: sha256hex(rule, newline, lower-cased resource id)."""
    return hashlib.sha256(f"{rule}\n{resource_id.lower()}".encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule on one resource, for every status but pass."""

    rule: str
    resource_id: str
    resource_type: str
    resource_name: str
    resource_group: str
    subscription_id: str
    subscription_name: str
    status: Status
    severity: Severity
    reason_code: str
    reason: str
    """The code's sentence, in English."""
    evidence: Mapping[str, Any]
    """Column -> value read; ages in hours, retention in days. `parts` lists a worst-of row's parts."""
    tier: str | None
    class_: str | None
    owner: str | None
    due: date | None
    """first_seen + the standard's sla_days of the severity; only for fail."""
    group: str | None
    """Rule id of the finding that explains this one on the same resource (one cause, told once)."""
    serial: str
    """Evidence number printed in the reports: E-0001, in the order of the report, over all statuses but pass."""
    waiver: Mapping[str, Any] | None
    """The waiver that matched, valid or expired: id, owner fields, expires_on, expired (bool)."""
    response: Mapping[str, Any] | None
    baseline: str | None
    fingerprint: str
    first_seen: datetime


CALENDAR_DAYS = 90
"""Days of recovery points that a report shows one by one."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """The last days of a VM: which of them a policy promised a point for, and which have one.

    Both are bit sets over `CALENDAR_DAYS` days: bit n is the day n days before `last`. A hundred thousand of them are
    small, and a day that is in neither was neither promised nor filled.
    """

    last: date
    """The newest day that may be judged, in the zone of the policy."""
    promised: int
    found: int

    @property
    def letters(self) -> str:
        """A letter a day, oldest first: `+` promised and found, `-` promised only, `x` found only, `.` neither."""
        return "".join(
            ".x-+"[2 * (self.promised >> day & 1) + (self.found >> day & 1)] for day in reversed(range(CALENDAR_DAYS))
        )

    @property
    def missing(self) -> int:
        """The promised days without a point, as a bit set."""
        return self.promised & ~self.found

    def gaps(self) -> list[tuple[date, date]]:
        """Give the runs of promised days without a point, first and last day of each, oldest first."""
        runs: list[tuple[date, date]] = []
        for bit in reversed(range(CALENDAR_DAYS)):
            day = self.last - timedelta(days=bit)
            if not self.missing >> bit & 1:
                continue
            if runs and runs[-1][1] == day - timedelta(days=1):
                runs[-1] = (runs[-1][0], day)
            else:
                runs.append((day, day))
        return runs


@dataclass(frozen=True, slots=True)
class Subject:
    """A resource as a verdict names it; one object for all rules that judge it."""

    resource_id: str
    resource_type: str
    resource_name: str
    resource_group: str
    subscription_id: str
    subscription_name: str
    tier: str | None
    class_: str | None
    owner: str | None


@dataclass(frozen=True, slots=True)
class Machine:
    """One VM of the population with its protection chain, whatever its verdicts."""

    resource_id: str
    name: str
    resource_group: str
    subscription_id: str
    subscription_name: str
    location: str
    class_: str | None
    tier: str | None
    owner: str | None
    excluded_code: str | None
    """Why it is outside the judged population, None where it is judged."""
    protection: str
    """State of the protection chain: see the `protection` table."""
    item_id: str | None
    vault_name: str | None
    policy_name: str | None
    newest_point_age_hours: float | None
    newest_vaulted_point_age_hours: float | None
    oldest_point_age_hours: float | None
    point_count: int | None
    demanded_days: Mapping[str, float | None]
    """daily, weekly, monthly, yearly -> days the tier demands; None where it demands none."""
    promised_days: Mapping[str, float | None]
    """The same for the backup policy; None where the policy keeps none."""
    expected_points: int | None
    """Days on which the policy promises a point, inside what may be judged."""
    missing_points: int | None
    statuses: Mapping[str, Status]
    """Rule id -> verdict, passes included."""
    calendar: Calendar | None = None
    """None where no item keeps points of it, or not all of them were read."""


@dataclass(frozen=True, slots=True)
class SnapshotRecord:
    """One managed-disk snapshot of the population."""

    resource_id: str
    name: str
    resource_group: str
    subscription_id: str
    subscription_name: str
    age_hours: float | None
    size_gib: int | None
    """Provisioned size of the source disk: an upper bound of what is billed."""
    sku: str | None
    incremental: bool | None
    provenance: str
    source_disk_id: str | None
    owner: str | None
    statuses: Mapping[str, Status]
    month_cost: float | None = None
    """Its size at the standard's price of its SKU, in `Results.currency`: an upper bound of what is billed. None where
    the standard has no price, or the size was not sent."""


@dataclass(frozen=True, slots=True)
class TierDemand:
    """What a tier of the standard demands, in days and hours; None = not demanded."""

    name: str
    rpo_hours: float | None
    vault_rpo_hours: float | None
    daily_keep_days: float | None
    weekly_keep_days: float | None
    monthly_keep_days: float | None
    yearly_keep_days: float | None
    snapshot_daily_keep_days: float | None
    justification: str | None
    vm_count: int
    """VMs judged by this tier."""


@dataclass(frozen=True, slots=True)
class LooserDemand:
    """A demand of the standard that asks less than the shipped standard, both in the words of the file."""

    name: str
    """Such as `backup.daily.keep`."""
    asked: str | None
    """None = not demanded."""
    shipped: str | None
    """None where a whole block is not demanded."""

    def __str__(self) -> str:
        """Say it as `rpo 48h instead of 24h`."""
        asked = "not demanded" if self.asked is None else self.asked
        return f"{self.name} {asked}" + ("" if self.shipped is None else f" instead of {self.shipped}")


@dataclass(frozen=True, slots=True)
class Loosening:
    """Where the standard demands less than the shipped one, and why."""

    place: str
    """Block of the standard: `tiers.gold`, `population`, `rules`, ..."""
    demands: tuple[LooserDemand, ...]
    justification: str | None
    """None only in standards of bundles that were judged before one was asked for."""


@dataclass(frozen=True, slots=True)
class IdleResponse:
    """A response of management that matches no finding of this run."""

    about: str
    """A rule with its selector in words, or a fingerprint."""
    action: str
    owner: str
    due: date
    author: str


@dataclass(frozen=True, slots=True)
class WaiverRecord:
    """A waiver and what it did in this run."""

    id: str
    rule: str
    match: str
    """The selector, in words."""
    reason: str
    compensating_control: str
    requester: str
    approver: str
    approved_on: date
    expires_on: date
    ticket: str
    state: str
    """`pending` (not yet approved), `valid`, `expiring` (within 30 days), `expired`."""
    matched: int
    """Fails that it covers (or covered, where expired)."""
    notes: tuple[str, ...] = ()
    """Lint: `matches nothing`, `covers 14 % of the population`, ..."""


@dataclass(frozen=True, slots=True)
class Question:
    """One kind of request that was made, for the method appendix."""

    table: str
    method: str
    text: str
    """KQL, or the REST path pattern with its filter."""
    api_version: str
    requests: int
    rows: int


@dataclass(frozen=True, slots=True)
class PastRun:
    """An earlier run of the store, as the runs after it remember it: for the run register and the trend."""

    id: str
    as_of: datetime
    manifest_digest: str
    standard: str
    """Name and version."""
    scope: str
    """SHA-256 of what was asked for: runs of another scope are no trend."""
    complete: bool
    statuses: Mapping[Status, int]
    """All verdicts, by status."""
    judged: int
    """VMs with a verdict other than not applicable."""
    failing: int
    """Of these, VMs with a fail."""
    standard_digest: str = ""
    """SHA-256 of the standard's file; "" where the run before did not keep it."""
    rules_digest: str = ""


@dataclass(frozen=True, slots=True)
class GateReason:
    """Why the gate gave its exit code."""

    code: str
    count: int
    detail: str
    names: tuple[str, ...] = ()
    """What the sentence names: a severity, waivers, tables."""


@dataclass(frozen=True, slots=True)
class Gate:
    """The exit code with its reasons; 1 beats 3, both are told."""

    exit_code: int
    threshold: str
    reasons: tuple[GateReason, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """Where the rows of one table came from, and when."""

    table: str
    hosts: tuple[str, ...]
    api_versions: tuple[str, ...]
    answers: int
    first_at: datetime | None
    """When the first answer came, UTC; None where none tells."""
    last_at: datetime | None
    reused: int
    """Answers that an earlier run received."""
    scrubbed: int
    """Answers that secrets were removed from before they were written."""
    digest: str
    """SHA-256 over the digests of its answers as received, in their order, one a line."""


@dataclass(frozen=True, slots=True)
class Setback:
    """One kind of try that came to nothing."""

    status: str
    """HTTP status; "" where no answer came."""
    said: str
    count: int


@dataclass(frozen=True, slots=True)
class Traffic:
    """What was sent to Azure in this run, and what came of it."""

    methods: Mapping[str, int]
    """HTTP method -> requests, those that came to nothing included."""
    statuses: Mapping[str, int]
    """HTTP status -> answers; "" counts the tries without one."""
    writes: int
    """Requests that are neither a GET nor one of the POSTs that only ask: of Resource Graph and of policy states."""
    setbacks: tuple[Setback, ...]
    """Most frequent first."""


@dataclass(frozen=True, slots=True)
class PolicyOpinion:
    """What Azure Policy says of a VM, held against this audit."""

    resource_id: str
    resource_name: str
    status: Status
    reason_code: str
    reason: str
    azure_state: str | None
    """compliant, noncompliant, exempt, ...; None where Azure Policy has none."""
    azure_state_age_hours: float | None


@dataclass(frozen=True, slots=True)
class PolicyExemption:
    """An exemption from Azure Policy's demand of a backup. It stands beside the waivers, never among them."""

    resource_id: str
    name: str
    assignment: str
    exempted_id: str
    category: str
    described: bool | None
    expires_in_days: float | None
    """Below 0: it has ended; None = it has no end."""
    vm_count: int


@dataclass(frozen=True, slots=True)
class RestoreTest:
    """A restore test as somebody declared it."""

    id: str
    class_: str | None
    """The class it was declared for, or those of its VMs."""
    vms: tuple[str, ...]
    """As the record names them."""
    judged: int
    """Of these, judged VMs of this run."""
    type: str
    point_at: datetime | None
    point_tier: str | None
    started_at: datetime
    hours: float | None
    """Until the service ran again; None where nobody says."""
    rto_hours: float | None
    """The shortest that the tiers of its VMs demand."""
    passed: bool
    validated: bool
    """Somebody made sure that what was restored works."""
    isolated: bool
    job_status: str | None
    """Of its job in the vault; None where none is named, or Azure forgot it."""
    performed_by: str
    reviewed_by: str | None


@dataclass(frozen=True, slots=True)
class RunbookRecord:
    """A recovery runbook as somebody declared it."""

    title: str
    for_: tuple[str, ...]
    """Classes and tiers."""
    scenarios: tuple[str, ...]
    url: str | None
    sha256: str | None
    reviewed_on: date | None
    age_days: float | None
    """Since its review; None where there was none yet."""
    owner: str


@dataclass(frozen=True, slots=True)
class ClassReadiness:
    """How a class stands with its restore tests and runbooks."""

    resource_id: str
    name: str
    tier: str
    vm_count: int
    vms_demanded: int
    """VMs that must have been tested within the cadence."""
    cadence_days: float | None
    rto_hours: float | None
    runbook_max_age_days: float | None
    scenarios: Mapping[str, str | None]
    """Scenario that needs a runbook -> title of the one declared; None where there is none."""
    verdicts: Mapping[str, tuple[Status, str]]
    """Rule -> its verdict on the class, with the reason in words."""


@dataclass(frozen=True, slots=True)
class CostLine:
    """What a rule on cost found, in figures."""

    rule: str
    resource_id: str
    resource_name: str
    status: Status
    reason: str
    gib: float | None
    """An upper bound, from provisioned sizes."""
    month: float | None
    """What it costs a month at most, as far as the standard names prices; None where it names none."""
    currency: str
    unpriced: int
    """Resources in it for whose kind the standard names no price."""


@dataclass(frozen=True, slots=True)
class VaultRecord:
    """One vault of either kind that lies in scope or protects a VM of it."""

    resource_id: str
    name: str
    resource_group: str
    subscription_id: str
    location: str
    kind: str
    """`recovery_services` or `backup_vault`."""
    tier: str | None
    vm_count: int
    """Judged VMs with an item in it."""
    redundancy: str | None
    soft_delete_state: str | None
    immutability_state: str | None
    statuses: Mapping[str, Status]


@dataclass(frozen=True, slots=True)
class PolicyRecord:
    """One policy of Azure VM backup."""

    resource_id: str
    name: str
    vault_name: str | None
    subscription_id: str
    vm_count: int
    """Judged VMs under it."""
    keep_days: Mapping[str, float | None]
    """daily, weekly, monthly, yearly -> days; None where it keeps none."""
    statuses: Mapping[str, Status]


@dataclass(frozen=True, slots=True)
class ItemRecord:
    """One protected item of Azure VM backup."""

    resource_id: str
    name: str
    vault_name: str | None
    subscription_id: str
    protection_state: str | None
    """As Azure words it."""
    vm_id: str | None
    """Lower-cased ARM id of the VM that it protects, or protected."""
    newest_point_age_hours: float | None
    statuses: Mapping[str, Status]


@dataclass(frozen=True, slots=True)
class Results:
    """Everything a report may say about one bundle; read from it, never from Azure."""

    run: Run
    coverage: tuple[Coverage, ...]
    gaps: tuple[Gap, ...]
    subscriptions: tuple[Subscription, ...]
    population: tuple[Population, ...]
    rules: tuple[RuleResult, ...]
    findings: tuple[Finding, ...]
    """Sorted worst first; serials follow this order."""
    machines: tuple[Machine, ...]
    snapshots: tuple[SnapshotRecord, ...]
    tiers: tuple[TierDemand, ...]
    waivers: tuple[WaiverRecord, ...]
    questions: tuple[Question, ...]
    gate: Gate
    inputs: Mapping[str, str] = field(default_factory=dict)
    """File -> SHA-256 of every file the manifest seals."""
    asked_tables: frozenset[str] = frozenset()
    """Tables that are read resource by resource: their coverage counts the resources asked about."""
    uniform_scale_sets: tuple[int, int] = (0, 0)
    """Uniform scale sets in scope and the machines they are to have: Azure VM backup can't protect those."""
    reconciliations: tuple[Reconciliation, ...] = ()
    clock_offset_seconds: float | None = None
    """What Azure's clock was ahead of this machine's; None where Azure did not tell."""
    untested: tuple[str, ...] = ()
    """What the standard demands of a tier with VMs and no rule of this run judged, in words."""
    frameworks: Mapping[str, FrameworkRef] = field(default_factory=dict)
    """Key -> framework, for those that rules name."""
    sources: tuple[Source, ...] = ()
    traffic: Traffic = Traffic({}, {}, 0, ())
    opinions: tuple[PolicyOpinion, ...] = ()
    """Every VM that the rule azpolicy-disagreement looked at, passes included."""
    exemptions: tuple[PolicyExemption, ...] = ()
    restore_tests: tuple[RestoreTest, ...] = ()
    """Newest first."""
    runbooks: tuple[RunbookRecord, ...] = ()
    readiness: tuple[ClassReadiness, ...] = ()
    costs: tuple[CostLine, ...] = ()
    prices_as_of: date | None = None
    """Day of the standard's prices."""
    period_days: float = 0.0
    """How long a period the standard looks back on."""
    vaults: tuple[VaultRecord, ...] = ()
    policies: tuple[PolicyRecord, ...] = ()
    items: tuple[ItemRecord, ...] = ()
    redacted: bool = False
    """Persons bear pseudonyms."""
    runs: tuple[PastRun, ...] = ()
    """The earlier runs that this bundle remembers, and this one, oldest first."""
    idle_responses: tuple[IdleResponse, ...] = ()
    """In the order of their file."""
    frameworks_shown: tuple[str, ...] = ()
    """Keys of the frameworks that the standard names; empty = all."""
    loosenings: tuple[Loosening, ...] = ()
    """In the order of the standard."""
    currency: str = "EUR"
    """Of the standard's prices."""
    passes: Mapping[str, tuple[Subject, ...]] = field(default_factory=dict)
    """Rule id -> what passes it, sorted by id; empty where nobody asked for passes one by one."""


@dataclass(frozen=True, slots=True)
class Signer:
    """Whose certificate stands behind a report's signature."""

    subject: str
    issuer: str
    """Both as RFC 4514 writes names: CN=Internal Audit,O=Contoso."""
    serial: str
    """Hex."""
    fingerprint: str
    """SHA-256 of the certificate, hex."""
    not_before: datetime
    not_after: datetime
    timestamp: str = ""
    """URL of the RFC 3161 service that says when it was signed; "" for none."""


@dataclass(frozen=True, slots=True)
class Checked:
    """One thing that `verify` looked at."""

    what: str
    """What holds, where nothing is wrong."""
    wrong: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What a reader should know of it; nothing of it is wrong."""


@dataclass(frozen=True, slots=True)
class Explained:
    """One resource with its facts and verdicts."""

    resource_id: str
    resource_type: str
    name: str
    subscription: str
    """Name of its subscription, or its id; "" for what belongs to none."""
    row: Mapping[str, Any]
    """Its row in the table that rules read it from."""
    meanings: Mapping[str, str]
    """What each column of that row means."""
    chain: Mapping[str, Any]
    """Of a VM, its row in `protection`; empty for others."""
    days: tuple[int, int] | None
    """Of a VM with a daily promise whose points were read: days that can be judged, days without a point."""
    verdicts: tuple[tuple[RuleResult, Status], ...]
    """Every rule on its kind, worst first."""
    findings: Mapping[str, Finding]
    """Rule id -> its finding, for every status but pass."""
    lacking: tuple[Coverage | Gap, ...]
    """What could not be read in the subscriptions that its verdicts rest on."""
