"""What external auditors require of the report: one test for each requirement, named after it."""

from __future__ import annotations

import html
import io
import re
import subprocess
import zipfile
from dataclasses import replace
from datetime import date, timedelta

import pytest

from auditor.model import CoverageState, IdleResponse, Status
from auditor.report import formats, redact, view, wording
from auditor.report.formats import pdf
from auditor.report.templates import Templates
from tests.formats import annexed, sample

TEXTS = Templates().texts()
KEY = b"0123456789abcdef0123456789abcdef"


def said(report: view.Report) -> str:
    """Give the words of the PDF's pages, without markup, blanks as one."""
    text = re.sub(r"<(style|svg).*?</\1>", " ", pdf.markup(report), flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", text)))


def text_of(body: bytes) -> str:
    """Give what a file holds; of a workbook, of all its sheets."""
    if not body.startswith(b"PK"):
        return body.decode("utf-8", "replace")
    with zipfile.ZipFile(io.BytesIO(body)) as packed:
        return "".join(packed.read(name).decode("utf-8", "replace") for name in packed.namelist())


@pytest.fixture(scope="module")
def made() -> str:
    return said(view.build(annexed.results()))


def test_r_src_each_table_names_host_version_times_and_digest_and_where_request_ids_are(made: str) -> None:
    for it in annexed.results().sources:
        assert it.first_at is not None
        assert it.last_at is not None
        assert (
            f"{it.hosts[0]} {it.api_versions[0]} {it.answers} {wording.instant(it.first_at)} "
            f"{wording.instant(it.last_at)} {it.digest}"
        ) in made
    assert "request id, correlation id, time and SHA-256 of every single answer stand in raw/responses.jsonl" in made
    assert "3 of an earlier run" in made
    assert "1 with secrets removed" in made


def test_r_scope_tenant_subscriptions_identity_options_and_versions_are_told(made: str) -> None:
    results = annexed.results()
    for value in (*results.run.identity.values(), *results.run.versions.values(), results.run.rules_digest):
        assert str(value) in made
    assert "management-group mg-prod" in made
    assert "fail-on high" in made
    assert results.run.standard.digest in made
    for it in results.subscriptions:
        assert f"{it.name} {it.subscription_id} {', '.join(it.management_groups)} {it.state} read" in made


def test_r_comp_totals_reconciliations_and_the_reason_of_each_gap_are_told(made: str) -> None:
    results = annexed.results()
    machines = len(results.machines)
    assert f"VMs Resource Manager's own lists {machines} {machines} 0 0 0" in made
    for kind, count in (("VMs", machines), ("vaults", 1), ("backup policies", 1), ("protected items", 1)):
        assert re.search(rf"{kind} {count} [0-9a-f]{{64}}", made), kind
    cover = said(view.build(annexed.results(kind="incomplete")))
    assert "Evidence: INCOMPLETE" in cover
    assert "403 AuthorizationFailed on backupProtectedItems/recoveryPoints" in cover
    assert "answers by HTTP status: 200: 49, 403: 1, 429: 2" in made
    assert "429 HTTP 429 RateLimiting 2" in made


def test_r_acc_queries_parameters_observed_values_and_the_self_test_are_told(made: str) -> None:
    results = annexed.results()
    for question in results.questions:
        assert re.sub(r"\s+", " ", question.text) in made
    for rule in results.rules:
        assert re.sub(r"\s+", " ", rule.sql) in made
        for name, value in rule.params.items():
            assert f"{name} = {wording.read_value('', value, TEXTS)}" in made
    assert "fixed evidence with known verdicts: 312 passed, 0 failed" in made
    assert "age of the newest point" in made


def test_r_prec_moments_bear_their_zone_and_shares_their_denominator(made: str) -> None:
    moments = re.findall(r"\b20\d\d-\d\d-\d\d \d\d:\d\d\b.{4}", made)
    assert moments
    assert all(it.endswith(" UTC") for it in moments)
    shares = re.findall(r"[^.;]{0,160}\(\d+(?:\.\d)? %\)", made)
    assert shares
    assert all(re.search(r"\d+ of \d+|of \d+", it) for it in shares)


def test_r_pop_the_population_is_numbered_whole_and_what_does_not_apply_is_named(made: str) -> None:
    results = annexed.results()
    names = [it.name for it in sorted(results.machines, key=lambda it: it.resource_id)]
    for number, name in enumerate(names, start=1):
        assert f"VM-{number:04d} {name} " in made
    assert "the full population, not a sample" in made
    outside = [f"VM-{n:04d}" for n, it in enumerate(sorted(results.machines, key=lambda it: it.resource_id), start=1)
               if it.excluded_code]  # fmt: skip
    assert outside
    chapter = made[made.index("Not applicable, by rule and reason") :]
    assert all(number in chapter for number in outside)
    assert "rsv-01 rg-backup" in made
    assert "std-daily rsv-01" in made
    assert "daily 30 d, weekly 84 d; 12 VMs under it" in made


def test_r_pop_a_list_that_is_cut_says_so() -> None:
    results = annexed.results()
    items = tuple(replace(results.items[0], resource_id=f"/i/{n}") for n in range(pdf.MOST_ROWS + 1))
    assert f"{pdf.MOST_ROWS} of {pdf.MOST_ROWS + 1} shown." in said(view.build(replace(results, items=items)))


def test_r_period_one_run_says_nothing_of_a_period_and_several_say_which() -> None:
    single = said(view.build(annexed.results(runs=1)))
    assert (
        "As at 2026-11-22 06:00 UTC. Period: 1 run, history covers 0 of 90 days; nothing is said of a period." in single
    )
    assert "during the period" not in single.lower()
    several = said(view.build(annexed.results(runs=4)))
    span = "Period 2026-11-01 06:00 UTC to 2026-11-22 06:00 UTC: 4 runs, history covers 21 of 90 days"
    assert several.count(span) == 2  # the cover and the register
    for run in annexed.results(runs=4).runs:
        assert f"{run.id} {wording.moment(run.as_of)} {run.standard} complete {run.judged}, {run.failing}" in several
        assert run.manifest_digest in several
    assert "The rule set changed since run 2026-11-15T060000Z." in several
    assert "The standard is that of run 2026-11-15T060000Z: hybrid 1.0.0, the same digest." in several


def test_r_period_runs_of_another_scope_or_too_long_ago_do_not_count() -> None:
    results = annexed.results(runs=4)
    first, second, third, here = results.runs
    runs = (
        replace(first, as_of=first.as_of - timedelta(days=90)),
        replace(second, scope=sample.digest("elsewhere")),
        third,
        here,
    )
    told = said(view.build(replace(results, runs=runs)))
    assert "Period 2026-11-15 06:00 UTC to 2026-11-22 06:00 UTC: 2 runs, history covers 7 of 90 days" in told
    assert "another scope" in told


def test_r_indep_requests_that_are_no_reads_are_counted_and_no_opinion_is_given(made: str) -> None:
    assert "Requests that were not reads: 0 of 52." in made
    assert "Number of requests that were not reads: 0 of 52." in made
    results = annexed.results()
    wrote = replace(results, traffic=replace(results.traffic, writes=2))
    assert "Requests that were not reads: 2 of 52." in said(view.build(wrote))
    assert "System-generated and not edited. No opinion is given." in made
    assert "Reviewed by (independent of backup operation)" in made


@pytest.mark.slow
def test_r_tamper_the_manifest_digest_stands_on_every_page_and_each_sealed_folder_has_one() -> None:
    report = view.build(annexed.results(6))
    file = formats.find("pdf").render(report)
    text = subprocess.run(["pdftotext", "-layout", "-", "-"], input=file, check=True, capture_output=True).stdout
    pages = text.decode().split("\f")[:-1]
    assert len(pages) > 10
    assert all(report.run.manifest_digest in page for page in pages)
    words = said(report)
    assert f"standard.yaml 1 {sample.digest('standard.yaml')}" in words
    assert re.search(r"inventory/ 1 [0-9a-f]{64}", words)
    assert "It does not show that what Azure answered was true." in words


def test_r_clock_the_difference_is_told_and_one_too_large_is_a_gap(made: str) -> None:
    assert "Azure's clock and the one that ages are counted by differed by 0 s." in made
    results = annexed.results()
    wrong = replace(results.coverage[0], table="clock", subscription_id="", state=CoverageState.FAILED, expected=None,
                    received=0, reason="the clock of this machine is 400 s behind Azure's")  # fmt: skip
    told = said(view.build(replace(results, coverage=(*results.coverage, wrong), clock_offset_seconds=400.2)))
    assert "differed by 400 s" in told
    assert "the clock of this machine is 400 s behind Azure's" in told


def test_r_exc_waivers_stand_in_the_row_the_register_and_the_totals_and_exemptions_beside(made: str) -> None:
    results = annexed.results(300)
    report = view.build(results)
    words = said(report)
    waived = [row for row in results.findings if row.status is Status.WAIVED]
    assert waived
    assert "waiver W-2026-004, approved by risk <owner>, until 2027-03-31" in words
    gross = report.statuses[Status.FAIL] + len(waived)
    assert f"Gross fails: {gross:,}; waived: {len(waived):,}; net: {report.statuses[Status.FAIL]:,}." in words
    for it in results.waivers:
        assert f"{it.rule} {it.match}" in words
        assert f"approved by {it.approver} on {it.approved_on}" in words
    chapter = made[made.index("Exemptions in Azure Policy") :]
    assert "legacy-boxes asc Waiver" in chapter
    assert "never merged with them" in chapter
    register = made[made.index("A waiver never removes a row") :]
    assert "legacy-boxes" not in register[: register.index("8 Azure Policy, held")]


def test_r_priv_a_redacted_report_says_so_names_nobody_and_its_rows_still_join() -> None:
    results = annexed.results(hostile=True)
    hidden = redact.redacted(results, KEY)
    report = view.build(hidden)
    kinds = {kind: form.render(report) for kind, form in formats.discover().items() if kind != "pdf"}
    words = {kind: text_of(body) for kind, body in kinds.items()} | {"pdf": said(report)}
    cover = words["pdf"][: words["pdf"].index("1 Results")]
    assert "Redacted: persons bear pseudonyms" in cover
    persons = ("Priya Raman", "Lars Nyberg", "ops@contoso.example", "Payments platform", "Ångström", "risk <owner>")
    plain = said(view.build(results))
    for name in persons[:4]:
        assert name in plain
    for kind, text in words.items():
        for name in persons:
            assert name not in text, (kind, name)
    owners = {(before.owner, after.owner) for before, after in zip(results.machines, hidden.machines, strict=True)}
    assert len({after for _, after in owners}) == len({before for before, _ in owners})
    assert redact.redacted(results, KEY) == hidden
    assert redact.redacted(results, KEY[::-1]).machines[0].owner != hidden.machines[0].owner
    assert [it.resource_id for it in hidden.machines] == [it.resource_id for it in results.machines]


def test_r_priv_persons_in_evidence_answers_and_labels_are_pseudonyms_too() -> None:
    results = annexed.results()
    first, *others = results.findings
    told = {"owner_name": "Vera Musterfrau", "Approver": "Otto Beispiel", "vault_name": "vault of eve@contoso.example"}
    named = replace(first, evidence={**first.evidence, **told}, subscription_name="Lab of kim@contoso.example")
    idle = IdleResponse("vm-unprotected, tag owner = lee@contoso.example", "none", "Lee", date(2026, 12, 1), "Ada")
    run = replace(results.run, command={"store": r"C:\Users\kim\audits", "standard": "/home/kim/standard.yaml"})
    hidden = redact.redacted(replace(results, run=run, findings=(named, *others), idle_responses=(idle,)), KEY)
    assert not re.search(r"Musterfrau|Beispiel|Lee\b|Ada\b|(eve|kim|lee)@|[/\\]kim", repr(hidden))
    assert redact.redacted(hidden, KEY[::-1]) is hidden


def test_r_lang_conformity_is_with_the_standard_and_frameworks_are_only_supported(made: str) -> None:
    clean = said(view.build(annexed.results(kind="clean")))
    assert "in conformity with standard hybrid 1.0.0 as at 2026-11-22 06:00 UTC" in clean
    for text in (made, clean):
        assert not re.search(
            r"(compliant|complies|in compliance) with (ISO|NIST|SOC|CIS|PCI|DORA|NIS2|BSI|HIPAA)", text
        )
        assert "No statement of compliance with a framework is made." in text
    assert "support evidence for the controls named; they do not state that a control is met" in made
    assert "CP-10†" in made
    assert "CP-9 " in made
    assert "id not verified" in made


def test_only_waivers_that_cover_something_are_counted_as_covering_it() -> None:
    results = annexed.results()
    held = [replace(it, status=Status.WAIVED, waiver={"id": "W-1"}) for it in results.findings[:2]]
    shown = view.build(replace(results, findings=(*held, *(it for it in results.findings[2:] if not it.waiver))))
    assert len(results.waivers) > 1
    assert any("waivers that cover them: 1" in it.answer for it in shown.answers)


def test_the_longest_time_between_runs_is_never_told_shorter_than_it_was() -> None:
    results = annexed.results(runs=3)
    *_, before, here = results.runs
    late = replace(before, as_of=here.as_of - timedelta(days=7, hours=20), scope=here.scope)
    assert view.build(replace(results, runs=(late, here))).register.longest_gap_days == 8


def test_a_framework_that_is_asked_for_is_told_whole_though_the_standard_names_others() -> None:
    results = annexed.results()
    named = [key for rule in results.rules for key in rule.controls if key in results.frameworks]
    asked, other = named[0], next(key for key in named if key != named[0])
    whole = view.build(results, view.Presentation(framework=asked)).framework
    shown = view.build(replace(results, frameworks_shown=(other,)), view.Presentation(framework=asked)).framework
    assert whole is not None
    assert shown is not None
    assert whole.controls
    assert [it.row for it in shown.controls] == [it.row for it in whole.controls]
