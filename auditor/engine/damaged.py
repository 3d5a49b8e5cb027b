"""What is said of a bundle whose files are sealed as they are, and yet not what auditor writes."""

from __future__ import annotations

import contextlib
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from auditor.errors import BundleError
from auditor.inventory import store
from auditor.inventory.database import connect
from auditor.standard.selector import quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from auditor.bundle import Bundle

_FINDINGS = dict.fromkeys(("resource_id", "status", "severity", "reason", "waiver_id"), "VARCHAR")
_HISTORY = {"kind": "VARCHAR", "key": "VARCHAR", "first_seen": "TIMESTAMP WITH TIME ZONE"}
_REMEDY = "restore it from a copy"


@contextlib.contextmanager
def reading(found: Bundle, findings: Path | None = None) -> Iterator[None]:
    """Tell what goes wrong while a bundle is read as the bundle's fault, by the file that is to blame.

    Args:
        found: the bundle.
        findings: folder of the findings that are read with it; its own by default.

    Raises:
        BundleError: it does not hold what auditor writes.
    """
    try:
        yield
    except (duckdb.Error, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        demand_tables(found, findings)
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        raise BundleError(f"{found.folder}: is not what auditor writes ({said})", _REMEDY) from error


def demand_tables(found: Bundle, findings: Path | None = None, *, inventory: bool = True) -> None:
    """Make sure that the tables of a bundle can be read and have the columns that they were written with.

    Args:
        found: the bundle.
        findings: folder of its findings; its own by default.
        inventory: False looks at history and findings alone, which is all that the next run reads.

    Raises:
        BundleError: names the file that is to blame.
    """
    with connect() as con:
        expected = {found.history: _HISTORY}
        expected |= dict.fromkeys(sorted((findings or found.folder / "findings").glob("*.parquet")), _FINDINGS)
        expected |= {found.inventory / name: columns for name, columns in (_written(con) if inventory else {}).items()}
        for path, columns in expected.items():
            if not path.exists():
                raise BundleError(f"{path}: is missing", _REMEDY)
            try:
                given = _columns(con, path)
            except duckdb.Error as error:
                raise BundleError(f"{path}: cannot be read: {str(error).splitlines()[0]}", _REMEDY) from error
            for name, kind in columns.items():
                if given.get(name) != kind:
                    said = f"column {name} is {given.get(name, 'missing')}, auditor writes {kind}"
                    raise BundleError(f"{path}: {said}", _REMEDY)


def _written(con: duckdb.DuckDBPyConnection) -> Mapping[str, dict[str, str]]:
    """Give the columns of the inventory's files as this release writes them."""
    with tempfile.TemporaryDirectory(prefix="auditor-") as folder:
        store.build(Path(folder), lambda _table: (), datetime(2026, 1, 1, tzinfo=UTC))
        return {path.name: _columns(con, path) for path in sorted(Path(folder).glob("*.parquet"))}


def _columns(con: duckdb.DuckDBPyConnection, path: Path) -> dict[str, str]:
    rows = con.execute(f"DESCRIBE SELECT * FROM read_parquet({quote(str(path))}, hive_partitioning = false)").fetchall()
    return {str(row[0]): str(row[1]) for row in rows}
