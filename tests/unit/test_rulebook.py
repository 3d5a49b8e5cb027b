from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from auditor import assets, inputs, rulebook, standard
from auditor.document import load
from auditor.engine import ruletests
from auditor.errors import DocumentError, UsageError
from auditor.inventory.facts import Facts
from auditor.report import remedy
from auditor.rulebook import gate
from auditor.standard.schema import RuleChoice

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RULE = """\
id: vm-has-name
title: t
severity: low
resource_type: vm
rationale: r
remediation: {portal: p}
reads: [vm]
params:
  most: {type: number, default: 5, doc: d}
sql: |
  SELECT v.resource_id,
         CASE WHEN v.age_hours IS NULL THEN 'unknown'
              WHEN v.age_hours > $most THEN 'fail'
              ELSE 'pass' END AS status,
         CASE WHEN v.age_hours > $most THEN 'too_old' ELSE 'fine' END AS reason,
         v.age_hours
  FROM vm v
messages: {too_old: "{age_hours:.0f} h", fine: fine}
tests:
  - name: by age
    given:
      vm:
        - {resource_no: 1, resource_id: /a, age_hours: 5}
        - {resource_no: 2, resource_id: /b, age_hours: 6}
        - {resource_no: 3, resource_id: /c}
    expect: {/a: pass, /b: {status: fail, severity: low, reason: too_old}, /c: unknown}
"""


@pytest.fixture(scope="module")
def empty() -> Iterator[Facts]:
    with Facts.empty(standard.read(standard.default_path())) as facts:
        yield facts


def one(folder: Path, text: str = RULE, name: str = "vm-has-name") -> rulebook.Rule:
    area = folder / "protection"
    area.mkdir(exist_ok=True)
    (area / f"{name}.yaml").write_text(text, encoding="utf-8")
    return rulebook.read([folder], shipped=False).get(name)


def faults(folder: Path, sql: str, *, reads: str = "[vm]") -> str:
    """What the gate says of a rule with this SQL."""
    head, _, rest = RULE.partition("sql: |\n")
    _, _, tail = rest.partition("messages:")
    indented = "".join(f"  {line}\n" for line in sql.splitlines())
    text = f"{head}sql: |\n{indented}messages:{tail}".replace("reads: [vm]", f"reads: {reads}")
    return "\n".join(str(fault) for fault in gate.check(one(folder, text), ruletests.open_tables()))


def test_what_duckdb_does_not_know_is_told_with_its_line(tmp_path: Path, empty: Facts) -> None:
    assert "v.age_hours" in RULE
    text = RULE.replace("v.age_hours", "v.age_hour")
    with pytest.raises(DocumentError) as error:
        ruletests.run(one(tmp_path, text), empty)
    (fault,) = error.value.faults
    assert "v.age_hour" in text.splitlines()[fault.line - 1]
    assert (fault.message, fault.hint) == ("there is no column 'age_hour'", "did you mean 'age_hours'?")


def test_a_good_rule_passes_the_gate_and_its_tests(tmp_path: Path, empty: Facts) -> None:
    rule = one(tmp_path)
    assert gate.check(rule, ruletests.open_tables()) == []
    assert [outcome.failures for outcome in ruletests.run(rule, empty)] == [()]


