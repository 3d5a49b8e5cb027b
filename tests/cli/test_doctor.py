"""`auditor doctor`: what would keep an audit from being complete, and the smallest role."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from importlib import metadata
from typing import TYPE_CHECKING, Any

import pytest

from auditor import rulebook
from auditor.azure import cloud
from auditor.doctor import local, remote, role
from auditor.inventory import catalogue
from auditor.report import pango
from auditor.simulator import Estate, Faults, Simulator
from tests.audits import AS_OF, TOKEN
from tests.azure.runs import mixed_estate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from auditor.simulator.server import Request
    from tests.audits import Audited
    from tests.cli.conftest import Auditor, Outcome

Told = dict[str, dict[str, str]]
RULES = len(rulebook.read().rules)


def told(outcome: Outcome) -> Told:
    """Read `-f json`: check -> its row."""
    rows = json.loads(outcome.out)
    assert all(row.keys() == {"check", "state", "detail", "remedy"} for row in rows)
    assert {row["state"] for row in rows} <= {"ok", "warn", "fail", "skip"}
    return {row["check"]: row for row in rows}


def states(rows: Told, state: str) -> set[str]:
    return {name for name, row in rows.items() if row["state"] == state}


def under(auditor: Auditor, *words: object, **faults: Any) -> tuple[Outcome, list[Request]]:
    with Simulator(mixed_estate(), token=TOKEN, quota=None, faults=Faults(**faults)) as azure:
        outcome = auditor("doctor", "--arm-endpoint", azure.url, "--no-progress", "-f", "json", *words)
        return outcome, list(azure.log)


def only_reads(log: Sequence[Request]) -> bool:
    posts = {request.path.lower() for request in log if request.method != "GET"}
    return {request.method for request in log} <= {"GET", "POST"} and all(
        path.endswith(("/microsoft.resourcegraph/resources", "/policystates/latest/queryresults")) for path in posts
    )


# -- Azure -----------------------------------------------------------------------------------------------------------


def test_all_is_well(auditor: Auditor, tmp_path: Path) -> None:
    outcome, log = under(auditor)
    rows = told(outcome)
    assert outcome.code == 0, states(rows, "fail")
    assert states(rows, "warn") == set()
    assert states(rows, "skip") == {"table initiative", "table restore_point"}
    assert {f"table {table.name}" for table in catalogue.tables()} <= rows.keys()
    assert rows["rules that can judge"]["detail"] == f"{RULES} of {RULES}"
    assert rows["subscriptions"]["detail"] == "3 visible, 3 in scope, expected: not declared"
    assert "Microsoft.RecoveryServices/Vaults/backupconfig/read" in rows["table vault_config"]["detail"]
    assert list(tmp_path.iterdir()) == []
    assert only_reads(log)
    assert len(log) < 70
    asked = [request.body["options"]["$top"] for request in log if "$top" in (request.body or {}).get("options", {})]
    assert sorted(set(asked)) == [1, 1000]
    assert asked.count(1) > 12


def test_a_denied_vault_fails_and_the_rules_are_named(auditor: Auditor) -> None:
    outcome, log = under(auditor, rest_denied_vaults=frozenset({"rsv-b"}))
    rows = told(outcome)
    assert outcome.code == 1
    item = rows["table protected_item"]
    assert item["state"] == "fail"
    assert "denied: 1 of 3 asked: vaults/rsv-b: HTTP 403" in item["detail"]
    assert "Microsoft.RecoveryServices/Vaults/backupProtectedItems/read" in item["remedy"]
    assert "protected_item is denied" in rows["rule vm-unprotected"]["detail"]
    assert "recovery_point is denied" in rows["rule recovery-points-missing"]["detail"]
    assert not {"rule snapshot-stale", "rule snapshot-orphaned"} & rows.keys()
    assert only_reads(log)


def test_resource_graph_answers_for_policy_states_that_are_refused(auditor: Auditor) -> None:
    outcome, log = under(auditor, denied_paths=frozenset({"/policyStates/"}))
    rows = told(outcome)
    assert outcome.code == 0
    assert rows["table policy_state"]["state"] == "warn"
    assert "queryResults/action" in rows["table policy_state"]["remedy"]
    assert only_reads(log)


def test_a_list_that_is_denied_is_a_doubt_where_resource_graph_shows_rows(auditor: Auditor) -> None:
    rows = told(under(auditor, denied_paths=frozenset({"Compute/virtualMachines$"}))[0])
    assert rows["table vm"]["state"] == "warn"
    assert "may leave rows out" in rows["table vm"]["detail"]


def test_a_list_that_is_denied_tells_why_resource_graph_shows_nothing(auditor: Auditor) -> None:
    hidden = {"denied_paths": frozenset({"Compute/virtualMachines$"}), "empty_tables": frozenset({"resources"})}
    outcome, _ = under(auditor, **hidden)
    rows = told(outcome)
    assert (outcome.code, rows["table vm"]["state"]) == (1, "fail")
    assert "vm is denied" in rows["rule vm-unprotected"]["detail"]


def test_a_settings_table_that_is_denied_fails_with_the_rules_that_read_it(auditor: Auditor) -> None:
    outcome, _ = under(auditor, denied_paths=frozenset({"/backupconfig/"}))
    rows = told(outcome)
    failed = states(rows, "fail")
    assert outcome.code == 1
    assert {"table vault_config", "rule vault-soft-delete-weak"} <= failed
    assert failed.isdisjoint({"rule vm-unprotected", "rule backup-rpo-breached", "rule snapshot-stale"})


def test_a_clock_that_is_off_makes_every_rule_unknown(auditor: Auditor) -> None:
    outcome, _ = under(auditor, clock_offset=3600.0)
    rows = told(outcome)
    assert (outcome.code, rows["clock"]["state"]) == (1, "fail")
    assert re.match(r"3[56]\d\d s behind Azure's", rows["clock"]["detail"])
    assert len([name for name in states(rows, "fail") if name.startswith("rule ")]) == RULES


def test_what_should_be_visible_and_is_not(auditor: Auditor) -> None:
    outcome, _ = under(auditor, "-s", "Sub A", "-s", "Sub Z", "--expect-subscriptions", "9")
    rows = told(outcome)
    assert outcome.code == 1
    assert rows["subscriptions"]["detail"] == "3 visible, 1 in scope, expected: 9"
    assert "not visible" in rows["subscription sub z"]["detail"]
    assert rows["subscription"]["detail"] == "9 subscriptions expected, 3 visible"
    assert "not every subscription is visible" in rows["rule vm-unprotected"]["detail"]


def test_nothing_visible_and_no_network(auditor: Auditor) -> None:
    outcome, log = under(auditor, denied_subscriptions=frozenset({"a", "b", "c"}))
    assert (outcome.code, told(outcome)["azure"]["state"]) == (4, "fail")
    assert only_reads(log)
    assert auditor("doctor", "--arm-endpoint", "http://127.0.0.1:9", "--no-progress", "-q").code == 4


def test_wrong_input(auditor: Auditor, tiny: Simulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    there = ["doctor", "--arm-endpoint", tiny.url, "--no-progress"]
    assert auditor("doctor", "--offline", "--max-age", "a week").code == 2
    assert auditor(*there, "-s", "Twin").code == 2
    assert auditor("doctor", "--offline", "--standard", "none.yaml").code == 2
    (tmp_path / "auditor.yaml").write_text("stor: x\n")
    assert auditor("doctor", "--offline").code == 2
    (tmp_path / "auditor.yaml").write_text("store: elsewhere\n")
    assert "auditor.yaml read" in auditor("doctor", "--offline").out
    monkeypatch.delenv("AUDITOR_TOKEN")
    assert auditor(*there).code == 2


def test_names_of_others_do_not_command_the_terminal(auditor: Auditor) -> None:
    name = "rsv-\x1b]0;owned\x07\u202e|`x`"
    estate = Estate.from_dict({"estate": "odd", "subscriptions": {"a": {"name": "A\x1b[2J|\u202e"}}}, AS_OF)
    with Simulator(estate, token=TOKEN, quota=None) as azure:
        for form in ("table", "markdown"):
            there = ["doctor", "--arm-endpoint", azure.url, "--no-progress", "-f", form, "-s", name]
            outcome = auditor(*there)
            assert outcome.code == 1
            assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", outcome.out + outcome.err)
            if form == "markdown":
                rows = [line for line in outcome.out.splitlines() if line.strip()]
                assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5}


@pytest.mark.parametrize(
    ("claims", "state", "said"),
    [
        ({"type": "app", "app_id": "11", "object_id": "22", "tenant_id": "t" * 3}, "ok", "type app, app 11, object 22"),
        ({"name": "Ann", "user": "ann@example.com", "tenant_id": "x"}, "ok", "Ann ann@example.com, tenant x"),
        ({}, "warn", "does not say"),
    ],
)
def test_the_identity_is_told_from_the_claims(claims: dict[str, str], state: str, said: str) -> None:
    cloud_check, identity = remote.signed_in(claims, cloud("usgov"), None)
    assert (identity.state, said in identity.detail) == (state, True)
    assert "management.usgovcloudapi.net, signed in at login.microsoftonline.us" in cloud_check.detail


def test_a_token_of_another_tenant_fails() -> None:
    wanted = "11111111-1111-4111-8111-111111111111"
    _, identity = remote.signed_in({"tenant_id": wanted.replace("1", "2")}, cloud(), wanted)
    assert (identity.state, identity.remedy) == ("fail", f"az login --tenant {wanted}")


# -- this machine ----------------------------------------------------------------------------------------------------


def test_offline_asks_nothing(auditor: Auditor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUDITOR_TOKEN")
    outcome = auditor("doctor", "--offline", "-f", "json")
    rows = told(outcome)
    assert outcome.code == 0
    assert list(rows) == ["python", "libraries", "pango", "fonts", "configuration", "rules", "store"]
    lines = auditor("doctor", "--offline").out.splitlines()
    assert len(lines) == len(rows)
    assert all(line.startswith("ok    ") for line in lines)
    quiet = auditor("doctor", "--offline", "-q")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")


def test_a_missing_pango_is_told_with_the_command(auditor: Auditor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    outcome = auditor("doctor", "--offline", "-f", "json", "-q")
    assert outcome.code == 1
    assert [*told(outcome)] == ["pango"]
    assert told(outcome)["pango"]["remedy"] == pango.install()


@pytest.mark.parametrize(
    ("platform", "release", "command"),
    [
        ("linux", "ID=debian\n", pango.DEBIAN),
        ("linux", 'ID=linuxmint\nID_LIKE="ubuntu debian"\n', pango.DEBIAN),
        ("linux", "NAME=Fedora\nID=fedora\n", pango.FEDORA),
        ("linux", 'ID="rocky"\nID_LIKE="rhel centos fedora"\n', pango.FEDORA),
        ("linux", None, pango.DEBIAN),
        ("darwin", None, pango.MACOS),
        ("win32", None, pango.WINDOWS),
    ],
)
def test_each_system_has_its_command(platform: str, release: str | None, command: str, tmp_path: Path) -> None:
    if release is not None:
        (tmp_path / "os-release").write_text(release)
    assert pango.install(platform, tmp_path / "os-release") == command


def test_a_library_of_another_version_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "1.0" if name == "duckdb" else real(name))
    python, libraries = local.versions()
    assert (python.state, libraries.state) == ("ok", "fail")
    assert libraries.detail.startswith("duckdb is 1.0, ")
    assert libraries.remedy == "pip install 'duckdb<2.1,>=2.0'"


def test_a_store_that_cannot_be_written(auditor: Auditor, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    outcome = auditor("doctor", "--offline", "--store", tmp_path / "file", "-q")
    assert outcome.code == 1
    assert outcome.out.startswith("FAIL  store")


def test_max_age(auditor: Auditor, finished: Audited, tmp_path: Path) -> None:
    words = ["doctor", "--offline", "--store", tmp_path / "s", "-f", "json"]
    outcome = auditor(*words, "--max-age", "8d")
    assert outcome.code == 1
    assert "holds no run; 8.0 d allowed" in told(outcome)["last run"]["detail"]
    shutil.copytree(finished.bundle.folder, tmp_path / "s" / finished.bundle.folder.name)
    (tmp_path / "s" / "run=2031-01-01T000000Z").mkdir()  # not sealed: it does not exist
    outcome = auditor(*words, "--max-age", "5200w")
    assert outcome.code == 0
    assert told(outcome)["last run"]["detail"].startswith("run=2026-11-22T060000Z is ")


def test_the_age_is_that_of_the_newest_run_that_is_not_of_the_future(finished: Audited, tmp_path: Path) -> None:
    shutil.copytree(finished.bundle.folder, tmp_path / "run=2026-11-22T060000Z")
    eight = timedelta(days=8)
    assert local.age(tmp_path, 192, AS_OF + eight).state == "ok"
    late = local.age(tmp_path, 192, AS_OF + eight + timedelta(minutes=1))
    assert (late.state, late.detail) == ("fail", "run=2026-11-22T060000Z is 8.0 d old; 8.0 d allowed")
    assert local.age(tmp_path, 192, AS_OF - timedelta(days=1)).state == "fail"
    (tmp_path / "run=2026-11-23T060000Z").mkdir()
    (tmp_path / "run=2026-11-23T060000Z" / "manifest.json").write_text("{")
    spoilt = local.age(tmp_path, 192, AS_OF + eight)
    assert (spoilt.state, "cannot be read" in spoilt.detail) == ("ok", True)


def test_help_is_quick() -> None:
    began = datetime.now(UTC)
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "auditor", "doctor", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--max-age" in done.stdout
    for heavy in ("duckdb", "azure.identity", "pydantic", "weasyprint", "sqlglot", "packaging"):
        assert not re.search(rf"\| +{re.escape(heavy)}$", done.stderr, flags=re.MULTILINE), heavy
    assert datetime.now(UTC) - began < timedelta(seconds=10)


# -- the role --------------------------------------------------------------------------------------------------------

SUBSCRIPTION = "11111111-aaaa-4111-8111-111111111111"


def test_the_role_as_json(auditor: Auditor) -> None:
    outcome = auditor("doctor", "--role", "json", "-s", SUBSCRIPTION.upper(), "--management-group", "mg-root")
    assert (outcome.code, outcome.err) == (0, "")
    made = json.loads(outcome.out)
    assert list(made) == ["Name", "IsCustom", "Description", "Actions", "NotActions", "AssignableScopes"]
    assert made["IsCustom"] is True
    assert made["Actions"] == list(catalogue.actions())
    assert made["NotActions"] == []
    assert made["AssignableScopes"] == [
        "/providers/Microsoft.Management/managementGroups/mg-root",
        f"/subscriptions/{SUBSCRIPTION}",
    ]


@pytest.mark.parametrize("form", role.FORMS)
def test_the_role_allows_reads_alone(form: str, auditor: Auditor) -> None:
    outcome = auditor("doctor", "--role", form)
    assert outcome.code == 0
    assert "REPLACE" in outcome.out or "name another place here" in outcome.out
    assert "replace the placeholder" in outcome.err
    assert "*" not in outcome.out
    assert "register" not in outcome.out
    actions = set(re.findall(r"Microsoft\.[\w./]+/(?:read|action|write|delete)", outcome.out))
    assert actions == set(catalogue.actions())


def test_the_role_as_bicep(auditor: Auditor) -> None:
    text = auditor("doctor", "--role", "bicep", "--management-group", "mg-root").out
    shape = re.sub(r"(?m)^ {10}'Microsoft\.[^\n]+\n", "", text)
    assert (
        shape
        == """\
