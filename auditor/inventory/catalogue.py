"""Which tables there are. Each is a `.sql` (its shape) and one or two questions.

A `.kql` is asked of Resource Graph, a `.rest` of Resource Manager and the services behind it.
"""

from __future__ import annotations

import functools
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

FOLDER = Path(__file__).parent / "tables"

_ORDER = ("subscription", "management_group", "resource_group", "vault", "backup_policy", "protected_item")
"""Tables that others refer to, loaded first; all others follow by name, those read by REST last."""

Reach: TypeAlias = Literal["audited", "tenant", "everything", "refused"]
"""Which subscriptions a query looks into: the audited ones; all visible ones; none in particular, as for what belongs
to the tenant; or those whose REST question was denied."""

QUERYING = "Microsoft.ResourceGraph/resources/read"
"""What every question to Resource Graph needs beside the right to read what it asks for."""

_ACTION = re.compile(r"Microsoft\.\w+(?:/\w+)+/(?:read|(?<=/queryResults/)action)")
"""The one action that is no `read` is how policy states are queried: by POST."""

# fmt: off
Each: TypeAlias = Literal[
    "tenant", "management group", "subscription", "audited subscription", "vault", "concerned vault", "protected item",
    "restore point collection", "initiative",
]
# fmt: on
"""What a REST question is asked about, once for each. A vault is concerned that lies in an audited subscription or
protects a VM of one."""


@dataclass(frozen=True, slots=True)
class GraphQuestion:
    """What Resource Graph is asked."""

    kql: str
    reach: Reach
    inherited: bool
    """True: rows of the management groups above count too."""
    needs: tuple[str, ...]
    """ARM actions without which it is not answered, or rows are left out."""


@dataclass(frozen=True, slots=True)
class RestQuestion:
    """What is asked about each of some resources."""

    table: str
    each: Each
    service: str
    """`backup`, `policyinsights` (an operation of that SDK), or `GET` (a path below the subject, with its query)."""
    operation: str
    filter: str | None
    """OData filter; {jobs_since} and {as_of} stand for moments."""
    absent: bool
    """True: an answer that there is no such thing (404, 405) says that the resource has none."""
    second: bool
    """True: asks again for what Resource Graph was asked, to hold the two against each other."""
    single: bool
    """True: the answer is one resource, not a list."""
    loaded: bool
    """False: the answers are kept as evidence, but not loaded into the table: their form is another."""
    needs: tuple[str, ...]
    """ARM actions without which it is denied."""


@dataclass(frozen=True, slots=True)
class Column:
    """A documented column."""

    name: str
    doc: str


@dataclass(frozen=True, slots=True)
class Description:
    """A documented table: `-- table: name: words` and its documented columns."""

    name: str
    words: str
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """One kind of resource."""

    name: str
    graph: GraphQuestion | None
    rest: RestQuestion | None
    shape: str
    """SELECT from `page(subject_no, source, body)`, one row a response body, into typed columns."""
    finish: str
    """SELECT from `staged` (all rows of shape) into the final rows; may join tables loaded earlier."""

    def shape_of(self, source: str) -> str:
        """Give the shape for answers of one source: a list has under `value` what Resource Graph has under `data`."""
        if source == "rest" and self.twice:
            return self.shape.replace('{"data": [', '{"value": [').replace(".data) AS r", ".value) AS r")
        return self.shape

    @property
    def twice(self) -> bool:
        """True where two sources tell of the same resources in the same form."""
        return bool(self.graph and self.rest and self.rest.loaded and self.graph.reach != "refused")

    @property
    def asked(self) -> bool:
        """True where it is read resource by resource: coverage then counts the resources asked about."""
        return self.rest is not None and (self.graph is None or self.graph.reach == "refused")

    @property
    def keyed(self) -> bool:
        """True where rows are Azure resources and get a resource_no."""
        return "AS resource_id," in self.shape

    @property
    def subject(self) -> str | None:
        """Name the table whose resource_no is `subject_no`; None where answers are about no row in particular."""
        return {
            "vault": "vault",
            "concerned vault": "vault",
            "protected item": "protected_item",
            "restore point collection": "restore_point_collection",
        }.get(self.rest.each if self.rest else "")

    @property
    def description(self) -> Description:
        """Give its documented form."""
        about = []
        for line in self.shape.splitlines():
            if not line.startswith("-- "):
                break
            about.append(line.removeprefix("-- "))
        key = [Column("resource_no", "key within this bundle")] if self.keyed else []
        return Description(self.name, " ".join(about), (*key, *columns(self.shape), *columns(self.finish)))


@functools.cache
def tables() -> tuple[Table, ...]:
    """Give all tables in the order they are loaded."""
    found = [_read(path) for path in sorted(FOLDER.glob("*.sql"))]
    rank = {name: number for number, name in enumerate(_ORDER)}
    return tuple(sorted(found, key=lambda t: (rank.get(t.name, len(rank)), t.graph is None, t.name)))


@functools.cache
def digest() -> str:
    """Give the SHA-256 of all shapes, less their comments: tables of another digest are made anew from raw answers."""
    shapes = "\n".join(f"{table.name}\n{table.shape}\n{table.finish}" for table in tables())
    return hashlib.sha256(re.sub(r"\s*--[^\n]*", "", shapes).encode()).hexdigest()


