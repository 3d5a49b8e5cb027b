"""Which tables there are: each is a `.sql` (its shape) and, where Resource Graph knows it, a `.kql` (its question)."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "tables"

_ORDER = ("subscription", "management_group", "resource_group", "vault", "backup_policy", "protected_item")
"""Tables that others refer to, loaded first; all others follow by name, those read by REST last."""


@dataclass(frozen=True, slots=True)
class Table:
    """One kind of resource."""

    name: str
    kql: str | None
    """What Resource Graph is asked; None where the table is read by REST alone."""
    tenant_wide: bool
    """False: only the audited subscriptions are asked."""
    shape: str
    """SELECT from `page(subject_no, body)`, one row a response body, into typed columns."""
    finish: str
    """SELECT from `staged` (all rows of shape) into the final rows; may join tables loaded earlier."""

    @property
    def keyed(self) -> bool:
        """True where rows are Azure resources and get a resource_no."""
        return "resource_id" in self.shape


@functools.cache
def tables() -> tuple[Table, ...]:
    """Give all tables in the order they are loaded."""
    found = [_read(path) for path in sorted(FOLDER.glob("*.sql"))]
    rank = {name: number for number, name in enumerate(_ORDER)}
    return tuple(sorted(found, key=lambda t: (rank.get(t.name, len(rank)), t.kql is None, t.name)))


def _read(path: Path) -> Table:
    shape, _, finish = path.read_text(encoding="utf-8").partition(";\n")
    if not finish.strip():
        # A row that came twice (it moved between two pages while they were read) is one resource.
        finish = "SELECT * FROM staged QUALIFY row_number() OVER (PARTITION BY resource_id ORDER BY resource_id) = 1"
    question = path.with_suffix(".kql")
    if not question.exists():
        return Table(path.stem, None, True, shape, finish)
    text = question.read_text(encoding="utf-8")
    scope = re.match(r"// scope: (audited|tenant)\n", text)
    if scope is None:
        raise ValueError(f"{question}: the first line must be `// scope: audited` or `// scope: tenant`")
    return Table(path.stem, text[scope.end() :].strip(), scope[1] == "tenant", shape, finish)


@dataclass(frozen=True, slots=True)
class Column:
    """A documented column."""

    name: str
    doc: str


def columns(sql: str) -> list[Column]:
    """Read the documented columns of a shape or view: `AS name, -- words`."""
    return [Column(name, doc.strip()) for name, doc in re.findall(r"\bAS (\w+),?\s*-- (.+)", sql)]
