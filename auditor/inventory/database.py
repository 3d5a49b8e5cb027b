"""Opens DuckDB the one way all stages use it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

if TYPE_CHECKING:
    from pathlib import Path

MEMORY = "700MB"
"""What one database may hold in memory: with the interpreter and the results this stays below 1 GiB for 100,000 VMs."""


def connect(path: str = ":memory:", *, spill: Path | None = None) -> duckdb.DuckDBPyConnection:
    """Open a database in which moments are UTC, and which never writes to the terminal.

    Args:
        path: a file, or memory.
        spill: folder for what does not fit into MEMORY; without it nothing is spilled and memory is not bounded.
    """
    con = duckdb.connect(path, config={"memory_limit": MEMORY, "temp_directory": str(spill)} if spill else {})
    con.execute("SET TimeZone = 'UTC'")
    con.execute("SET enable_progress_bar = false")  # DuckDB would draw it on stdout, into the result
    return con
