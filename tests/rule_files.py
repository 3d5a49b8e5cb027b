"""Makes every test inside a rule file a pytest item: `pytest rules/health/backup-rpo-breached.yaml` runs one rule."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pytest

from auditor import assets, rulebook, standard
from auditor.engine import ruletests
from auditor.inventory.facts import Facts
from auditor.rulebook import gate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    reserved = {"standards", "frameworks"}
    if file_path.suffix != ".yaml" or not file_path.is_relative_to(assets.rules()):
        return None
    inside = file_path.relative_to(assets.rules())
    if len(inside.parts) != 2 or inside.parts[0] in reserved:
        return None
    made: pytest.Collector = RuleFile.from_parent(parent, path=file_path)
    return made


@functools.cache
def empty() -> Facts:
    return Facts.empty(standard.read(standard.default_path()))


@functools.cache
def book() -> rulebook.Rulebook:
    return rulebook.read(whole=True)


@functools.cache
def outcomes(rule_id: str) -> dict[str, ruletests.Outcome]:
    """Run all tests of a rule at once; give them by name."""
    rule = book().get(rule_id)
    gate.demand([rule], ruletests.open_tables())
    return {outcome.name: outcome for outcome in ruletests.run(rule, empty())}


class RuleFile(pytest.File):
    def collect(self) -> Iterator[pytest.Item]:
        rule = book().get(self.path.stem)
        for test in rule.file.tests:
            yield RuleTestItem.from_parent(self, name=test.name)


class RuleTestItem(pytest.Item):
    def runtest(self) -> None:
        failures = outcomes(self.path.stem)[self.name].failures
        if failures:
            pytest.fail("\n".join(failures), pytrace=False)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, self.name
