"""Every comparison of every rule is noticed by one of the rule's own tests when it is changed."""

from __future__ import annotations

import pytest

from auditor import rulebook, standard
from auditor.inventory.facts import Facts
from tests.mutations import mutants, survivors

BOOK = rulebook.read(whole=True)


def test_changes_are_made_and_an_unnoticed_one_is_told() -> None:
    changed = dict(mutants("SELECT CASE WHEN a > 1 THEN 'x' WHEN b IS NULL THEN 'y' ELSE 'z' END FROM t"))
    assert len(changed) == 3
    assert any("a >= 1" in sql for sql in changed.values())


@pytest.mark.parametrize("rule", BOOK.rules, ids=lambda rule: rule.id)
def test_a_rule_has_four_tests_and_sentences_in_both_languages(rule: rulebook.Rule) -> None:
    assert len(rule.file.tests) >= 4
    assert [code for code, said in rule.file.messages.items() if not isinstance(said, dict) or not said.get("de")] == []


@pytest.mark.slow
@pytest.mark.parametrize("rule", BOOK.rules, ids=lambda rule: rule.id)
def test_no_changed_comparison_goes_unnoticed(rule: rulebook.Rule) -> None:
    with Facts.empty(standard.read(standard.default_path())) as empty:
        assert survivors(rule, empty) == []