SELECT = "SELECT v.resource_id, 'pass' AS status, 'fine' AS reason, $most AS most FROM vm v"


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        (SELECT + "; DROP TABLE vm", "must be one SELECT"),
        ("DELETE FROM vm", "must be one SELECT"),
        ("COPY vm TO '/tmp/x'", "must be one SELECT"),
        ("ATTACH '/tmp/x'", "must be one SELECT"),
        ("SELECT * FROM vm", "hides which columns"),
        ("SELECT v.resource_id, 'pass' AS status, 'fine' AS reason FROM read_csv('/etc/passwd') v", "is refused"),
        ("SELECT v.resource_id, 'pass' AS status, 'fine' AS reason FROM '/etc/passwd' v", "there is no table"),
        ("SELECT v.resource_id, 'pass' AS status, 'fine' AS reason FROM raw.vm v", "has a prefix"),
        ("SELECT v.resource_id, 'pass' AS status, 'fine' AS reason FROM information_schema.tables v", "has a prefix"),
        ("SELECT v.resource_id, 'pass' AS status, 'fine' AS reason FROM vms v", "did you mean 'vm'?"),
        (SELECT.replace("'fine'", "getenv('HOME')"), "function 'getenv' is refused"),
        (SELECT.replace("'fine'", "repeat('x', 400000000)"), "'repeat' is refused"),
        (SELECT.replace("'fine'", "(SELECT content FROM read_text('/etc/passwd'))"), "is refused"),
        (SELECT.replace("'fine'", "current_setting('access_mode')"), "is refused"),
        (SELECT.replace("$most", "now()"), "is refused"),
        (SELECT.replace("$most", "v.age_hours / v.rpo_hours"), "division without nullif"),
        (SELECT.replace("$most", "v.age_hours / 0"), "division without nullif"),
        (SELECT.replace("AS reason", "AS reason, 'mega' AS severity"), "'mega' is no severity"),
        (SELECT.replace("$most", "[1, 2]"), "is refused"),
        (SELECT.replace("$most", "INTERVAL 1 DAY"), "is refused"),
        (SELECT.replace("$most", "$mots"), "$mots is not declared"),
        (SELECT.replace("'pass'", "CASE WHEN v.age_hours > $most THEN 'fail' END"), "has no ELSE"),
        (
            SELECT.replace("'pass'", "CASE WHEN v.age_hours > $most THEN 'failed' ELSE 'pass' END"),
            "'failed' is no status",
        ),
        (SELECT.replace("'pass'", "CASE WHEN v.age_hours > $most THEN 'waived' ELSE 'pass' END"), "does not waive"),
        (SELECT.replace(", 'fine' AS reason", ""), "column 'reason' is missing"),
        (
            SELECT.replace("'fine'", "CASE WHEN v.age_hours > 1 THEN 'odd' ELSE 'fine' END"),
            "reason 'odd' has no sentence",
        ),
        ("SELECT v.resource_id, FROM WHERE", "SQL:"),
        (
            (
                "WITH RECURSIVE x AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM x) "
                "SELECT v.resource_id, 'pass' AS status, 'fine' AS reason, $most AS most FROM vm v, x"
            ),
            "recursive",
        ),
        (SELECT + " USING SAMPLE 10%", "refused"),
    ],
)
def test_the_gate_refuses_what_a_rule_may_not_do(tmp_path: Path, sql: str, told: str) -> None:
    said = faults(tmp_path, sql)
    assert told in said
    assert "vm-has-name.yaml:" in said


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ("getenv('HOME')", "function 'getenv'"),
        ("v.age_hours / v.rpo_hours", "division"),
        ("$mots", "$mots is not declared"),
        ("CASE WHEN $most > 1 THEN 'odd' END", "reason 'odd' has no sentence"),
        ("(1 + ", "SQL: "),
        ("'never closed", "SQL: Missing '"),
    ],
)
def test_what_is_wrong_behind_parameters_is_told_with_its_line(tmp_path: Path, broken: str, told: str) -> None:
    column = "reason" if told.startswith("reason") else "extra"
    lines = [
        "SELECT v.resource_id, v.age_hours,",
        "  $most AS most, $most || 'ä' AS text, '$most' AS word,",
        "  CASE WHEN v.age_hours > $most THEN 'fail'",
        "       ELSE 'pass' END AS status,",
        *([] if column == "reason" else ["  'fine' AS reason,"]),
        f"  {broken} AS {column}, $most + 1 AS more",
        "FROM vm v",
        "WHERE $most > 2",
    ]
    (fault,) = faults(tmp_path, "\n".join(lines)).splitlines()[:1]
    first = RULE[: RULE.index("sql: |")].count("\n") + 1
    line = first + next(number for number, text in enumerate(lines, 1) if broken in text)
    assert f"vm-has-name.yaml:{line}: {told}" in fault


