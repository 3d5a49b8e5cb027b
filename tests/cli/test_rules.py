"""`auditor rules`: what a writer of rules meets."""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING, get_args

import pytest

from auditor import assets, rulebook
from auditor.simulator import Simulator
from tests.audits import TOKEN
from tests.azure.runs import mixed_estate
from tests.cli.test_exit_codes import start, words

if TYPE_CHECKING:
    from pathlib import Path

    from tests.audits import Audited
    from tests.cli.conftest import Auditor

KINDS = get_args(rulebook.ResourceType)
ENDLESS = ", ".join(f"vm v{n}" for n in range(30))


def test_every_kind_of_new_rule_passes_its_own_tests_and_lint(auditor: Auditor, tmp_path: Path) -> None:
    ids = [f"my-{kind.replace('_', '-')}-rule" for kind in KINDS]
    for name, kind in zip(ids, KINDS, strict=True):
        made = auditor("rules", "new", name, "--area", "protection", "--about", kind, "--rules", "own")
        assert made.code == 0
        assert (tmp_path / "own" / "protection" / f"{name}.yaml").exists()
    tested = auditor("rules", "test", *ids, "--rules", "own")
    assert (tested.code, tested.out.splitlines()[-1]) == (0, f"{len(ids)} passed, 0 failed")
    linted = auditor("rules", "lint", *ids, "--rules", "own")
    assert (linted.code, linted.out) == (0, f"{len(ids)} rules, 0 faults\n")


@pytest.mark.parametrize(
    ("words_", "told"),
    [
        (["My Rule"], "'My Rule' is no id of a rule\n  write words in lower case with hyphens"),
        (["../escape-me"], "'../escape-me' is no id of a rule"),
        (["vm-unprotected"], "there is a rule 'vm-unprotected' already\n  ids are permanent"),
        (["my-rule", "--area", "protecton"], "there is no such area\n  did you mean 'protection'?"),
        (["my-rule", "--about", "vms"], "rules are not about that\n  did you mean 'vm'?"),
    ],
)
def test_a_new_rule_that_cannot_be_is_refused(auditor: Auditor, words_: list[str], told: str, tmp_path: Path) -> None:
    given = ["--area", "protection", "--about", "vm", "--rules", "own", *words_[1:]]
    done = auditor("rules", "new", words_[0], *given)
    assert done.code == 2
    assert told in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_new_rule_without_a_folder_says_where_it_may_go(auditor: Auditor) -> None:
    done = auditor("rules", "new", "my-rule", "--area", "cost", "--about", "vm")
    assert (done.code, "add --rules DIR" in done.err) == (2, True)


def test_a_new_rule_never_replaces_a_file(auditor: Auditor, tmp_path: Path) -> None:
    path = tmp_path / "own" / "cost" / "my-rule.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("mine: 1\n")
    done = auditor("rules", "new", "my-rule", "--area", "cost", "--about", "vm", "--rules", "own")
    assert done.code == 2
    assert path.read_text() == "mine: 1\n"


@pytest.fixture
def begun(auditor: Auditor, tmp_path: Path) -> Path:
    auditor("rules", "new", "my-rule", "--area", "cost", "--about", "vm", "--rules", "own")
    return tmp_path / "own" / "cost" / "my-rule.yaml"


