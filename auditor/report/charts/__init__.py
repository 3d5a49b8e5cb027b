"""The charts as numbers: shapes that the SVG macros draw, each with the sentence that it shows and its data table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from auditor.model import Status

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date, datetime

    from auditor.model import Machine
    from auditor.numerals import Numerals

WORST_FIRST = (
    Status.FAIL,
    Status.UNKNOWN,
    Status.WAIVED,
    Status.NOT_YET_DUE,
    Status.PASS,
    Status.NOT_APPLICABLE,
)
"""The order in which a resource's verdicts decide what is said of it."""


@dataclass(frozen=True, slots=True)
class Table:
    """The numbers behind a chart: the first column heads the rows, the others are figures."""

    head: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Part:
    """One stretch of a bar."""

    key: str
    """A status, which decides shape and colour, or `plain`."""
    label: str
    value: int
    shade: int | None = None
    """0 is the darkest; None is the status's own colour."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One line of a chart."""

    label: str
    parts: tuple[Part, ...]
    notes: tuple[str, ...] = ()
    """What else is known of it: said behind its length, and columns of the table."""
    group: str = ""
    """What it belongs to; a heading stands over the first bar of each group."""

    @property
    def name(self) -> str:
        """What it is about, with its group."""
        return f"{self.group}: {self.label}" if self.group else self.label

    @property
    def total(self) -> int:
        """The length of the whole bar."""
        return sum(part.value for part in self.parts)


@dataclass(frozen=True, slots=True)
class Chart:
    """Horizontal bars with a takeaway; the same numbers as a table stand beside it."""

    kind: ClassVar[str] = "bars"

    key: str
    takeaway: str
    description: str
    head: str
    """Heading of the label column in the data table."""
    bars: tuple[Bar, ...]
    numerals: Numerals
    each_whole: bool = False
    """True where every bar is drawn at full length, as shares of its own total."""
    noted: tuple[str, ...] = ()
    """Headings of the bars' notes in the data table."""

    @property
    def drawn(self) -> bool:
        """False where the sentence says all."""
        return bool(self.bars)

    @property
    def longest(self) -> int:
        """The total that the full width stands for."""
        return max((bar.total for bar in self.bars), default=0)

    @property
    def shown(self) -> tuple[Part, ...]:
        """A part of each kind that some bar has, in order: what the key of the colours names."""
        kinds = {part.key: part for bar in reversed(self.bars) for part in bar.parts if part.value}
        order = dict.fromkeys(part.key for bar in self.bars for part in bar.parts)
        return tuple(kinds[key] for key in order if key in kinds)

    @property
    def table(self) -> Table:
        """The numbers, a row a bar."""
        columns = tuple(dict.fromkeys(part.label for bar in self.bars for part in bar.parts))
        write = self.numerals.number
        rows = tuple((bar.name, *(write(part.value) for part in bar.parts), *bar.notes) for bar in self.bars)
        return Table(self.head, columns + self.noted, rows)


@dataclass(frozen=True, slots=True)
class Strip:
    """One line of a heat map: a share for each day."""

    label: str
    cells: tuple[float | None, ...]
    """Share of the promised points that are missing, 0 to 1, a day each, oldest first; None where none was promised."""
    promised: int
    missing: int
    longest: int
    """Days of the longest gap."""
    said: str
    """What stands behind the line."""


@dataclass(frozen=True, slots=True)
class HeatMap:
    """Days as columns; the darker a cell, the more of its points are missing."""

    kind: ClassVar[str] = "heat"

    key: str
    takeaway: str
    description: str
    head: str
    columns: tuple[str, str, str]
    """Headings of the data table: promised, missing, longest gap."""
    first: date | None
    """The oldest day."""
    strips: tuple[Strip, ...]
    numerals: Numerals

    @property
    def drawn(self) -> bool:
        """False where the sentence says all."""
        return bool(self.strips)

    @property
    def table(self) -> Table:
        """The numbers, a row a line."""
        rows = ((it.label, *map(self.numerals.number, (it.promised, it.missing, it.longest))) for it in self.strips)
        return Table(self.head, self.columns, tuple(rows))


@dataclass(frozen=True, slots=True)
class Line:
    """One measure over time."""

    key: str
    """A status, which decides shape and colour."""
    label: str
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Trend:
    """Measures of several runs by time; what can't be compared stands apart from the lines."""

    kind: ClassVar[str] = "lines"

    key: str
    takeaway: str
    description: str
    head: str
    moments: tuple[datetime, ...]
    lines: tuple[Line, ...]
    apart: tuple[str, ...]
    """Why a run is no part of the trend, "" where it is."""
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numerals: Numerals

    @property
    def drawn(self) -> bool:
        """False where the sentence says all: one run is no line."""
        return len(self.moments) > 1

    @property
    def highest(self) -> int:
        """The largest value drawn."""
        return max((value for line in self.lines for value in line.values), default=0)

    @property
    def table(self) -> Table:
        """The numbers, a row a run."""
        return Table(self.head, self.columns, self.rows)


AnyChart = Chart | HeatMap | Trend


def judged(machines: Iterable[Machine]) -> list[Machine]:
    """Give the VMs of the judged population."""
    return [machine for machine in machines if machine.excluded_code is None]


def outcome(machine: Machine) -> Status:
    """Say the worst of a VM's verdicts; not applicable where it is outside the judged population."""
    if machine.excluded_code is not None:
        return Status.NOT_APPLICABLE
    seen = set(machine.statuses.values())
    return next((status for status in WORST_FIRST if status in seen), Status.NOT_APPLICABLE)


WITHOUT_ITEM = frozenset({"unprotected", "disk_backup_only", "replicated_only", "snapshot_only", "unsupported", "none"})
"""States of a VM that no protected item names: it has no points that could be read."""


def points_unread(machine: Machine) -> bool:
    """Say whether finding no point of a VM proves nothing, because reading failed."""
    blind = machine.point_count is None or machine.protection == "unknown"
    return blind and machine.protection not in WITHOUT_ITEM