def test_reads_must_be_what_the_sql_reads(tmp_path: Path) -> None:
    assert "reads names 'vault', which the SQL does not read" in faults(tmp_path, SELECT, reads="[vm, vault]")
    assert "the SQL reads 'vm', which reads lacks" in faults(tmp_path, SELECT, reads="[]")


def test_a_severity_that_is_none_is_answered_in_the_words_of_rules(tmp_path: Path) -> None:
    said = faults(tmp_path, SELECT.replace("AS reason", "AS reason, 'hihg' AS severity"))
    assert "did you mean 'high'?" in said


def test_a_remediation_names_columns_of_evidence_or_the_resource(tmp_path: Path) -> None:
    text = RULE.replace("{portal: p}", '{portal: "{resource_group} > {age_hours}", az: "az --query {a:b} {age_hour}"}')
    (fault,) = gate.check(one(tmp_path, text), ruletests.open_tables())
    assert fault.message == "remediation 'az' names {age_hour}, no such column"
    assert fault.hint == "did you mean 'age_hours'?"
    assert "remediation:" in text.splitlines()[fault.line - 1]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("severity: low\n", "severity: lowish\n", "severity"),
        ("title: t", "titel: t", "did you mean 'title'?"),
        ("id: vm-has-name", "id: vm-has-nome", "differ"),
        (
            "expect: {/a: pass, /b: {status: fail, severity: low, reason: too_old}, /c: unknown}",
            "expect: {/a: pass}",
            "no test expects 'fail'",
        ),
        ("default: 5", "default: five", "is not a number"),
        ("resource_type: vm", "resource_type: machine", "resource_type"),
    ],
)
def test_a_bad_rule_file_is_told_with_its_line(tmp_path: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(DocumentError) as caught:
        one(tmp_path, RULE.replace(old, new))
    assert told in str(caught.value)
    assert "vm-has-name.yaml:" in str(caught.value)


def test_two_rules_of_one_id_are_refused(tmp_path: Path) -> None:
    one(tmp_path)
    other = tmp_path / "health"
    other.mkdir()
    (other / "vm-has-name.yaml").write_text(RULE)
    with pytest.raises(DocumentError, match="stands in"):
        rulebook.read([tmp_path], shipped=False)


def test_users_rules_are_added_to_the_shipped_ones(tmp_path: Path) -> None:
    one(tmp_path)
    ids = [rule.id for rule in rulebook.read([tmp_path]).rules]
    assert "vm-has-name" in ids
    assert "vm-unprotected" in ids


def test_a_standard_disables_rules_sets_parameters_and_severities(tmp_path: Path) -> None:
    one(tmp_path)
    book = rulebook.read(
        [tmp_path],
        RuleChoice(
            disable=["vm-unprotected"], params={"vm-has-name": {"most": 9}}, severity_override={"vm-has-name": "high"}
        ),
    )
    assert "vm-unprotected" not in [rule.id for rule in book.rules]
    assert book.params["vm-has-name"]["most"] == 9
    assert book.severities["vm-has-name"] == "high"


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        (RuleChoice(disable=["vm-unprotcted"]), "did you mean 'vm-unprotected'?"),
        (RuleChoice(params={"backup-rpo-breached": {"escalate": 3}}), "there is no parameter 'escalate'"),
        (RuleChoice(params={"backup-rpo-breached": {"escalate_factor": "x"}}), "is not a number"),
    ],
)
def test_a_standard_that_names_unknown_rules_is_refused(choice: RuleChoice, told: str) -> None:
    with pytest.raises(DocumentError, match=told.replace("?", r"\?")):
        rulebook.read((), choice)


def test_an_unknown_rule_of_a_standard_is_told_with_file_and_line(tmp_path: Path) -> None:
    text = standard.default_path().read_text(encoding="utf-8")
    path = tmp_path / "standard.yaml"
    path.write_text(text.replace("extras: []", "extras: [vault-privileged-role-exces]"), encoding="utf-8")
    with pytest.raises(DocumentError) as caught:
        inputs.read(path)
    (fault,) = caught.value.faults
    assert (fault.path, fault.line) == (str(path), text[: text.index("extras: []")].count("\n") + 1)
    assert fault.hint == "did you mean 'vault-privileged-role-excess'?"


