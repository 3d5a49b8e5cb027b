"""Response bodies in, typed Parquet tables out: the only place where raw answers become rows."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tzlocal.windows_tz import win_tz

from auditor.inventory import catalogue
from auditor.inventory.database import aside, connect, few_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import duckdb

    from auditor.inventory.catalogue import Table

_WINDOWS = {name.casefold(): place for name, place in win_tz.items()}

MEMORY = "400MB"
"""What DuckDB may hold while tables are built; the rest goes to disk. Less is too little to sort 4 million rows in:
128 MB fail with 2 threads, 256 MB with 16."""
BATCH_BYTES = 8 << 20
"""Response text handed to DuckDB at once: large enough to be worth a statement, small enough to keep memory flat."""
AT_ONCE = 2
"""Batches under way at the same time."""
_ZONES = "CREATE TABLE zone (name VARCHAR, offset_minutes INTEGER)"


@dataclass(frozen=True, slots=True)
class Page:
    """One response body and what it was asked about."""

    subject: str | None
    """Lower-cased ARM id of what the question was about; None for tables read as a whole."""
    body: bytes
    source: str = "graph"
    """`graph` for Resource Graph, `rest` for everything else."""


def build(folder: Path, pages: Callable[[str], Iterable[Page]], as_of: datetime) -> dict[str, int]:
    """Write `<table>.parquet` for every table of the catalogue; give the number of rows of each.

    Args:
        folder: where the Parquet files go; made if need be.
        pages: table name -> its response bodies, in the order received.
        as_of: picks the standard offset of time zones that have changed theirs over the years.
    """
    counts: dict[str, int] = {}
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".load-", dir=folder) as scratch:
        con = connect(str(Path(scratch) / "load.duckdb"), spill=Path(scratch), memory=MEMORY)
        con.execute(f"SET {few_threads()}")
        con.execute("SET preserve_insertion_order = false")
        con.execute(_ZONES)
        for table in catalogue.tables():
            _stage(con, table, pages(table.name))
            if table.name == "backup_policy":
                _zones(con, as_of)
            _finish(con, table, folder / f"{table.name}.parquet", sum(counts.values()))
            found = con.execute(f"SELECT count(*) FROM {table.name}").fetchone()
            counts[table.name] = found[0] if found else 0
        con.close()
    return counts


def lay_empty(con: duckdb.DuckDBPyConnection) -> None:
    """Create every table of the catalogue in the current schema, without rows."""
    con.execute(_ZONES)
    for table in catalogue.tables():
        _form(con, table)
        con.execute(f"CREATE TABLE {table.name} AS {_finished(table, 0)}")
        con.execute("DROP TABLE staged")
    con.execute("DROP TABLE zone")


def _form(con: duckdb.DuckDBPyConnection, table: Table) -> dict[str, str]:
    """Create the table `staged`, still without rows; give the SELECT that fills it by the source of the answers."""
    source = {
        kind: _bare(table.shape_of(kind)).replace(
            "FROM page", f"FROM (SELECT unnest($1) AS subject_no, {kind!r} AS source, unnest($2) AS body)"
        )
        for kind in ("graph", "rest")
    }
    con.execute(f"CREATE TABLE staged AS SELECT * FROM ({source['graph']}) LIMIT 0", [[0], ["{}"]])
    return source


def _stage(con: duckdb.DuckDBPyConnection, table: Table, pages: Iterable[Page]) -> None:
    source = _form(con, table)

    def insert(batch: _Batch) -> None:
        with con.cursor() as own:
            own.execute(f"INSERT INTO staged SELECT * FROM ({source[batch.source]})", [batch.subjects, batch.bodies])

    # One batch is one vector to DuckDB, worked on by one core; so two are under way, and no more: they are memory.
    with ThreadPoolExecutor(AT_ONCE) as pool, _numbers(con, table) as number:
        under_way: deque[Future[None]] = deque()
        for batch in _batches(pages, number):
            if len(under_way) == AT_ONCE:
                under_way.popleft().result()
            under_way.append(pool.submit(insert, batch))
        for future in under_way:
            future.result()


@contextlib.contextmanager
def _numbers(con: duckdb.DuckDBPyConnection, table: Table) -> Iterator[Callable[[str | None], int]]:
    """Give what tells the resource_no of a subject, -1 where there is none. There may be hundreds of thousands."""
    if not table.subject or "subject_no" not in table.shape:
        yield lambda _: -1
        return
    with contextlib.closing(aside()) as keys:
        keys.execute("CREATE TABLE key (id TEXT PRIMARY KEY, number INTEGER) WITHOUT ROWID")
        rows = con.execute(f"SELECT resource_id, resource_no FROM {table.subject} ORDER BY resource_id")
        while some := rows.fetchmany(1000):
            keys.executemany("INSERT INTO key VALUES (?, ?)", some)

        def number(subject: str | None) -> int:
            found = keys.execute("SELECT number FROM key WHERE id = ?", (subject,)).fetchone()
            return found[0] if found else -1

        yield number


def _bare(sql: str) -> str:
    return sql.strip().rstrip(";")


def _text(body: bytes) -> str:
    """Give a body as text that DuckDB takes for JSON: half of a surrogate pair is none to it, but may be sent."""
    text = body.decode("utf-8", errors="replace")
    if "\\ud" in text or "\\uD" in text:
        text = json.dumps(json.loads(text), ensure_ascii=False).encode("utf-8", errors="replace").decode()
    return text


@dataclass(slots=True)
class _Batch:
    """Bodies of one source that are handed over together."""

    source: str
    subjects: list[int] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)
    size: int = 0


def _batches(pages: Iterable[Page], number: Callable[[str | None], int]) -> Iterator[_Batch]:
    batch = _Batch("graph")
    for page in pages:
        if page.source != batch.source or batch.size >= BATCH_BYTES:
            if batch.bodies:
                yield batch
            batch = _Batch(page.source)
        batch.subjects.append(number(page.subject))
        batch.bodies.append(_text(page.body))
        batch.size += len(page.body)
    if batch.bodies:
        yield batch


def _finished(table: Table, offset: int) -> str:
    """Give the SELECT of a table's final rows out of `staged`, numbered from `offset` on where it is keyed."""
    select = _bare(table.finish)
    if not table.keyed:
        return select
    return (
        f"SELECT ({offset} + row_number() OVER (ORDER BY resource_id))::INTEGER AS resource_no, * "
        f"FROM ({select}) WHERE resource_id IS NOT NULL"
    )


