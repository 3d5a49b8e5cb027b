"""What a question file must say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from auditor.inventory import catalogue

if TYPE_CHECKING:
    from pathlib import Path


def test_every_question_says_what_it_needs() -> None:
    for table in catalogue.tables():
        for question in (table.graph, table.rest):
            assert question is None or question.needs, table.name
        if table.graph:
            assert catalogue.QUERYING in table.graph.needs


def test_the_actions_are_reads_without_wildcards() -> None:
    assert len(catalogue.actions()) == len(set(catalogue.actions())) > 30
    for action in catalogue.actions():
        assert "*" not in action
        assert action.endswith("/read") or action == "Microsoft.PolicyInsights/policyStates/queryResults/action"


@pytest.mark.parametrize(
    "needs",
    [
        "",
        "// needs: \n",
        "// needs: Microsoft.Compute/*/read\n",
        "// needs: Microsoft.Compute/disks/write\n",
        "// needs: Microsoft.Compute/register/action\n",
        "// needs: Microsoft.Compute/disks/read,Microsoft.Compute/snapshots/read\n",
    ],
)
@pytest.mark.parametrize(("kind", "head"), [("kql", "// scope: tenant\n"), ("rest", "// for each: vault\n")])
def test_a_question_without_them_is_not_loaded(needs: str, kind: str, head: str, tmp_path: Path) -> None:
    text = "resources\n" if kind == "kql" else "GET /x?api-version=1\n"
    (tmp_path / f"new.{kind}").write_text(head + needs + text)
    (tmp_path / "new.sql").write_text("SELECT 1 AS resource_id,\n")
    with pytest.raises(ValueError, match="say the ARM actions it takes"):
        catalogue._read(tmp_path / "new.sql")