// az deployment mg create --management-group-id ID --location westeurope --template-file role.bicep
targetScope = 'managementGroup'

resource auditor 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(managementGroup().id, 'Azure Backup Auditor')
  properties: {
    roleName: 'Azure Backup Auditor'
    description: 'Reads what azure-backup-auditor needs to judge backups and snapshots; no wildcard, no data, no write.'
    type: 'CustomRole'
    permissions: [
      {
        actions: [
        ]
        notActions: []
      }
    ]
    assignableScopes: [
      '/providers/Microsoft.Management/managementGroups/mg-root'
    ]
  }
}

output roleDefinitionId string = auditor.id
"""
    )
    below = auditor("doctor", "--role", "bicep", "-s", SUBSCRIPTION).out
    assert "targetScope = 'subscription'" in below
    assert f"      '/subscriptions/{SUBSCRIPTION}'\n" in below


def test_the_role_as_terraform(auditor: Auditor) -> None:
    text = auditor("doctor", "--role", "terraform", "-s", SUBSCRIPTION).out
    assert (
        re.sub(r'(?m)^ {6}"Microsoft\.[^\n]+\n', "", text)
        == f"""\
resource "azurerm_role_definition" "azure_backup_auditor" {{
  name        = "Azure Backup Auditor"
  scope       = "/subscriptions/{SUBSCRIPTION}"
  description = "Reads what azure-backup-auditor needs to judge backups and snapshots; no wildcard, no data, no write."

  permissions {{
    actions = [
    ]
    not_actions = []
  }}

  assignable_scopes = [
    "/subscriptions/{SUBSCRIPTION}",
  ]
}}
"""
    )


@pytest.mark.parametrize(
    "words",
    [
        ("-s", "Production"),
        ("--management-group", "a'b"),
        ("--management-group", "Group A"),
        ("--management-group", "one", "--management-group", "two"),
    ],
)
def test_scopes_that_a_role_cannot_have(words: tuple[str, ...], auditor: Auditor) -> None:
    outcome = auditor("doctor", "--role", "json", *words)
    assert (outcome.code, outcome.out) == (2, "")
