"""Any server that speaks ARM will do: verdicts from one that shares nothing with the simulator."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from auditor import gate, pipeline
from auditor.azure import AzureReader, cloud
from tests.audits import AS_OF, TOKEN, Audited, default_inputs
from tests.azure.other_arm import ONE, TWO, VAULT, OtherArm, item, rows
from tests.azure.runs import hurried, verdicts

if TYPE_CHECKING:
    from pathlib import Path

    from auditor.bundle import Bundle

pytestmark = pytest.mark.slow


def audited(arm: OtherArm, store: Path) -> Audited:
    os.environ["AUDITOR_TOKEN"] = TOKEN

    async def run() -> Bundle:
        async with AzureReader(cloud(arm_endpoint=arm.url + "/"), patience=hurried()) as reader:
            return await pipeline.run(reader, default_inputs(), pipeline.Settings(), store=store, as_of=AS_OF)

    with arm:
        made = asyncio.run(run())
    return Audited(made, pipeline.read(made, default_inputs()), [])


def of(made: Audited, rule: str) -> dict[str, str]:
    """Give group/name -> status of one rule."""
    return {
        f"{i.split('/')[4]}/{i.rsplit('/', 1)[1]}": status
        for (name, i), status in verdicts(made.bundle).items()
        if name == rule
    }


def code(made: Audited) -> int:
    return gate.judge(made.results.findings, made.results.coverage, made.results.gaps, threshold="none").exit_code


@pytest.mark.parametrize("habits", [{}, {"totals": True, "compressed": False}, {"no_list": 404}, {"no_list": 405}])
def test_a_server_of_other_habits_gives_the_same_verdicts(habits: dict[str, Any], tmp_path: Path) -> None:
    made = audited(OtherArm(**habits), tmp_path)
    unprotected = of(made, "vm-unprotected")
    assert unprotected.pop("rg-app/web01") == "pass"
    assert unprotected["rg-other/web01"] in ("fail", "unknown")  # its age was not sent
    assert unprotected["rg-app/web02"] == unprotected["rg-app/bad-tags"] == "fail"
    assert len(unprotected) == 4
    for rule in (
        "backup-rpo-breached",
        "recovery-points-missing",
        "retention-daily-below-standard",
        "vm-protection-stopped",
    ):
        assert of(made, rule)["rg-app/web01"] == "pass", rule
    assert made.results.run.complete
    assert len(made.results.subscriptions) == 2
    assert {s.name for s in made.results.subscriptions} == {"Same name"}


def test_an_item_that_only_the_vault_knows_counts(tmp_path: Path) -> None:
    graph = rows()
    del graph["microsoft.recoveryservices/vaults/backupfabrics/protectioncontainers/protecteditems"]
    made = audited(OtherArm(graph=graph), tmp_path)
    assert of(made, "vm-unprotected")["rg-app/web01"] == "pass"
    assert of(made, "vm-unprotected")["rg-app/web02"] == "fail"


@pytest.mark.parametrize("where", ["https://management.azure.com", "http://127.0.0.1:1"])
def test_the_token_follows_no_link_to_another_server(where: str, tmp_path: Path) -> None:
    arm = OtherArm(link_host=where)
    made = audited(arm, tmp_path)
    assert of(made, "backup-rpo-breached")["rg-app/web01"] == "unknown"
    assert any("which is not Azure" in gap.reason for gap in made.results.gaps)
    assert code(made) == 3


def test_a_machine_may_call_itself_localhost(tmp_path: Path) -> None:
    made = audited(OtherArm(link_host="http://localhost"), tmp_path)
    assert of(made, "recovery-points-missing")["rg-app/web01"] == "pass"


FORMS = [
    b"[]",
    b'{"value": null}',
    b'{"value": ["text"]}',
    b'{"value": [{"id": 5, "properties": "text"}], "nextLink": 7}',
    b"null",
    b"{}",
    b'{"value": {}}',
    b'{"value": [[1]]}',
    b"<html>",
    b"",
    b'"text"',
    b'{"value": [',
]


@pytest.mark.parametrize("body", FORMS)
def test_a_list_of_another_form_is_not_an_empty_list(body: bytes, tmp_path: Path) -> None:
    made = audited(OtherArm(list_body=body), tmp_path)
    unprotected = of(made, "vm-unprotected")
    assert unprotected["rg-app/web01"] == "pass"
    if b'"id": 5' not in body:
        assert unprotected["rg-app/web02"] == "unknown"
    assert code(made) == 3


def test_hostile_text_ends_nowhere_else_than_in_its_cell(tmp_path: Path) -> None:
    graph = rows()
    machines = graph["microsoft.compute/virtualmachines"]
    machines[2]["tags"] = {"a\ud800": "lone surrogate \udfff", "nul\x00": "\x00", "<b>": "=cmd()|' /C calc'!A0"}
    items = [
        item("web01", "rg-App", listed=True),
        {"id": None, "properties": None},
        {"id": "/x/../../etc", "name": "../.."},
    ]
    items.append(item("web02", "../../etc", listed=True))
    made = audited(OtherArm(graph=graph, items=items), tmp_path)
    assert of(made, "vm-unprotected")["rg-app/web02"] == "fail"
    assert made.bundle.damage() == []
    assert [path.name for path in tmp_path.iterdir()] == [made.bundle.folder.name]


def test_raw_answers_are_kept_as_received_but_for_secrets(tmp_path: Path) -> None:
    graph = rows()
    graph["microsoft.compute/virtualmachines"][0]["properties"]["osProfile"] = {
        "adminPassword": "hunter2",
        "customData": "c2VjcmV0",
    }
    graph["microsoft.compute/virtualmachines"][1]["tags"] = {
        "sas": "https://x.blob.core.windows.net/c?sv=1&sig=abcdefSECRET%3D"
    }
    made = audited(OtherArm(graph=graph), tmp_path)
    pages = b"".join(page.body for page in made.bundle.pages("vm"))
    assert b"hunter2" not in pages
    assert b"SECRET" not in pages
    entries = [entry for entry in made.bundle.responses() if entry["table"] == "vm"]
    assert entries[0]["scrubbed"] is True
    assert all(entry["status"] == 200 and len(entry["sha256"]) == 64 for entry in entries)
    assert json.loads(next(iter(made.bundle.pages("vault"))).body)["data"][0]["id"] == VAULT
    subjects = {page.subject for page in made.bundle.pages("recovery_point")}
    assert subjects == {s for s in subjects if s and s.startswith(f"/subscriptions/{TWO}".lower())}
    assert ONE.lower() in made.bundle.covered().subscriptions[0].subscription_id