def test_an_unknown_rule_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        rulebook.read().get("vm-unprotectd")
    assert caught.value.hint == "did you mean 'vm-unprotected'?"


def test_a_wrong_expectation_fails_the_rules_own_test(tmp_path: Path, empty: Facts) -> None:
    rule = one(tmp_path, RULE.replace("/a: pass, /b: {status: fail", "/a: fail, /b: {status: pass"))
    (outcome,) = ruletests.run(rule, empty)
    assert "/a: status is pass, expected fail" in outcome.failures
    (fault,) = ruletests.faults(rule, [outcome])
    assert fault.line == RULE[: RULE.index("- name: by age")].count("\n") + 1


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("      vm:\n", "      vms:\n", "there is no table 'vms'"),
        ("age_hours: 5}", "age_huors: 5}", "did you mean 'age_hours'?"),
        ("age_hours: 5}", "age_hours: old}", "of the wrong kind: Could not convert string 'old'"),
    ],
)
def test_a_test_with_wrong_rows_is_told_with_its_line(
    tmp_path: Path, empty: Facts, old: str, new: str, told: str
) -> None:
    rule = one(tmp_path, RULE.replace(old, new))
    with pytest.raises(DocumentError) as caught:
        ruletests.run(rule, empty)
    assert told in str(caught.value)
    assert caught.value.faults[0].line in range(RULE[: RULE.index("      vm:")].count("\n") + 1, RULE.count("\n"))


def test_tests_leave_no_rows_behind(tmp_path: Path, empty: Facts) -> None:
    ruletests.run(one(tmp_path), empty)
    assert empty.population("vm") == 0


@pytest.mark.parametrize(
    "field",
    [
        "{age_hours:zz}",
        "{age_hours:d}",
        "{age_hours:999999999999}",
        "{age_hours!q}",
        "{age_hours[5]}",
        "{age_hours y",
        "}",
    ],
)
@pytest.mark.parametrize("form", ['"%s"', '{en: fine, de: "%s"}'])
def test_a_message_that_cannot_be_filled_is_told_with_its_line(tmp_path: Path, field: str, form: str) -> None:
    text = RULE.replace('"{age_hours:.0f} h"', "\n  " + form % f"old {field}")
    (fault,) = gate.check(one(tmp_path, text), ruletests.open_tables())
    assert "message 'too_old'" in fault.message
    assert fault.line in (text[: text.index("too_old: ")].count("\n") + n for n in (1, 2))


def test_each_step_of_a_fix_is_a_command_or_a_comment() -> None:
    for rule in rulebook.read(whole=True).rules:
        for step in remedy.steps(rule.file.remediation.get("az", "")).splitlines():
            assert step.startswith(("az ", "sha256sum ", "# ")), f"{rule.id}: {step}"
            assert not re.search(r"\{\w+:,?\.\d", step), f"{rule.id}: a fix is filled in with names, not with numbers"


def test_a_message_chooses_between_one_and_other() -> None:
    said = {"few": "{n} VM{n:|s} {n:needs|need} it", "unclosed": "{n:one|}"}
    assert rulebook.sentence("few", said, {"n": 1}) == "1 VM needs it"
    assert rulebook.sentence("few", said, {"n": 0}) == "0 VMs need it"
    assert rulebook.sentence("few", said, {"n": None}) == "unknown VMs need it"
    assert not rulebook.misspelt(said["few"])
    assert rulebook.misspelt(said["unclosed"])


def test_a_message_writes_an_age_as_reports_do() -> None:
    said = {"old": {"en": "{age_hours:age} old", "de": "{age_hours:age} alt"}}
    assert rulebook.sentence("old", said, {"age_hours": 2880}) == "120 d old"
    assert rulebook.sentence("old", said, {"age_hours": 30.5}, "de") == "30,5 h alt"


def test_codes_are_put_into_words() -> None:
    assert rulebook.words("accepted", "snapshot, disk_backup", "en") == "snapshots, Azure Disk Backup"
    assert rulebook.words("sources", "snapshot", "de") == "Snapshots"
    assert rulebook.words("made_by", "user 12, asr 3", "de") == "von Hand 12, Azure Site Recovery 3"
    assert rulebook.words("vault_name", "user", "de") == "user"
    assert rulebook.sentence("kept", {"kept": "kept by {provenance}"}, {"provenance": "asr"}) == (
        "kept by Azure Site Recovery"
    )


