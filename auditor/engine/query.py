"""`auditor query`: one SELECT over a bundle's tables, in a room of its own."""

from __future__ import annotations

import functools
import itertools
import json
import re
import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.engine.sandbox import MB, Limits, Room
from auditor.errors import BundleError, UsageError
from auditor.inventory import catalogue, facts
from auditor.inventory.catalogue import described, statements
from auditor.standard.selector import quote

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from typing import Self

    import duckdb

    from auditor.bundle import Bundle
    from auditor.inventory.catalogue import Description

_VERDICT = ("rule", "resource_no", "resource_id", "status", "severity", "reason", "evidence", "waiver_id")
_READ = [
    dict.fromkeys(("table", "subscription_id", "state", "reason"), "VARCHAR")
    | dict.fromkeys(("expected", "received"), "BIGINT")
]
_COVERAGE = json.dumps(
    {
        "coverage": _READ,
        "second": _READ,
        "gaps": [dict.fromkeys(("table", "resource_id", "state", "reason"), "VARCHAR")],
    }
)
"""The form of coverage.json."""
_ENDS = {datetime.max.replace(tzinfo=UTC): "infinity", datetime.min.replace(tzinfo=UTC): "-infinity"}
"""How DuckDB gives the moments without end."""
_SQL = Path(__file__).with_suffix(".sql")
_MEMORY = 1024 * MB
"""Enough to group the verdicts of 100,000 VMs by resource."""
_BATCH_ROWS = 256
_BATCH_CHARACTERS = 1 * MB
_LONGEST_VALUE = 16 * MB
_NUMBERS = re.compile(r"(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|DOUBLE|FLOAT|DECIMAL\(.+\))")


@functools.cache
def own_tables() -> Mapping[str, Description]:
    """Give the tables that only queries read: verdicts, coverage, gaps, history."""
    return described(_SQL.read_text(encoding="utf-8"))


@functools.cache
def offered() -> Mapping[str, Description]:
    """Give every table that a query may name: those of rules, those of queries, the inventory, and that as `raw.`.

    A plain name is what rules see by it; where rules see no such table it is the inventory's.
    """
    raw = {table.name: table.description for table in catalogue.tables()}
    return {
        **facts.described_tables(),
        **own_tables(),
        **{name: table for name, table in raw.items() if name not in facts.described_tables()},
        **{f"raw.{name}": table for name, table in raw.items()},
    }


@dataclass(slots=True)
class Answer:
    """What came out: columns, then rows as they come."""

    names: tuple[str, ...]
    numeric: tuple[bool, ...]
    """Which columns hold numbers."""
    rows: Iterator[list[Any]]
    """Batches of rows. A row is a list of texts, None for null; or the text of a JSON object, where that was wanted."""
    cut: bool = False
    """True, once all rows were taken, where there are more than the limit let through."""


