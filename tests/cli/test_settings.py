"""Where a setting comes from: flag, then variable, then configuration, then default."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from auditor import config
from auditor.cli.common import allowed_gaps, scope_of
from auditor.cli.options import moment
from auditor.simulator import Estate, Simulator
from tests.audits import AS_OF, TOKEN

if TYPE_CHECKING:
    from pathlib import Path

    from tests.audits import Audited
    from tests.cli.conftest import Auditor

pytestmark = pytest.mark.slow


def test_flag_beats_variable_beats_configuration_beats_default(
    auditor: Auditor, finished: Audited, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(finished.bundle.folder, bundle)

    def threshold(*more: str) -> str:
        told = auditor("evaluate", bundle, "-f", "json", *more)
        return str(json.loads(told.out)["gate"]["threshold"])

    assert threshold() == "medium"
    (tmp_path / "auditor.yaml").write_text("fail_on: low\n")
    assert threshold() == "low"
    monkeypatch.setenv("AUDITOR_FAIL_ON", "critical")
    assert threshold() == "critical"
    assert threshold("--fail-on", "none") == "none"


def test_paths_in_a_configuration_are_its_folders(tmp_path: Path) -> None:
    path = tmp_path / "conf" / "auditor.yaml"
    path.parent.mkdir()
    path.write_text(
        "store: runs\nstandard: s.yaml\nwaivers: /etc/w.yaml\nrules: [r1, r2]\nexpect_subscriptions: e.txt\n"
        "report: [json, html=out/r.html]\nsubscription: One, two\n"
    )
    given = config.read(path)
    here = path.parent
    assert given == {
        "store": str(here / "runs"),
        "standard": str(here / "s.yaml"),
        "waivers": "/etc/w.yaml",
        "rules": [str(here / "r1"), str(here / "r2")],
        "expect_subscriptions": str(here / "e.txt"),
        "report": ["json", f"html={here / 'out/r.html'}"],
        "subscription": ["One, two"],
    }


@pytest.mark.parametrize("value", ["30", "'30'"])
def test_a_number_of_expected_subscriptions_is_no_path(value: str, tmp_path: Path) -> None:
    path = tmp_path / "auditor.yaml"
    path.write_text(f"expect_subscriptions: {value}\n")
    assert config.read(path) == {"expect_subscriptions": "30"}


def test_a_configuration_moves_the_store(auditor: Auditor, tiny: Simulator, tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "a.yaml").write_text(f"store: runs\narm_endpoint: {tiny.url}\nreport: json\n")
    told = auditor("audit", "--config", "conf/a.yaml", "--as-of", "2026-11-22", "-q")
    assert told.code == 0, told.err
    assert [path.name for path in (tmp_path / "conf" / "runs").iterdir()] == ["run=2026-11-22T000000Z"]


def test_names_in_a_variable_may_have_spaces(
    auditor: Auditor, tiny: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUDITOR_SUBSCRIPTION", f"{tiny.estate.subscription_id('a')}, Not There")
    monkeypatch.setenv("AUDITOR_REPORT", "json")
    told = auditor("audit", "--arm-endpoint", tiny.url, "--as-of", "2026-11-22", "-q")
    assert told.code == 3
    coverage = json.loads((tmp_path / "audits/run=2026-11-22T000000Z/coverage.json").read_text())["coverage"]
    assert [row["subscription_id"] for row in coverage if row["state"] == "denied"] == ["not there"]


def test_a_comma_is_part_of_a_name_on_the_command_line(auditor: Auditor, tmp_path: Path) -> None:
    estate = Estate.from_dict({"estate": "e", "subscriptions": {"a": {"name": "Prod, EU"}, "b": {"name": "b"}}}, AS_OF)
    with Simulator(estate, token=TOKEN, quota=None) as azure:
        words = ("audit", "--arm-endpoint", azure.url, "--as-of", "2026-11-22", "-q", "--report", "json")
        assert auditor(*words, "-s", "prod, eu").code == 0
        assert auditor(*words, "-s", "b,Prod", "--store", "other").code == 3
    read = json.loads((tmp_path / "audits/run=2026-11-22T000000Z/coverage.json").read_text())
    assert {row["name"]: row["reading"] for row in read["subscriptions"]} == {
        "Prod, EU": "audited",
        "b": "not in scope",
    }
    unread = json.loads((tmp_path / "other/run=2026-11-22T000000Z/coverage.json").read_text())
    assert any("a comma is part of a name" in (row["reason"] or "") for row in unread["coverage"])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_expected_subscriptions_are_read_from_what_people_save(encoding: str, newline: str, tmp_path: Path) -> None:
    guid = "11111111-1111-4111-8111-111111111111"
    lines = ["# the estate", f"{guid}  # production", "", "  Sub #1 ", "Zürich, West"]
    path = tmp_path / "expected.txt"
    path.write_bytes(newline.join(lines).encode(encoding))
    options = dict.fromkeys(("subscription", "management_group", "exclude_subscription"), ())
    scope = scope_of({**options, "tenant": None, "recovery_points": "all", "expect_subscriptions": str(path)})
    assert scope.expect_subscriptions == (guid, "Sub #1", "Zürich, West")


def test_moments_are_utc_unless_they_say_otherwise() -> None:
    for text in ("2026-11-22T06:00:00Z", "2026-11-22T06:00:00", "2026-11-22T07:00:00+01:00", "2026-11-22 06:00:00.9"):
        found = moment(text)
        assert found is not None
        assert found.isoformat() == "2026-11-22T06:00:00+00:00"


def test_allowed_gaps_are_tables_with_or_without_a_subscription() -> None:
    assert allowed_gaps(("recovery_point,VM:ABC", "disk")) == ("recovery_point", "vm:abc", "disk")