@pytest.mark.parametrize("rule", rulebook.read(whole=True).rules, ids=lambda rule: rule.id)
def test_a_shipped_sentence_reads_well_with_one_and_tells_no_age_in_thousands_of_hours(rule: rulebook.Rule) -> None:
    counts = ("_count", "_days", "_weeks", "_months", "failures", "looked_at")
    for code, message in rule.file.messages.items():
        assert isinstance(message, dict)
        for language, text in message.items():
            assert ":.0f} h" not in text, f"{code}: write {{…:age}}"
            ones = {name: 1 if name.endswith(counts) else "x" for name in rulebook.fields(message)}
            said = rule.sentence(code, ones, language)
            # A share of a whole may be 1 of 1 VMs, or 1 of the last 1 days.
            found = re.search(f"{NO_SHARE}1 {PLURAL}", said)
            assert found is None or found[1] in ONE_OF or (rule.id, code) in NEVER_ONE, f"{code}: {said}"


NO_SHARE = r"(?<!of )(?<!von )(?<!the )(?<!last )(?<!letzten )\b"
PLURAL = r"(?:[a-z]+e )?(\w+s|Tagen?|Elemente|Punkte|Sicherungen)\b"
ONE_OF = {"its", "ihres", "des", "has", "is", "was", "ends", "needs", "keeps", "es", "angehaltenes"}
"""Words in -s that are no plural."""
NEVER_ONE = {
    ("backup-duplicate-protection", "two_items"),
    ("vault-redundancy-below-standard", "demands_contradict"),
    ("vm-backup-unsupported", "too_many_disks"),
    ("vault-privileged-role-excess", "too_many"),
}
"""Sentences that are said of several only."""


def test_each_code_that_evidence_may_hold_has_words() -> None:
    words = load(assets.rules() / "words.yaml").data
    for rule in rulebook.read(whole=True).rules:
        parts = set(re.findall(r"'([a-z_]+):(?:critical|high|medium|low|info)'", rule.file.sql))
        assert parts <= set(words["parts"]), rule.id
    assert all(isinstance(it, dict) or it in words for it in words.values())
    told = [said for it in words.values() if isinstance(it, dict) for said in it.values()]
    assert [said for said in told if not (said.get("en") and said.get("de"))] == []


def test_sentences_fill_in_values_and_never_break() -> None:
    messages: dict[str, str | dict[str, str]] = {
        "old": "{age:.0f} h, {name}",
        "both": {"en": "english", "de": "deutsch"},
    }
    assert rulebook.sentence("old", messages, {"age": 30.6, "name": "x"}) == "31 h, x"
    assert rulebook.sentence("old", messages, {"age": None}) == "unknown h, unknown"
    assert rulebook.sentence("old", messages, {"age": None}, "de") == "unknown h, unknown", "all of it is English"
    german = {**rulebook.common_messages(), "aged": {"en": "{age} h", "de": "{age} Std."}}
    assert rulebook.sentence("aged", german, {}, "de") == "unbekannt Std."
    assert rulebook.sentence("old", {"old": "{missing_pct:.1f} %"}, {"missing_pct": 3.41}) == "3.5 %"
    for days, written in (
        (30, "30 d"),
        (84, "84 d"),
        (2556.75, "7 y"),
        (152.1875, "5 mo"),
        (2556, "2,556 d"),
        (0, "0 d"),
    ):
        assert rulebook.sentence("kept", {"kept": "{demanded_days:keep}"}, {"demanded_days": days}) == written
    assert rulebook.sentence("both", messages, {}, "de") == "deutsch"
    assert rulebook.sentence("both", messages, {}, "fr") == "english"
    assert rulebook.sentence("never_heard", messages, {}) == "never heard"
    assert "vm-unprotected" in rulebook.sentence("judged_by:vm-unprotected", rulebook.common_messages(), {})
