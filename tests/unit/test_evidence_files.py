"""Restore tests and runbooks as files: what may stand in them, and where they are looked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from auditor import standard
from auditor.errors import DocumentError
from auditor.standard import evidence

if TYPE_CHECKING:
    from pathlib import Path

CHOSEN = standard.read(standard.default_path())
GOOD = """\
id: RT-1
vms: [{name: App01, resource_group: rg-app}]
type: full_vm_or_disk
started_at: 2026-11-02T05:50:00
service_restored_at: 2026-11-02T08:20:00+01:00
validation: {method: looked at, result: pass}
performed_by: ops
"""


def put(folder: Path, text: str, name: str = "evidence/restore-tests/a.yaml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def faults(folder: Path) -> list[str]:
    with pytest.raises(DocumentError) as told:
        evidence.read(CHOSEN, folder)
    return str(told.value).splitlines()


def test_files_that_are_not_there_are_no_evidence_and_no_error(tmp_path: Path) -> None:
    assert evidence.read(CHOSEN, tmp_path) == evidence.NO_EVIDENCE


def test_a_test_takes_from_its_beginning_to_the_service(tmp_path: Path) -> None:
    put(tmp_path, GOOD)
    (found,) = evidence.read(CHOSEN, tmp_path).tests
    assert found.minutes == 90  # without a zone a time is UTC
    assert (found.passed, found.validated, found.target.isolated_network) == (True, True, False)


@pytest.mark.parametrize(("text", "minutes"), [("90min", 90), ("4h", 240)])
def test_a_duration_stands_in_for_the_end(text: str, minutes: int, tmp_path: Path) -> None:
    put(tmp_path, GOOD.replace("service_restored_at: 2026-11-02T08:20:00+01:00", f"duration: {text}"))
    assert evidence.read(CHOSEN, tmp_path).tests[0].minutes == minutes


@pytest.mark.parametrize(
    ("line", "passed", "validated"),
    [
        ("result: pass", True, False),
        ("result: fail", False, False),
        ("validation: {method: m, result: fail}", False, False),
        ("result: fail\nvalidation: {method: m, result: pass}", False, False),
    ],
)
def test_one_word_of_failure_is_enough(line: str, passed: bool, validated: bool, tmp_path: Path) -> None:
    put(tmp_path, GOOD.replace("validation: {method: looked at, result: pass}", line))
    (found,) = evidence.read(CHOSEN, tmp_path).tests
    assert (found.passed, found.validated) == (passed, validated)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("type: full_vm_or_disk", "type: full", ["a.yaml:3", "cross_region"]),
        ("vms: [{name: App01, resource_group: rg-app}]\n", "", ["a.yaml:1", "vm_id"]),
        ("vms: [{name: App01, resource_group: rg-app}]", "vms: [{name: App01}]", ["a.yaml:2", "resource_group"]),
        ("vms: [{name: App01, resource_group: rg-app}]", "vm_id: app01", ["a.yaml:2", "vm_id"]),
        ("service_restored_at: 2026-11-02T08:20:00+01:00\n", "", ["took some time"]),
        ("service_restored_at: 2026-11-02T08:20", "service_restored_at: 2026-11-01T08:20", ["before started_at"]),
        ("validation: {method: looked at, result: pass}\n", "", ["what came out"]),
        ("method: looked at, ", "methd: looked at, ", ["a.yaml:6", "did you mean 'method'"]),
        ("performed_by: ops", "performed_by: ops\nreviewed_by: Ops", ["same person"]),
        ("performed_by: ops", "performed_by: ' '", ["a.yaml:7", "must say something"]),
        ("id: RT-1", "id: RT-1\nclass: productoin", ["a.yaml:2", "did you mean 'production'"]),
        ("id: RT-1", "id: [", ["a.yaml"]),
    ],
)
def test_what_is_wrong_is_told_with_its_line(old: str, new: str, told: list[str], tmp_path: Path) -> None:
    assert old in GOOD
    put(tmp_path, GOOD.replace(old, new))
    said = "\n".join(faults(tmp_path))
    assert all(text in said for text in told), said


def test_faults_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    put(tmp_path, GOOD.replace("type: full_vm_or_disk", "type: x"))
    put(tmp_path, GOOD.replace("performed_by: ops\n", ""), "evidence/restore-tests/b.yaml")
    put(tmp_path, "runbooks: [{titel: x}]", "evidence/runbooks.yaml")
    said = "\n".join(faults(tmp_path))
    assert all(name in said for name in ("a.yaml:3", "b.yaml:1", "runbooks.yaml:1"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("runbooks:\n  - {title: t, scenarios: [single_vm], owner: o}", ["runbooks.yaml:2", "class or tier"]),
        ("runbooks:\n  - {title: t, tier: hybird, scenarios: [single_vm], owner: o}", ["did you mean 'hybrid'"]),
        ("runbooks:\n  - {title: t, tier: hybrid, scenarios: [], owner: o}", ["runbooks.yaml:2", "scenarios"]),
        ("runbooks:\n  - {title: t, tier: hybrid, scenarios: [single_vm], owner: o, sha256: abc}", ["sha256"]),
    ],
)
def test_what_is_wrong_with_a_runbook_is_told(text: str, told: list[str], tmp_path: Path) -> None:
    put(tmp_path, text, "evidence/runbooks.yaml")
    said = "\n".join(faults(tmp_path))
    assert all(it in said for it in told), said


def test_files_of_two_folders_keep_apart_in_the_bundle_and_read_the_same(tmp_path: Path) -> None:
    text = standard.default_path().read_text(encoding="utf-8").replace("restore-tests/*.yaml", "tests/**/*.yaml")
    (tmp_path / "standard.yaml").write_text(text, encoding="utf-8")
    put(tmp_path, GOOD, "evidence/tests/2025/a.yaml")
    put(tmp_path, GOOD.replace("RT-1", "RT-2"), "evidence/tests/2026/a.yaml")
    found = evidence.read(standard.read(tmp_path / "standard.yaml"), tmp_path)
    assert [name for name, _ in found.texts] == ["restore-tests/a.yaml", "restore-tests/a1.yaml"]
    for name, body in found.texts:
        put(tmp_path / "bundle" / "evidence", body, name)
    assert evidence.of_bundle(tmp_path / "bundle").tests == found.tests


def test_a_bundle_is_read_whatever_the_standard_of_another_day_calls_its_classes(tmp_path: Path) -> None:
    put(tmp_path, GOOD.replace("id: RT-1", "id: RT-1\nclass: of-another-standard"))
    assert evidence.of_bundle(tmp_path).tests[0].class_ == "of-another-standard"
