"""Changes each comparison in a rule's SQL and demands that one of the rule's own tests notices.

`python -m tests.mutations RULE…` shows what survives; without a name all rules are tried.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import duckdb
import sqlglot
from sqlglot import exp

from auditor import rulebook, standard
from auditor.engine import ruletests
from auditor.errors import DocumentError
from auditor.inventory.facts import Facts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditor.rulebook import Rule

_OTHERS: dict[type[exp.Expression], tuple[type[exp.Expression], ...]] = {
    exp.GT: (exp.GTE, exp.LTE),
    exp.GTE: (exp.GT, exp.LT),
    exp.LT: (exp.LTE, exp.GTE),
    exp.LTE: (exp.LT, exp.GT),
    exp.EQ: (exp.NEQ,),
    exp.NEQ: (exp.EQ,),
}
"""What each comparison is flipped to: its boundary moved, and its opposite. A test of null or membership is negated."""


def mutants(sql: str) -> Iterator[tuple[str, str]]:
    """Give (what was changed, changed SQL) for each comparison that decides something."""
    tree = sqlglot.parse_one(sql, read="duckdb")
    kinds = (*_OTHERS, exp.Is, exp.In)
    count = len(list(tree.find_all(*kinds)))
    for number in range(count):
        node: exp.Expression = list(tree.find_all(*kinds))[number]
        if _joins(node):
            continue
        for other in _OTHERS.get(type(node), (exp.Not,)):
            changed = tree.copy()
            place: exp.Expression = list(changed.find_all(*kinds))[number]
            new = (
                exp.Not(this=place.copy()) if other is exp.Not else other(this=place.this, expression=place.expression)
            )
            place.replace(exp.paren(new) if other is exp.Not else new)
            yield f"{node.sql('duckdb')}  ->  {new.sql('duckdb')}", changed.sql("duckdb")


def _joins(node: exp.Expression) -> bool:
    """Tell whether a comparison says which rows belong together: no verdict hangs on its being an equality."""
    join = node.find_ancestor(exp.Join)
    on = join.args.get("on") if join else None
    return isinstance(node, exp.EQ) and on is not None and any(part is node for part in on.find_all(exp.EQ))


def survivors(rule: Rule, empty: Facts) -> list[str]:
    """Give the changes that no test of the rule notices."""
    left = []
    for said, sql in mutants(rule.file.sql):
        changed = replace(rule, file=rule.file.model_copy(update={"sql": sql}))
        try:
            noticed = any(outcome.failures for outcome in ruletests.run(changed, empty))
        except (DocumentError, duckdb.Error):
            noticed = True
        if not noticed:
            left.append(said)
    return left


def main(names: list[str]) -> int:
    """Print the survivors of the rules named."""
    book = rulebook.read(whole=True)
    left = 0
    with Facts.empty(standard.read(standard.default_path())) as empty:
        for rule in [book.get(name) for name in names] or list(book.rules):
            for said in survivors(rule, empty):
                left += 1
                print(f"{rule.id}: {said}")  # noqa: T201 - this is a command
    print(f"{left} changes unnoticed")  # noqa: T201
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
