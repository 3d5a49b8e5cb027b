"""Opens DuckDB the one way all stages use it."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING

import duckdb

from auditor.standard.selector import quote

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

MEMORY = "700MB"
"""What one database may hold in memory: with the interpreter and the results this stays below 1 GiB for 100,000 VMs."""

DISK_ERRORS = (OSError, duckdb.IOException, duckdb.TransactionException, sqlite3.OperationalError)
"""How a full disk, or a place that takes no files, makes itself known; a commit that fails is one of its ways."""

MOST_THREADS = 4
"""Of a connection whose memory is tightly bounded: each takes some of its own."""


def connect(path: str = ":memory:", *, spill: Path | None = None, memory: str = MEMORY) -> duckdb.DuckDBPyConnection:
    """Open a database in which moments are UTC, and which never writes to the terminal.

    Args:
        path: a file, or memory.
        spill: folder for what does not fit into memory; without it nothing is spilled and memory is not bounded.
        memory: what it may hold in memory, where it has such a folder.
    """
    con = duckdb.connect(path, config={"temp_directory": str(spill) if spill else ""})
    if spill:
        con.execute(f"SET memory_limit = '{memory}'")
    con.execute("SET TimeZone = 'UTC'")
    con.execute("SET enable_progress_bar = false")  # DuckDB would draw it on stdout, into the result
    return con


def aside() -> sqlite3.Connection:
    """Open an empty database for what is looked up one by one, by the hundred thousand.

    It has no name: SQLite makes a temporary file of what outgrows 2 MiB, which vanishes with the connection.
    """
    # Whatever thread the garbage collector runs in may close it.
    con = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    con.execute("PRAGMA journal_mode = OFF")  # it need not outlive a fault
    return con


def few_threads() -> str:
    """Give the setting of as many threads as the machine has cores, but not more than MOST_THREADS."""
    return f"threads = {min(os.cpu_count() or 1, MOST_THREADS)}"


def lock(
    con: duckdb.DuckDBPyConnection,
    memory: int | None,
    files: Collection[Path] = (),
    *,
    folder: Path | None = None,
    spill: int = 0,
) -> None:
    """Let a connection read what it holds and these files, and nothing else ever again.

    This refuses other files, extensions, settings and Python's variables. The gate before it must refuse everything but
    one SELECT over known tables and functions, and the process around it must be bounded (see engine/sandbox).

    Args:
        con: with all its tables and views.
        memory: bytes that queries may hold beside what it holds already; None leaves the limit that it has.
        files: that may still be opened. Give copies: what DuckDB may read it may also overwrite.
        folder: in which files may be written.
        spill: bytes that may be put down in the folder for what does not fit into memory, where it has one.
    """
    found = con.execute("SELECT coalesce(sum(memory_usage_bytes), 0)::BIGINT FROM duckdb_memory()").fetchone()
    held = int(found[0]) if found else 0
    for setting in (
        few_threads(),
        *([] if memory is None else [f"memory_limit = '{held + memory} bytes'"]),
        f"max_temp_directory_size = '{spill} bytes'",
        f"allowed_paths = [{', '.join(quote(str(path)) for path in files)}]",
        *([] if folder is None else [f"allowed_directories = [{quote(str(folder))}]"]),
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "allow_community_extensions = false",
        "python_enable_replacements = false",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        con.execute(f"SET {setting}")
