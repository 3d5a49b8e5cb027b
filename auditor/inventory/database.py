"""Opens DuckDB the one way all stages use it."""

from __future__ import annotations

import duckdb


def connect(path: str = ":memory:", *, memory_limit: str | None = None) -> duckdb.DuckDBPyConnection:
    """Open a database in which moments are UTC, and which never writes to the terminal."""
    con = duckdb.connect(path, config={"memory_limit": memory_limit} if memory_limit else {})
    con.execute("SET TimeZone = 'UTC'")
    con.execute("SET enable_progress_bar = false")  # DuckDB would draw it on stdout, into the result
    return con