def _finish(con: duckdb.DuckDBPyConnection, table: Table, path: Path, offset: int) -> None:
    select = _finished(table, offset)
    columns = {row[0] for row in con.execute("DESCRIBE staged").fetchall()}
    order = "resource_no" if table.keyed else "item_no, point_at DESC, resource_name" if "item_no" in columns else "ALL"
    con.execute(f"COPY ({select} ORDER BY {order}) TO '{_sql_path(path)}' (FORMAT parquet, COMPRESSION zstd)")
    con.execute("DROP TABLE staged")
    con.execute(f"CREATE VIEW {table.name} AS SELECT * FROM read_parquet('{_sql_path(path)}')")


def _sql_path(path: Path) -> str:
    return str(path).replace("'", "''")


def _zones(con: duckdb.DuckDBPyConnection, as_of: datetime) -> None:
    names = [name for (name,) in con.execute("SELECT DISTINCT time_zone FROM staged ORDER BY 1").fetchall()]
    rows = [(name, standard_offset(name, as_of)) for name in {*(n for n in names if n), "UTC"}]
    con.executemany("INSERT INTO zone VALUES (?, ?)", rows)


def standard_offset(zone: str, as_of: datetime) -> int | None:
    """Give the minutes that a zone's standard time is ahead of UTC in the year of `as_of`; None for an unknown zone.

    Args:
        zone: a Windows zone id, as backup policies name it, or an IANA name.
        as_of: an aware moment.
    """
    try:
        info = ZoneInfo(_WINDOWS.get(zone.casefold(), zone))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
    moment = datetime(as_of.year, 1, 1, tzinfo=UTC).astimezone(info)
    offset, saving = moment.utcoffset(), moment.dst()
    if offset is None:
        return None
    return int((offset - saving).total_seconds() // 60) if saving is not None else int(offset.total_seconds() // 60)