def table(name: str) -> Table:
    """Give one table; KeyError where there is none of that name."""
    return {found.name: found for found in tables()}[name]


def query(name: str) -> GraphQuestion:
    """Give what Resource Graph is asked for a table; KeyError where it is not asked."""
    found = table(name).graph
    if found is None:
        raise KeyError(name)
    return found


def question(name: str) -> RestQuestion:
    """Give a table's REST question; KeyError where it has none."""
    found = table(name).rest
    if found is None:
        raise KeyError(name)
    return found


def _read(path: Path) -> Table:
    shape, _, finish = path.read_text(encoding="utf-8").partition(";\n")
    graph, rest = _graph(path.with_suffix(".kql")), _rest(path.with_suffix(".rest"))
    if not finish.strip():
        finish = _LISTED if rest and rest.second and rest.loaded else _ONCE
    return Table(path.stem, graph, rest, shape, finish)


_ONCE = "SELECT * FROM staged QUALIFY row_number() OVER (PARTITION BY resource_id ORDER BY resource_id) = 1"
"""A row that came twice (it moved between two pages while they were read) is one resource."""

_LISTED = """
SELECT *,
    bool_or(source = 'graph') OVER (PARTITION BY resource_id) AS in_graph, -- Resource Graph knew it
    bool_or(source = 'rest') OVER (PARTITION BY resource_id) AS in_list    -- Resource Manager's own list had it
FROM staged QUALIFY row_number() OVER (PARTITION BY resource_id ORDER BY source) = 1
"""
"""Resource Graph sends more of a resource than the list does, so its row is the one that is kept."""


def _graph(path: Path) -> GraphQuestion | None:
    if not path.exists():
        return None
    said, kql = _headed(path)
    reach, _, more = said.get("scope", "").partition(", ")
    if reach not in get_args(Reach) or more not in ("", "inherited"):
        raise ValueError(f"{path}: begin with `// scope: {'|'.join(get_args(Reach))}[, inherited]`")
    needs = (QUERYING, *_needs(path, said))
    return GraphQuestion(kql, reach, more == "inherited", needs)  # type: ignore[arg-type] # checked above


def _rest(path: Path) -> RestQuestion | None:
    if not path.exists():
        return None
    said, text = _headed(path)
    call, _, more = text.partition("\n")
    service, _, operation = call.partition(" ")
    each = said.get("for each", "")
    if each not in get_args(Each) or service not in ("backup", "policyinsights", "GET"):
        raise ValueError(f"{path}: begin with `// for each: {'|'.join(get_args(Each))}`, then the call")
    return RestQuestion(
        table=path.stem,
        each=each,  # type: ignore[arg-type] # checked above
        service=service,
        operation=operation,
        filter=more.strip().removeprefix("filter ") or None,
        absent=said.get("absent") == "none",
        second=said.get("source", "").startswith("second"),
        single=said.get("answer") == "one",
        loaded=not said.get("source", "").endswith(", not loaded"),
        needs=_needs(path, said),
    )


def _needs(path: Path, said: dict[str, str]) -> tuple[str, ...]:
    """Read the actions that a question needs: reads only, none by wildcard."""
    needs = tuple(said.get("needs", "").split(", "))
    if not all(_ACTION.fullmatch(action) for action in needs):
        raise ValueError(f"{path}: say the ARM actions it takes: `// needs: Microsoft.Compute/disks/read[, ...]`")
    return needs


def actions() -> tuple[str, ...]:
    """Give every ARM action that the questions need, in order: what the smallest role allows."""
    asked = [question for table_ in tables() for question in (table_.graph, table_.rest) if question]
    return tuple(sorted({action for question in asked for action in question.needs}, key=str.lower))


def _headed(path: Path) -> tuple[dict[str, str], str]:
    """Part a question into its `// key: value` lines and the rest."""
    head = re.match(r"(?://[^\n]*\n)*", text := path.read_text(encoding="utf-8"))
    end = head.end() if head else 0
    return dict(re.findall(r"^// ([\w ]+): (.+)$", text[:end], flags=re.MULTILINE)), text[end:].strip()


def columns(sql: str) -> list[Column]:
    """Read the documented columns of a shape or view: `AS name, -- words`."""
    return [Column(name, doc.strip()) for name, doc in re.findall(r"\bAS (\w+),? *-- (.+)", sql)]


def described(sql: str) -> dict[str, Description]:
    """Read the documented tables of a file of statements, by name; a mere step has no `-- table:` line."""
    found = {}
    for statement in statements(sql):
        head = re.search(r"^CREATE (?:TABLE|VIEW) (\w+) AS\n-- table: \1: (.+)$", statement, flags=re.MULTILINE)
        if head:
            found[head[1]] = Description(head[1], head[2], tuple(columns(statement)))
    return found


def statements(sql: str) -> list[str]:
    """Split a file of CREATE statements; each keeps the comment above it."""
    return [text for text in re.split(r"(?<=;)\n(?=\s*(?:--|CREATE)|\s*$)", sql) if text.strip()]
