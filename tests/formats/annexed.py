"""The sample results with everything that an auditor asks for beside the findings."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

from auditor.model import (
    ClassReadiness,
    CostLine,
    FrameworkRef,
    ItemRecord,
    PastRun,
    PolicyExemption,
    PolicyOpinion,
    PolicyRecord,
    RestoreTest,
    RunbookRecord,
    Setback,
    Source,
    Status,
    Traffic,
    VaultRecord,
)
from tests.formats import sample

if TYPE_CHECKING:
    from auditor.model import Results

VAULT = (
    "/subscriptions/00000002-0000-4000-8000-000000000000/resourcegroups/rg-backup/providers"
    "/microsoft.recoveryservices/vaults/rsv-01"
)


def results(machines: int = 24, *, runs: int = 4, kind: str = "nasty", hostile: bool = False) -> Results:
    """Build them, with `runs` in the register."""
    made = sample.results(machines, kind=kind, hostile=hostile)
    names = sorted(made.machines, key=lambda it: it.resource_id)
    judged = [it for it in names if it.excluded_code is None]
    run = replace(
        made.run,
        versions={"python": "3.11.9", "duckdb": "2.0.1", "azure-mgmt-resourcegraph": "8.0.0"},
        command={"management_group": ["mg-prod"], "fail_on": "high", "expect_subscriptions": "4"},
    )
    return replace(
        made,
        run=run,
        period_days=90.0,
        runs=tuple(past_run(made, number, runs) for number in range(runs)),
        sources=(
            Source(
                "vm",
                ("management.azure.com",),
                ("2024-04-01",),
                2,
                sample.AS_OF,
                sample.AS_OF + timedelta(minutes=2),
                0,
                0,
                sample.digest("vm answers"),
            ),
            Source(
                "recovery_point",
                ("management.azure.com",),
                ("2026-10-01",),
                40,
                sample.AS_OF + timedelta(minutes=1),
                sample.AS_OF + timedelta(minutes=4),
                3,
                1,
                sample.digest("point answers"),
            ),
        ),
        traffic=Traffic(
            {"GET": 47, "POST": 5},
            {"200": 49, "403": 1, "429": 2},
            0,
            (Setback("429", "HTTP 429 RateLimiting", 2), Setback("403", "HTTP 403 AuthorizationFailed", 1)),
        ),
        rules=(
            *made.rules,
            replace(
                made.rules[0],
                id="azpolicy-disagreement",
                area="governance",
                title="Azure Policy differs",
                statuses={
                    **dict.fromkeys(Status, 0),
                    Status.NOT_APPLICABLE: 3,
                },
            ),
        ),
        opinions=(
            PolicyOpinion(names[0].resource_id, names[0].name, Status.PASS, "agreed", "both", "compliant", 9.0),
            PolicyOpinion(
                names[1].resource_id, names[1].name, Status.PASS, "explained_stale", "old", "compliant", 60.0
            ),
            PolicyOpinion(
                names[2].resource_id,
                names[2].name,
                Status.FAIL,
                "azure_compliant_but_stopped",
                "Azure Policy says Compliant because an item exists, but its protection is stopped",
                "compliant",
                9.0,
            ),
            PolicyOpinion(
                names[3].resource_id, names[3].name, Status.UNKNOWN, "policy_state_unread", "unread", None, None
            ),
        ),
        exemptions=(
            PolicyExemption(
                "/x/exemption-1",
                "legacy-boxes",
                "asc",
                "/subscriptions/s/resourcegroups/rg-old",
                "Waiver",
                described=False,
                expires_in_days=None,
                vm_count=2,
            ),
        ),
        restore_tests=(
            RestoreTest(
                "RT-1",
                "production",
                (judged[0].name,),
                1,
                "full_vm_or_disk",
                sample.AS_OF - timedelta(days=12),
                "HardenedRP",
                sample.AS_OF - timedelta(days=11),
                9.5,
                8.0,
                passed=True,
                validated=True,
                isolated=True,
                job_status="completed",
                performed_by="Priya Raman",
                reviewed_by="Lars Nyberg",
            ),
            RestoreTest(
                "RT-0",
                "production",
                ("gone-vm",),
                0,
                "file",
                None,
                None,
                sample.AS_OF - timedelta(days=200),
                None,
                None,
                passed=False,
                validated=False,
                isolated=False,
                job_status=None,
                performed_by="Priya Raman",
                reviewed_by=None,
            ),
        ),
        runbooks=(
            RunbookRecord(
                "Recovery of production",
                ("production",),
                ("single_vm",),
                "https://x",
                sample.digest("r"),
                date(2026, 8, 20),
                94.0,
                "Lars Nyberg",
            ),
        ),
        readiness=(
            ClassReadiness(
                "auditor:class/production",
                "production",
                "hybrid",
                12,
                1,
                90.0,
                8.0,
                365.0,
                {"single_vm": "Recovery of production", "ransomware": None},
                {
                    "restore-test-overdue": (Status.FAIL, "within 90 days 0 of 12 VMs had a restore test that counts"),
                    "restore-test-failed": (Status.FAIL, "the last restore test took longer than the 8 h demanded"),
                    "recovery-runbook-missing": (Status.FAIL, "no procedure is declared for ransomware"),
                },
            ),
        ),
        costs=(
            CostLine(
                "cost-snapshot-waste",
                "/subscriptions/s",
                "sub-prod",
                Status.FAIL,
                "8 snapshots too many",
                1788.0,
                89.4,
                "EUR",
                0,
            ),
            CostLine(
                "cost-snapshot-waste",
                "/subscriptions/t",
                "sub-dev",
                Status.NOT_APPLICABLE,
                "no price",
                127.0,
                None,
                "EUR",
                3,
            ),
        ),
        vaults=(
            VaultRecord(
                VAULT,
                "rsv-01",
                "rg-backup",
                made.subscriptions[1].subscription_id,
                "westeurope",
                "recovery_services",
                "hybrid",
                12,
                "GeoRedundant",
                "AlwaysON",
                "Unlocked",
                {"vault-immutability-weak": Status.PASS},
            ),
        ),
        policies=(
            PolicyRecord(
                f"{VAULT}/backuppolicies/std",
                "std-daily",
                "rsv-01",
                made.subscriptions[1].subscription_id,
                12,
                {"daily": 30.0, "weekly": 84.0, "monthly": None, "yearly": None},
                {},
            ),
        ),
        items=(
            ItemRecord(
                f"{VAULT}/items/1",
                judged[0].name,
                "rsv-01",
                made.subscriptions[1].subscription_id,
                "Protected",
                judged[0].resource_id,
                5.0,
                {},
            ),
        ),
        frameworks={
            "nist_800_53_r5": FrameworkRef(
                "NIST SP 800-53 Rev. 5",
                "Assessment also interviews people.",
                {"CP-9": "Back up the system", "CP-10": "Recover the system"},
                frozenset({"CP-9"}),
                {"CP-9": "schedule, points and retention of each VM's backups"},
                {"CP-9": "that data inside the backups is whole"},
            ),
            "iso_27001_2022": FrameworkRef("ISO/IEC 27001", "", {"A.8.13": "Information is backed up"}, frozenset()),
        },
    )


def past_run(made: Results, number: int, of: int) -> PastRun:
    """Give the run of `of - 1 - number` weeks ago; the last is the one that is told of."""
    moment = sample.AS_OF - timedelta(weeks=of - 1 - number)
    last = number == of - 1
    return PastRun(
        id=f"{moment:%Y-%m-%dT%H%M%SZ}",
        as_of=moment,
        manifest_digest=made.run.manifest_digest if last else sample.digest(f"manifest {number}"),
        standard="hybrid 1.0.0",
        scope=sample.digest("scope"),
        complete=True,
        statuses={status: sum(rule.statuses[status] for rule in made.rules) for status in Status},
        judged=20,
        failing=7,
        standard_digest=sample.digest("standard"),
        rules_digest=sample.digest("rules" if last else "older rules"),
    )
