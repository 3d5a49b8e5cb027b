"""The raw answers of a bundle: a zstd frame for each body, and a line in responses.jsonl that says what it answers."""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import json
import os
import weakref
from array import array
from typing import TYPE_CHECKING, Any

import zstandard

from auditor.bundle.scrub import scrub
from auditor.inventory.database import aside
from auditor.inventory.store import Page

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import BinaryIO, TextIO

GRAPH_PATH = "/providers/microsoft.resourcegraph/resources"
"""Where Resource Graph is asked, lower-case."""

_OF_SUBJECT = """
SELECT position, start, (SELECT min(start) FROM body later WHERE later.start > body.start)
FROM body WHERE subject = ? ORDER BY start
"""


class RawWriter:
    """Appends answers to `raw/` of a folder."""

    def __init__(self, folder: Path) -> None:
        """Write nothing yet."""
        self._folder = folder / "raw"
        self._files: dict[str, BinaryIO] = {}
        self._log: TextIO | None = None
        self._zstd = zstandard.ZstdCompressor(level=3)

    def write(self, table: str, entry: Mapping[str, Any], body: bytes) -> None:
        """Keep a body without its secrets; the digest is of what was received.

        Args:
            table: table it belongs to.
            entry: page, url, sent, scope, status, api_version, request ids, received_at, count, total_records, subject;
                of an answer that was kept from before also sha256 and scrubbed, which then hold.
            body: as received, or as kept.
        """
        clean = scrub(body)
        file = self._files.get(table)
        if file is None:
            self._folder.mkdir(exist_ok=True)
            file = self._files[table] = (self._folder / f"{table}.zst").open("wb")
        line = {
            "table": table,
            "offset": file.tell(),
            **entry,
            "sha256": entry.get("sha256") or hashlib.sha256(body).hexdigest(),
            "scrubbed": entry.get("scrubbed") or (clean is not body and clean != body),
        }
        file.write(self._zstd.compress(clean))
        if self._log is None:
            self._log = (self._folder / "responses.jsonl").open("w", encoding="utf-8")
        self._log.write(json.dumps(line, ensure_ascii=False) + "\n")

    def close(self, *, safely: bool = True) -> None:
        """Finish the files so that they can be read back; `safely` waits until the disk has them."""
        files = (*self._files.values(), *((self._log,) if self._log else ()))
        self._files, self._log = {}, None
        with contextlib.ExitStack() as all_of_them:  # each is closed, though a full disk refuses another
            for file in files:
                all_of_them.callback(file.close)
            for file in files if safely else ():
                file.flush()
                os.fsync(file.fileno())


class RawReader:
    """Reads the answers in `raw/` of a folder back. Of each, 16 bytes are kept in memory: there may be a million."""

    def __init__(self, folder: Path) -> None:
        """Read where each body and its line lie."""
        self._folder = folder / "raw"
        self._lines: dict[str, array[int]] = {}
        self._offsets: dict[str, array[int]] = {}
        for position, entry in _lines(self._folder / "responses.jsonl"):
            self._lines.setdefault(entry["table"], array("Q")).append(position)
            self._offsets.setdefault(entry["table"], array("Q")).append(entry["offset"])

    def pages(self, table: str) -> Iterator[Page]:
        """Give the bodies of a table, in the order received."""
        path = self._folder / f"{table}.zst"
        if table not in self._lines or not path.exists():
            return
        offsets = self._offsets[table]
        ends = itertools.chain(itertools.islice(offsets, 1, None), [path.stat().st_size])
        with path.open("rb") as file, (self._folder / "responses.jsonl").open("rb") as log:
            for position, offset, end in zip(self._lines[table], offsets, ends, strict=True):
                log.seek(position)
                entry = json.loads(log.readline())
                source = "graph" if GRAPH_PATH in str(entry.get("url") or "").lower() else "rest"
                yield Page(entry.get("subject"), _body(file, offset, end), source)


class SubjectReader:
    """Reads all that was answered about one subject of a table, where it is all there."""

    def __init__(self, folder: Path, table: str) -> None:
        """Read which answers there are; those of a collection that was cut off may be damaged."""
        self._log, self._path = folder / "raw" / "responses.jsonl", folder / "raw" / f"{table}.zst"
        self._index = aside()
        weakref.finalize(self, self._index.close)
        self._index.execute("CREATE TABLE body (subject TEXT, position INTEGER, start INTEGER PRIMARY KEY)")
        rows = (
            (str(entry.get("subject")), position, entry["offset"])
            for position, entry in _lines(self._log)
            if entry["table"] == table
        )
        self._index.executemany("INSERT OR REPLACE INTO body VALUES (?, ?, ?)", rows)
        self._index.execute("CREATE INDEX of_subject ON body (subject)")

    def answers(self, subject: str) -> Sequence[tuple[dict[str, Any], bytes]] | None:
        """Give entries and bodies, page after page; None where a page is missing or damaged."""
        found: list[tuple[dict[str, Any], bytes]] = []
        try:
            with self._log.open("rb") as log, self._path.open("rb") as file:
                for position, start, end in self._index.execute(_OF_SUBJECT, (subject,)).fetchall():
                    log.seek(position)
                    entry = json.loads(log.readline())
                    body = _body(file, start, self._path.stat().st_size if end is None else end)
                    if not entry["scrubbed"] and hashlib.sha256(body).hexdigest() != entry["sha256"]:
                        return None
                    found.append(({key: it for key, it in entry.items() if key not in ("table", "offset")}, body))
        except (OSError, ValueError, KeyError, zstandard.ZstdError):
            return None
        numbers = [entry.get("page") for entry, _ in found]
        whole = found and numbers == list(range(1, len(found) + 1)) and found[-1][0].get("more") is False
        return found if whole else None


def entries(folder: Path, name: str = "responses.jsonl") -> Iterator[dict[str, Any]]:
    """Read a log in raw/; a last line that was cut off is left out."""
    return (entry for _, entry in _lines(folder / "raw" / name))


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    if path.exists():
        position = 0
        with path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield position, json.loads(line)
                position += len(line)


def _body(file: BinaryIO, offset: int, end: int) -> bytes:
    file.seek(offset)
    with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(file.read(max(end - offset, 0)))) as frame:
        return frame.read()
