"""Interrupted collections: what they had read is kept for some hours, and the same command goes on from it."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

from auditor.bundle.raw import SubjectReader

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import IO

try:
    import fcntl
except ImportError:  # Windows: a collection can't be told from one under way, so none is taken over
    fcntl = None  # type: ignore[assignment]

KEPT_HOURS = 12
"""How long what an interrupted collection had read may be used: its moment is that of the run that goes on."""
PREFIX = ".collecting-"
_MARK = "collecting.json"


class Lock:
    """Says of a folder that somebody writes it; ends with the process."""

    def __init__(self, folder: Path, as_of: datetime, purpose: str) -> None:
        """Take the lock of a new folder and write what the collection is for."""
        self._file: IO[str] = (folder / _MARK).open("w", encoding="utf-8")
        if fcntl is not None:
            fcntl.flock(self._file, fcntl.LOCK_EX)
        json.dump({"as_of": as_of.isoformat(), "purpose": purpose}, self._file)
        self._file.flush()

    def release(self, *, folder: Path | None = None) -> None:
        """Let go; with a folder the mark is removed too, for a bundle that is to be sealed."""
        if folder is not None:
            (folder / _MARK).unlink(missing_ok=True)
        self._file.close()


class Interrupted:
    """A collection that somebody or something stopped, perhaps more than once. Implements `collect.Kept`."""

    def __init__(self, as_of: datetime, stopped: Sequence[tuple[Path, IO[str]]]) -> None:
        """Use `find`."""
        self.as_of, self._stopped = as_of, stopped
        self._points = [SubjectReader(folder, "recovery_point") for folder, _ in stopped]

    def points(self, item_id: str, *, at_rest: bool) -> Sequence[tuple[Mapping[str, Any], bytes]] | None:  # noqa: ARG002
        """Give what had been answered about an item, whatever its state: it is the same run."""
        for reader in self._points:
            found = reader.answers(item_id)
            if found is not None:
                return [({**entry, "resumed": True}, body) for entry, body in found]
        return None

    def discard(self) -> None:
        """Remove it, once it is not needed any more."""
        for folder, lock in self._stopped:
            shutil.rmtree(folder, ignore_errors=True)
            lock.close()


def find(store: Path, purpose: str, as_of: datetime | None = None) -> Interrupted | None:
    """Find the newest interrupted collection that the same command left; remove what is too old for anybody.

    Args:
        store: where it was to become a bundle.
        purpose: what it was for; another one's evidence is not ours.
        as_of: only one of this moment; None: any.
    """
    found: dict[datetime, list[tuple[Path, IO[str]]]] = {}
    stopped: list[Path] = []
    with contextlib.suppress(OSError):  # a store that can't be looked into is told by who writes to it
        stopped = sorted(store.glob(f"{PREFIX}*")) if fcntl is not None and store.is_dir() else []
    for folder in stopped:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            if not (folder / _MARK).exists() and _old(folder):
                shutil.rmtree(folder, ignore_errors=True)  # stopped in the moment of its sealing
            lock = (folder / _MARK).open(encoding="utf-8")
            moment = _left(folder, lock, purpose)
            if moment is None or as_of not in (None, moment):
                lock.close()
            else:
                found.setdefault(moment, []).append((folder, lock))
    if not found:
        return None
    newest = max(found)
    for moment in found.keys() - {newest}:
        Interrupted(moment, found[moment]).discard()
    return Interrupted(newest, found[newest])


def _left(folder: Path, lock: IO[str], purpose: str) -> datetime | None:
    """Give the moment of a collection that nobody writes any more; None where it is not for us.

    Raises:
        OSError: it is under way.
        ValueError: its mark is damaged.
    """
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if _old(folder / _MARK):
        shutil.rmtree(folder, ignore_errors=True)
        return None
    said = json.load(lock)
    return datetime.fromisoformat(said["as_of"]) if said["purpose"] == purpose else None


def _old(path: Path) -> bool:
    return time.time() - path.stat().st_mtime > KEPT_HOURS * 3600
