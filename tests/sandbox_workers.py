"""Workers for the sandbox's tests: a child imports them by name."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Odd:
    """Does what it is told, good or bad."""

    def __init__(self, setup: Any) -> None:
        self.setup = setup
        if setup == "wrong":
            raise UsageError("the setup is wrong", "mend it")
        if setup == "sleep":
            time.sleep(60)
        if setup == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)

    def work(self, task: Any) -> Iterator[Any]:
        yield from getattr(self, f"_{task[0]}")(*task[1:])

    def _count(self, end: int) -> Iterator[int]:
        yield from range(end)

    def _setup(self) -> Iterator[Any]:
        yield self.setup

    def _take(self, size: int) -> Iterator[int]:
        yield len(bytearray(size))

    def _text(self, size: int) -> Iterator[str]:
        yield "x" * size

    def _spin(self) -> Iterator[int]:
        yield 0
        while True:
            pass

    def _sleep(self, seconds: float) -> Iterator[int]:
        time.sleep(seconds)
        yield 1

    def _drip(self, times: int, seconds: float) -> Iterator[int]:
        for number in range(times):
            time.sleep(seconds)
            yield number

    def _kill(self, number: int) -> Iterator[int]:
        yield 1
        os.kill(os.getpid(), number)

    def _leave(self, code: int) -> Iterator[int]:
        yield 1
        os._exit(code)

    def _wrong(self) -> Iterator[int]:
        if self.setup is None:
            raise UsageError("this is wrong", "mend it")
        yield 1

    def _bug(self) -> Iterator[int]:
        yield 1 // 0

    def _print(self, text: str) -> Iterator[str]:
        print(text)  # noqa: T201 - what a library might do
        os.write(1, text.encode())
        yield text

    def _read(self, path: str) -> Iterator[str]:
        try:
            yield Path(path).read_text(encoding="utf-8")
        except OSError as error:
            yield type(error).__name__

    def _write(self, path: str) -> Iterator[str]:
        try:
            with Path(path).open("w", encoding="utf-8") as file:
                file.write("x")
            yield "written"
        except OSError as error:
            yield type(error).__name__

    def _call_out(self) -> Iterator[str]:
        try:
            with socket.socket():
                yield "a socket"
        except OSError as error:
            yield type(error).__name__

    def _surroundings(self) -> Iterator[Any]:
        import json  # noqa: PLC0415 - imported long ago; from where is asked

        yield {"environment": sorted(os.environ), "json": json.__file__, "pid": os.getpid()}


class Sql:
    """Runs any SQL in a locked DuckDB, without a gate: what the lock and the limits hold alone."""

    def __init__(self, setup: Any) -> None:
        from auditor.inventory.database import connect, lock  # noqa: PLC0415

        self._con = connect()
        self._con.execute("CREATE TABLE t AS SELECT range AS i FROM range(100000)")
        lock(self._con, setup["memory"], [Path(path) for path in setup.get("files", ())])

    def work(self, task: Any) -> Iterator[Any]:
        import duckdb  # noqa: PLC0415

        try:
            yield str(self._con.execute(task).fetchmany(3))
        except duckdb.OutOfMemoryException as error:
            raise MemoryError from error
        except duckdb.Error as error:
            raise UsageError(str(error)) from error
