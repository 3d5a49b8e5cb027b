"""findings.json: the contract, field by field."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import auditor.report
from auditor.report import formats, view
from tests.formats import sample

SCHEMA = json.loads((Path(auditor.report.__file__).parent / "findings.schema.json").read_text(encoding="utf-8"))


def _document(kind: str = "nasty", *, all_rows: bool = False) -> dict[str, Any]:
    raw = formats.find("json").render(view.build(sample.results(kind=kind), view.Presentation(all_rows=all_rows)))
    assert raw.endswith(b"}\n")
    loaded: dict[str, Any] = json.loads(raw.decode("utf-8"))
    return loaded


@pytest.mark.parametrize("kind", ["nasty", "clean", "unknown", "incomplete", "empty"])
@pytest.mark.parametrize("all_rows", [False, True])
def test_the_document_follows_its_schema(kind: str, all_rows: bool) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(_document(kind, all_rows=all_rows), SCHEMA, format_checker=jsonschema.FormatChecker())


def test_the_keys_stand_in_the_order_of_the_contract() -> None:
    document = _document()
    assert list(document) == ["schema_version", "run", "coverage", "population", "rules", "findings", "gate"]
    assert list(document["run"]) == [
        "id", "as_of", "started_at", "finished_at", "tool_version", "rules_digest", "standard", "scope", "identity",
        "cloud", "complete", "manifest_digest", "self_test",
    ]  # fmt: skip
    assert list(document["findings"][0]) == [
        "rule", "resource_id", "resource_type", "resource_name", "resource_group", "subscription_id",
        "subscription_name", "status", "severity", "reason_code", "reason", "evidence", "class",
        "tier", "owner", "due", "group", "serial",
        "waiver", "response", "baseline", "fingerprint", "first_seen",
    ]  # fmt: skip
    assert list(document["rules"][0]) == ["id", "title", "severity", "resource_type", "statuses", "controls"]
    assert list(document["rules"][0]["statuses"]) == [
        "pass",
        "fail",
        "waived",
        "not_yet_due",
        "not_applicable",
        "unknown",
    ]


def test_findings_hold_every_row_but_pass() -> None:
    document = _document()
    assert {row["status"] for row in document["findings"]} == {
        "fail",
        "waived",
        "not_yet_due",
        "not_applicable",
        "unknown",
    }
    told = sum(count for rule in document["rules"] for status, count in rule["statuses"].items() if status != "pass")
    assert len(document["findings"]) == told


def test_all_rows_adds_the_passes() -> None:
    few, many = _document(), _document(all_rows=True)
    passes = [row for row in many["findings"] if row["status"] == "pass"]
    assert len(many["findings"]) == len(few["findings"]) + len(passes)
    assert Counter(row["rule"] for row in passes) == Counter(
        {rule["id"]: rule["statuses"]["pass"] for rule in many["rules"] if rule["statuses"]["pass"]}
    )
    assert {"vm", "snapshot", "vault", "subscription"} <= {row["resource_type"] for row in passes}
    row = passes[0]
    assert row["fingerprint"] == hashlib.sha256(f"{row['rule']}\n{row['resource_id']}".encode()).hexdigest()


def test_passes_that_were_not_read_are_not_left_out_in_silence() -> None:
    report = view.build(replace(sample.results(12), passes={}), view.Presentation(all_rows=True))
    with pytest.raises(ValueError, match="passes are named"):
        formats.find("json").render(report)


def test_times_are_utc_to_the_second_and_due_is_a_date() -> None:
    document = _document()
    assert document["run"]["as_of"] == "2026-11-22T06:00:00Z"
    assert all(row["due"] is None or len(row["due"]) == 10 for row in document["findings"])


def test_hostile_names_arrive_unchanged() -> None:
    names = {row["resource_name"] for row in _document("unknown")["findings"]}
    assert set(sample.HOSTILE_NAMES) <= names


def test_a_number_that_is_none_becomes_null() -> None:
    assert all(row["evidence"]["ratio"] is None for row in _document()["findings"])


def test_a_broken_surrogate_does_not_break_the_document() -> None:
    made = sample.results(12)
    object.__setattr__(made.findings[0], "resource_name", "bad\udc80name")
    raw = formats.find("json").render(view.build(made))
    assert json.loads(raw.decode("utf-8"))["findings"][0]["resource_name"] == "bad\udc80name"