class Query:
    """One query in a room of its own, which is opened at once and prepares itself meanwhile. Use as context manager."""

    def __init__(self, sql: str, *, seconds: float) -> None:
        """Take the SQL and the seconds it may take, its tables' loading included."""
        self._sql = sql
        self._copies = tempfile.TemporaryDirectory(prefix="auditor-")
        self._room = Room(Tables, Limits(memory=_MEMORY, seconds=seconds, files="read"))

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the room."""
        self._room.__exit__()
        self._copies.cleanup()

    def idle(self) -> contextlib.AbstractContextManager[None]:
        """Stop the clock while somebody reads."""
        return self._room.idle()

    def of(self, found: Bundle, *, as_json: bool = False, limit: int | None = None) -> Answer:
        """Ask a bundle.

        Raises:
            DocumentError: the SQL may not run, or fails.
            SandboxError: it outlived its limits.
        """
        setup = {
            "bundle": str(found.folder.resolve()),
            "copies": self._copies.name,
            "sql": self._sql,
            "memory": self._room.limits.memory,
        }
        self._room.prepare(setup, what="the query")
        told = self._room.ask({"json": as_json, "limit": limit}, what="the query", anew=False)
        head = next(told)
        answer = Answer(tuple(map(str, head["names"])), tuple(map(bool, head["numeric"])), iter(()))
        answer.rows = _rows(told, answer)
        return answer


def _rows(told: Iterator[Any], answer: Answer) -> Iterator[list[Any]]:
    for message in told:
        if isinstance(message, dict):
            answer.cut = bool(message["cut"])
        else:
            yield message


class Tables:
    """The worker in the room: checks the SQL, lays out the tables it names, locks them in, and answers."""

    def __init__(self, setup: Any) -> None:
        """Lay out what the query names."""
        # The parent only describes tables: what follows is the child's alone.
        import duckdb  # noqa: PLC0415

        from auditor.bundle import Bundle  # noqa: PLC0415
        from auditor.engine import querygate  # noqa: PLC0415
        from auditor.inventory.database import connect, lock  # noqa: PLC0415

        self._sql = str(setup["sql"])
        with connect() as con:
            read = querygate.check(self._sql, offered().keys(), con)
        self._columns = {column.name for name in read for column in offered()[name].columns}
        copies, folder = Path(setup["copies"]), Path(setup["bundle"])
        try:
            self._con = _Layout(Bundle(folder), copies).lay(read)
        except (duckdb.Error, OSError) as error:
            said = str(error).splitlines()[0]
            raise BundleError(f"{folder}: {said}", "use the version of auditor that made it, or a newer one") from error
        lock(self._con, int(setup["memory"]), sorted(copies.iterdir()))
        self._con.execute("SELECT now()").fetchall()  # Python reads its time zone from a file, once

    def work(self, task: Any) -> Iterator[Any]:
        """Run the query: its columns, batches of rows, and whether the limit cut it short."""
        import duckdb  # noqa: PLC0415

        from auditor.engine import querygate  # noqa: PLC0415

        try:
            yield from self._answer(task["limit"], as_json=bool(task["json"]))
        except duckdb.OutOfMemoryException as error:
            raise MemoryError from error
        except duckdb.Error as error:
            raise querygate.told(error, self._columns) from error

    def _answer(self, limit: int | None, *, as_json: bool) -> Iterator[Any]:
        done = self._con.execute(self._sql)
        about = done.description or []
        kinds = [str(column[1]) for column in about]
        names = [str(column[0]) for column in about]
        yield {"names": names, "numeric": [bool(_NUMBERS.fullmatch(kind)) for kind in kinds]}
        show = _Objects(names, kinds) if as_json else _texts
        batch: list[Any] = []
        size = count = 0
        while rows := self._fetch(done):
            for row in rows:
                if count == limit:
                    yield batch
                    yield {"cut": True}
                    return
                shown = show(row)
                batch.append(shown)
                count += 1
                size += len(shown) if isinstance(shown, str) else sum(len(text or "") for text in shown)
                if size > _BATCH_CHARACTERS:
                    yield batch
                    batch, size = [], 0
            if batch:
                yield batch
                batch, size = [], 0
        yield {"cut": False}

    @staticmethod
    def _fetch(done: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
        try:
            return done.fetchmany(_BATCH_ROWS)
        except (ValueError, OverflowError) as error:
            raise UsageError(f"SQL: a value cannot be shown: {error}", "cast it to VARCHAR") from error


class _Layout:
    """Lays out a bundle's tables for a query: in the schema `offered` by their plain names, in `raw` as they are.

    What is read from Parquet is copied first: DuckDB cannot be made to read a file without being able to overwrite it,
    and a bundle is evidence. To load the tables into memory instead took 18 times as long for 2 million verdicts.
    """

    def __init__(self, found: Bundle, copies: Path) -> None:
        from auditor import standard  # noqa: PLC0415

        self._bundle = found
        self._copies = copies
        self._standard = standard.read(found.folder / "standard.yaml")

    def lay(self, read: Collection[str]) -> duckdb.DuckDBPyConnection:
        """Give a connection on which these tables on offer can be read."""
        from auditor import standard  # noqa: PLC0415
        from auditor.inventory.facts import Circumstances, Facts  # noqa: PLC0415
        from auditor.standard import evidence  # noqa: PLC0415

        covered = self._bundle.covered()
        of_rules = [name for name in read if name in facts.tables()]
        given = Circumstances(
            self._bundle.as_of,
            self._standard,
            coverage=covered.coverage,
            gaps=covered.gaps,
            second=covered.second,
            sampled=covered.sampled,
            history=self._bundle.history,
            waivers=standard.read_waivers(self._bundle.folder / "waivers.yaml", self._standard),
            evidence=evidence.of_bundle(self._bundle.folder),
        )
        con = self._con = Facts.open(self._bundle.inventory, given, only=of_rules).con
        con.execute("CREATE SCHEMA offered")
        for name in read:
            if name in of_rules:
                con.execute(f"CREATE VIEW offered.{name} AS SELECT * FROM main.{name}")
            elif name in own_tables():
                self._own(name)
            elif not name.startswith("raw."):
                con.execute(f"CREATE VIEW offered.{name} AS SELECT * FROM raw.{name}")
        own = {"finding": {table.name for table in catalogue.tables() if table.keyed}, "coverage": {"subscription"}}
        behind = {name.removeprefix("raw.") for name in read if name not in of_rules}
        behind = behind.union(facts.still_read(of_rules), *(own.get(name, ()) for name in read))
        for table in catalogue.tables():
            if table.name in behind:
                copy = self._copy(self._bundle.inventory / f"{table.name}.parquet")
                con.execute(f"CREATE OR REPLACE VIEW raw.{table.name} AS SELECT * FROM {_parquet([copy])}")
        con.execute("SET search_path = 'offered,main'")
        return con

    def _copy(self, path: Path) -> Path:
        copy = self._copies / path.name
        shutil.copyfile(path, copy)
        copy.chmod(0o400)
        return copy

    def _own(self, name: str) -> None:
        """Lay out a table of query.sql."""
        if name == "finding":
            self._verdicts()
        elif name in ("coverage", "gap"):
            text = (self._bundle.folder / "coverage.json").read_text(encoding="utf-8")
            self._con.execute("CREATE OR REPLACE TABLE told AS SELECT unnest(from_json($1, $2))", [text, _COVERAGE])
        for statement in statements(_SQL.read_text(encoding="utf-8")):
            head = f"CREATE VIEW {name} AS"
            if head in statement:
                self._con.execute(statement.replace(head, f"CREATE VIEW offered.{name} AS"))

    def _verdicts(self) -> None:
        """Lay out what `finding` is made of: the files, the rules, the waivers, and the names as created."""
        from auditor import rulebook, standard  # noqa: PLC0415

        found = self._bundle.folder
        files = [self._copy(path) for path in sorted((found / "findings").glob("*.parquet"))]
        rows = f"SELECT parse_filename(filename, true) AS rule, * EXCLUDE (filename) FROM {_parquet(files, named=True)}"
        none = f"SELECT {', '.join(f'NULL::VARCHAR AS {column}' for column in _VERDICT)} LIMIT 0"
        self._con.execute(f"CREATE VIEW found AS {rows if files else none}")
        rules = rulebook.read([found / "rules"], self._standard.file.rules, shipped=False).rules
        waivers = standard.read_waivers(found / "waivers.yaml", self._standard)
        self._fill(
            "ruled",
            ("rule", "area", "title", "resource_type"),
            [(rule.id, rule.area, rule.file.title, rule.file.resource_type) for rule in rules],
        )
        self._fill(
            "waived",
            ("waiver_id", "reason", "approver", "expires_on", "ticket"),
            [(w.id, w.reason, w.approver, w.expires_on.isoformat(), w.ticket) for w in waivers],
        )
        own = {"protected_item": "coalesce(friendly_name, resource_name)"}
        names = [
            f"SELECT resource_no, {own.get(t.name, 'resource_name')} AS resource_name FROM raw.{t.name}"
            for t in catalogue.tables()
            if t.keyed
        ]
        names += [f"SELECT {n}, {quote(name)}" for n, name in facts.numbered(self._standard, waivers)]
        self._con.execute(f"CREATE VIEW named AS {' UNION ALL '.join(names)}")

    def _fill(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self._con.execute(f"CREATE TABLE {table} ({', '.join(f'{column} VARCHAR' for column in columns)})")
        if rows:
            self._con.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' for _ in columns)})", rows)


def _parquet(files: Sequence[Path], *, named: bool = False) -> str:
    listed = ", ".join(quote(str(path)) for path in files)
    return f"read_parquet([{listed}], filename = {named}, union_by_name = true, hive_partitioning = false)"


def _texts(row: tuple[Any, ...]) -> list[str | None]:
    return [None if value is None else _short(_text(value)) for value in row]


def _short(text: str) -> str:
    if len(text) > _LONGEST_VALUE:
        raise UsageError(f"SQL: a value is longer than {_LONGEST_VALUE // MB} MB", "ask for a part of it")
    return text


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, dict | list | tuple):
        return json.dumps(_plain(value), ensure_ascii=False)
    return repr(value) if isinstance(value, float) else str(_plain(value))


class _Objects:
    """Makes the text of a JSON object of each row."""

    def __init__(self, names: list[str], kinds: list[str]) -> None:
        self._json = [kind == "JSON" for kind in kinds]
        taken: set[str] = set()
        self._names = []
        for name in names:
            # An object has no two keys of one name; DuckDB names such columns so in a subquery.
            numbered = (f"{name}_{number}" for number in itertools.count(1))
            own = next(choice for choice in (name, *itertools.islice(numbered, len(names))) if choice not in taken)
            taken.add(own)
            self._names.append(own)

    def __call__(self, row: tuple[Any, ...]) -> str:
        values = [_parsed(v) if is_json else _plain(v) for v, is_json in zip(row, self._json, strict=True)]
        whole = dict(zip(self._names, values, strict=True))
        return _short(json.dumps(whole, ensure_ascii=False, allow_nan=False))


def _parsed(value: Any) -> Any:
    try:
        return _plain(json.loads(value)) if isinstance(value, str) else value
    except ValueError:
        return value


def _plain(value: Any) -> Any:
    """Give a value as JSON has it: moments in ISO and UTC, decimals as numbers, bytes in hex."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None  # JSON has no infinity, and no NaN
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {_key(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return _moment(value) if isinstance(value, date) else value.hex() if isinstance(value, bytes) else str(value)


def _key(key: Any) -> str:
    return key if isinstance(key, str) else _text(key)


def _moment(value: date) -> str:
    """Give a date or a moment in ISO; a moment without a zone is UTC here."""
    if not isinstance(value, datetime):
        return {date.max: "infinity", date.min: "-infinity"}.get(value) or value.isoformat()
    moment = value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    return _ENDS.get(moment) or moment.replace(tzinfo=None).isoformat() + "Z"
