"""What later questions are asked about. There may be hundreds of thousands, so they lie on disk, not in memory."""

from __future__ import annotations

import re
import weakref
from collections.abc import MutableMapping
from typing import TYPE_CHECKING

from auditor.inventory.database import aside

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Subjects(MutableMapping[str, str]):
    """Lower-cased id -> id as Azure wrote it, in order of the subscription and the id."""

    def __init__(self, ids: Iterable[tuple[str, str]] = ()) -> None:
        """Begin with these."""
        self._db = aside()
        weakref.finalize(self, self._db.close)
        self._db.execute("CREATE TABLE id (place TEXT, key TEXT, written TEXT, PRIMARY KEY (place, key)) WITHOUT ROWID")
        self.update(ids)

    def __setitem__(self, key: str, written: str) -> None:
        """Enter an id, or how it is written."""
        self._db.execute("INSERT OR REPLACE INTO id VALUES (?, ?, ?)", (place_of(key), key, written))

    def __getitem__(self, key: str) -> str:
        """Give an id as it is written."""
        found = self._db.execute("SELECT written FROM id WHERE place = ? AND key = ?", (place_of(key), key)).fetchone()
        if found is None:
            raise KeyError(key)
        return str(found[0])

    def __delitem__(self, key: str) -> None:
        """Take an id out."""
        if not self._db.execute("DELETE FROM id WHERE place = ? AND key = ?", (place_of(key), key)).rowcount:
            raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        """Give the lower-cased ids."""
        return (key for (key,) in self._db.execute("SELECT key FROM id ORDER BY place, key"))

    def __len__(self) -> int:
        """Count them."""
        return int(self._db.execute("SELECT count(*) FROM id").fetchone()[0])

    def places(self) -> dict[str, int]:
        """Count the ids of each subscription; "" is the tenant."""
        return dict(self._db.execute("SELECT place, count(*) FROM id GROUP BY place"))

    def of(self, place: str) -> Iterator[str]:
        """Give the lower-cased ids of a subscription."""
        return (key for (key,) in self._db.execute("SELECT key FROM id WHERE place = ? ORDER BY key", (place,)))

    def parents(self, below: str) -> set[str]:
        """Give the different texts that stand before `below` in the lower-cased ids that have it."""
        begins = "SELECT DISTINCT substr(key, 1, instr(key, ?1) - 1) FROM id WHERE instr(key, ?1) > 0"
        return {parent for (parent,) in self._db.execute(begins, (below,))}


def place_of(key: str) -> str:
    """Give the subscription of a lower-cased id; "" for what belongs to the tenant."""
    found = re.match(r"/subscriptions/([^/]+)", key)
    return found[1] if found else ""