FAULTY = {
    "a column that is not there": ("x.resource_name IS NULL", "x.resource_nam IS NULL", "no column 'resource_nam'"),
    "a status that cannot be": ("tests:\n", "cannot: {fail: w}\ntests:\n", "`cannot` rules out 'fail', which the SQL"),
    "a reason never given": ("messages:\n", "messages:\n  lost: never\n", "message 'lost' is of a reason"),
    "an untested status": (", /vm/d: not_applicable", ", /vm/d: pass", "gives 'not_applicable', which no test expects"),
    "no test of a status": (", /vm/c: unknown", ", /vm/c: fail", "no test expects 'unknown'"),
    "a control that is not there": ("reads:", "controls: {dora: [99]}\nreads:", "dora has no control '99'"),
    "a framework that is not there": ("reads:", "controls: {dorra: [1]}\nreads:", "did you mean 'dora'?"),
    "a cause that is not there": ("reads:", "explained_by: [vm-unprotectd]\nreads:", "did you mean 'vm-unprotected'?"),
    "a column of a test": ("resource_name: b}", "resource_nam: b}", "table 'vm' has no column 'resource_nam'"),
    "a sentence of a column": ("is a temporary name", "is {nope}", "names {nope}, no such column"),
    "a fix of a column": ("-n {resource_name}", "-n {nope}", "remediation 'az' names {nope}, no such column"),
    "a date that is text": ("j.reason, ", "j.reason, 'soon' AS matures_in_hours, ", "is VARCHAR, not a number"),
    "not yet due without a date": ("'pass' END", "'not_yet_due' END", "without a column 'matures_in_hours'"),
    "an unknown key": ("reads:", "colour: red\nreads:", "unknown key 'colour'"),
    "a refused function": ("starts_with(", "regexp_matches(", "function 'regexp"),
    "hostile SQL": ("'wanted_name' END", "repeat('a', 1000000000) END", "function 'repeat' is refused"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTY)
def test_lint_tells_each_fault_with_file_and_line(auditor: Auditor, begun: Path, name: str) -> None:
    old, new, told = FAULTY[name]
    text = begun.read_text()
    assert old in text
    begun.write_text(text.replace(old, new, 1))
    done = auditor("rules", "lint", "my-rule", "--rules", "own")
    assert done.code == 1
    assert told in done.out
    first = done.out.splitlines()[0]
    assert first.startswith("own/cost/my-rule.yaml:")
    line = int(first.split(":")[1])
    assert 1 <= line <= len(begun.read_text().splitlines())
    data = json.loads(auditor("rules", "lint", "my-rule", "--rules", "own", "-f", "json").out)
    assert data[0]["line"] == line


def test_lint_tells_a_sentence_nobody_speaks_beside_the_reasons_of_running(auditor: Auditor, begun: Path) -> None:
    text = begun.read_text().replace("reads: [vm]", "reads: [vm, running]")
    text = text.replace("FROM vm x", "FROM vm x JOIN running r ON r.vm_no = x.resource_no")
    text = text.replace(
        "ELSE 'wanted_name' END", "WHEN r.idle_status IS NULL THEN 'wanted_name' ELSE r.idle_reason END"
    )
    begun.write_text(text.replace("messages:\n", "messages:\n  lost: never\n"))
    done = auditor("rules", "lint", "my-rule", "--rules", "own")
    assert "message 'lost' is of a reason that the SQL never gives" in done.out


def test_a_date_that_is_text_stops_an_evaluation_by_the_rules_name(
    auditor: Auditor, begun: Path, finished: Audited
) -> None:
    text = begun.read_text()
    begun.write_text(text.replace("j.reason, j.res", "j.reason,\n         'soon' AS matures_in_hours, j.res"))
    done = auditor("evaluate", finished.bundle.folder, "--rules", "own")
    line = next(n for n, it in enumerate(begun.read_text().splitlines(), 1) if "'soon'" in it)
    assert done.code == 2
    assert f"own/cost/my-rule.yaml:{line}: column 'matures_in_hours' is VARCHAR, not a number" in done.err


def test_lint_of_a_rule_that_is_not_there(auditor: Auditor) -> None:
    done = auditor("rules", "lint", "vm-unprotectd")
    assert (done.code, "did you mean 'vm-unprotected'?" in done.err) == (2, True)


def test_shipped_rules_must_speak_german(auditor: Auditor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = (assets.rules() / "protection" / "vm-unprotected.yaml").read_text()
    folder = tmp_path / "rules"
    (folder / "protection").mkdir(parents=True)
    (folder / "messages.yaml").write_text((assets.rules() / "messages.yaml").read_text())
    (folder / "frameworks").symlink_to(assets.rules() / "frameworks")
    (folder / "standards").symlink_to(assets.rules() / "standards")
    (folder / "protection" / "vm-unprotected.yaml").write_text(
        source.replace("\nmessages:\n", "\nmessages:\n  odd: odd\n")
    )
    monkeypatch.setattr(assets, "rules", lambda: folder)
    done = auditor("rules", "lint", "vm-unprotected")
    assert done.code == 1
    assert "message 'odd' is not there in de" in done.out


def test_rules_that_are_off_are_listed_shown_and_tested(auditor: Auditor, begun: Path) -> None:
    begun.write_text(begun.read_text().replace("resource_type:", "extra: true\nresource_type:", 1))
    listed = auditor("rules", "list", "--rules", "own")
    assert [line.endswith("(off: extra)") for line in listed.out.splitlines() if line.startswith("my-rule ")] == [True]
    data = {row["id"]: row["runs"] for row in json.loads(auditor("rules", "list", "--rules", "own", "-f", "json").out)}
    assert (data["my-rule"], data["vm-unprotected"]) == (False, True)
    assert "off: extra" in auditor("rules", "show", "my-rule", "--rules", "own").out
    assert "ok   my-rule: " in auditor("rules", "test", "my-rule", "--rules", "own").out


def test_show_tells_controls_with_subject_and_mark(auditor: Auditor) -> None:
    told = auditor("rules", "show", "vm-unprotected").out
    assert "CP-9       Back up the system (read)" in told
    assert "11.2       Back up automatically, weekly or more often (secondary)" in told


def test_pages_are_written_for_all_rules(auditor: Auditor, begun: Path, tmp_path: Path) -> None:
    assert begun.exists()
    done = auditor("rules", "docs", "--out", "pages", "--rules", "own")
    assert done.code == 0
    index = (tmp_path / "pages" / "index.md").read_text()
    assert "[my-rule](my-rule.md)" in index
    assert "```sql\nWITH judged AS (" in (tmp_path / "pages" / "my-rule.md").read_text()


def test_a_failing_test_is_1_and_hostile_sql_2_with_file_and_line(auditor: Auditor, begun: Path) -> None:
    text = begun.read_text()
    begun.write_text(text.replace("/vm/d: not_applicable", "/vm/d: pass"))
    done = auditor("rules", "test", "my-rule", "--rules", "own")
    assert (done.code, "FAIL my-rule" in done.out) == (1, True)
    begun.write_text(text.replace("'wanted_name' END", "getenv('AUDITOR_TOKEN') END"))
    done = auditor("rules", "test", "my-rule", "--rules", "own")
    line = next(n for n, it in enumerate(begun.read_text().splitlines(), 1) if "getenv" in it)
    assert done.code == 2
    assert f"own/cost/my-rule.yaml:{line}: function 'getenv' is refused" in done.err


def test_a_rule_that_takes_too_much_memory_ends_an_evaluation_with_2(
    auditor: Auditor, begun: Path, finished: Audited
) -> None:
    grown = "x.resource_id"
    for _ in range(9):
        grown = f"replace({grown}, 'r', 'rrrrrrrrrrrrrrrrrrrr')"
    begun.write_text(begun.read_text().replace("FROM vm x", f"FROM vm x WHERE length({grown}) > 0", 1))
    done = auditor("evaluate", finished.bundle.folder, "--rules", "own")
    assert done.code == 2
    assert "own/cost/my-rule.yaml:12: rule my-rule needs more than the 700 MB of memory it may take" in done.err
    assert not list((finished.bundle.folder / "evaluations").glob("*"))


ONE_ROW = """\
tests:
  - {name: one, given: {vm: [{resource_no: 1, resource_id: /vm/b, resource_name: b}]}, expect: {/vm/b: pass}}
cannot: {fail: w, unknown: w}
"""


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_while_a_rule_does_not_end_it_ends_at_once(
    number: signal.Signals, code: int, begun: Path, tmp_path: Path
) -> None:
    text = begun.read_text().replace("FROM vm x", f"FROM vm x WHERE (SELECT count(*) FROM {ENDLESS}) > 0", 1)
    begun.write_text(text[: text.index("tests:\n")] + ONE_ROW)  # one VM to the power of thirty is one
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with Simulator(mixed_estate(), token=TOKEN, quota=None) as azure:
        run = start(*words(azure.url, "--store", tmp_path / "s", "--rules", "own"), TMPDIR=str(scratch))
        while not list(scratch.glob("auditor-*/copies")) and run.poll() is None:  # what the rules read is laid out
            time.sleep(0.1)
        time.sleep(2)
        began = time.monotonic()
        run.send_signal(number)
        _, err = run.communicate(timeout=30)
    assert run.returncode == code, err
    assert time.monotonic() - began < 10
    assert "Traceback" not in err
    assert "the same command goes on from there" in err
    assert list(scratch.iterdir()) == []
    assert list((tmp_path / "s").iterdir())  # what was read is kept


def test_the_page_on_writing_a_rule_can_be_followed_to_the_letter(auditor: Auditor, tmp_path: Path) -> None:
    page = (assets.rules() / "README.md").read_text()
    commands = [line.split("#")[0].split() for line in page.splitlines() if line.startswith("    auditor rules ")]
    assert [words_[2] for words_ in commands] == ["new", "test", "lint"]
    for words_ in commands:
        assert auditor(*words_[1:]).code == 0
    example = page[page.index("    id: vm-power-state-unknown") : page.index("**The SQL**")]
    path = tmp_path / "my-rules" / "protection" / "vm-power-state-unknown.yaml"
    path.write_text("\n".join(line[4:] for line in example.splitlines()) + "\n")
    for words_ in commands[1:]:
        done = auditor(*words_[1:])
        assert done.code == 0, done.out
