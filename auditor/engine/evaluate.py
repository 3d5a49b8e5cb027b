"""One rule after the other over the facts: each verdict with its reason and evidence, written as Parquet.

Nobody need trust a rule: its SQL is run in a room of its own (engine/sandbox), one for all rules of a run.
"""

from __future__ import annotations

import builtins
import errno
import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from auditor.engine import waivers as waiving
from auditor.engine.sandbox import MB, ChildError, Limits, Room, SandboxError
from auditor.errors import DocumentError
from auditor.inventory import facts as tables
from auditor.inventory.database import lock
from auditor.inventory.facts import Facts
from auditor.model import Severity, Status
from auditor.rulebook import MATURES
from auditor.standard.selector import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from typing import Self

    from auditor.errors import Fault
    from auditor.inventory.facts import Circumstances
    from auditor.rulebook import Rule, Rulebook

GAP_REASON = "resource_table_incomplete"
CLOCK_REASON = "clock_wrong"
SAMPLE_REASON = "not_sampled"

_STATUSES = ", ".join(quote(status.value) for status in Status if status is not Status.WAIVED)
"""What a rule may say."""
_SEVERITIES = ", ".join(quote(severity.value) for severity in Severity)
_SHIFTED = "['critical', 'high', 'medium', 'low']"
"""What a class may shift a severity within; info stays info."""

_BEHIND = {
    "vm": ("vm", "resource_group"),
    "snapshot": ("snapshot",),
    "disk": ("disk",),
    "vault": ("vault",),
    "backup_policy": ("backup_policy",),
    "protected_item": ("protected_item",),
    "subscription": ("subscription", "vm"),
    "policy_exemption": ("policy_exemption",),
    "class": (),
}
"""Tables that decide who is judged at all: a gap in one makes every verdict on that kind unknown there."""


LIMITS = Limits(memory=700 * MB, seconds=300.0, preparing=3600.0, files="write")
"""Of judging: all rules over 100,000 VMs stay below that much memory, each takes seconds there at most."""
_MOST_SPILLED = 8192 * MB
"""On disk, of what does not fit into memory."""
_ENDLESS = f"v.status = 'not_yet_due' AND NOT v.{MATURES} BETWEEN -1e6 AND 1e6"
"""True of hours that lead to no date."""
_NO_COLUMN_OF_EVIDENCE = ("resource_id", "status", "reason", "severity")


def evaluate(
    book: Rulebook,
    inventory: Path,
    given: Circumstances,
    *,
    folder: Path,
    tell: Callable[[str], None] = lambda _: None,
) -> None:
    """Judge everything; write `<rule>.parquet` per rule into `folder`.

    Columns: resource_no, resource_id, status, severity, reason, evidence (JSON, null for a pass), waiver_id.

    Args:
        book: the rules.
        inventory: folder of the typed tables.
        given: what the tables do not say.
        folder: for the verdicts.
        tell: takes the id of each rule as its turn comes.

    Raises:
        DocumentError: a rule's SQL fails, outlives its limits, or does not give exactly one row per resource.
    """
    with Judging() as judging:
        judging.judge(book, inventory, given, folder=folder, tell=tell)


class Judging:
    """A room for judging, which gets ready while the caller goes on. Use as a context manager."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        """Open the room."""
        self._scratch = tempfile.TemporaryDirectory(prefix="auditor-")
        self._room = Room(Judge, limits)

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the room and remove what it has put down."""
        self._room.__exit__()
        self._scratch.cleanup()

    def stop(self) -> None:
        """End the judging at once, from another thread: `judge` then raises there."""
        self._room.stop()

    def judge(
        self,
        book: Rulebook,
        inventory: Path,
        given: Circumstances,
        *,
        folder: Path,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Judge once; see `evaluate`."""
        folder.mkdir(parents=True, exist_ok=True)
        work = Work(book, inventory.resolve(), given, folder.resolve(), Path(self._scratch.name))
        try:
            self._room.prepare(work, what="laying out the tables for the rules")
            for number, rule in enumerate(book.rules):
                tell(rule.id)
                ask(self._room, rule, number)
        except ChildError as error:
            raise error.like(duckdb, builtins) from error


def ask(room: Room, rule: Rule, task: Any) -> list[Any]:
    """Give a room's answers to a task that is about a rule.

    Raises:
        DocumentError: the rule is wrong, or has outlived its limits: then the room is of no use any more.
    """
    try:
        return list(room.ask(task, what=f"rule {rule.id}"))
    except SandboxError as error:
        raise DocumentError([rule.document.fault(("sql",), error.message, error.hint)]) from error


@dataclass(frozen=True, slots=True)
class Work:
    """What there is to judge."""

    book: Rulebook
    inventory: Path
    given: Circumstances
    folder: Path
    scratch: Path
    """For all that is put down on the way."""


class Judge:
    """The worker in the room: lays out the tables, locks itself in with them, and judges by one rule after another."""

    def __init__(self, setup: Work) -> None:
        """Lay out the tables."""
        tempfile.tempdir = str(setup.scratch)  # the parent clears it away, even when this process is killed
        self._work = setup
        self._facts = Facts.open(setup.inventory, setup.given)
        waiving.lay(self._facts, setup.given.waivers, setup.given.as_of.astimezone(UTC).date())
        copies = setup.scratch / "copies"
        copies.mkdir()
        read = list(_copied(self._facts, setup.inventory, copies))
        lock(self._facts.con, None, read, folder=setup.folder, spill=_MOST_SPILLED)

    def work(self, task: int) -> Iterator[Any]:
        """Judge by a rule; there is nothing to answer."""
        yield from ()
        rule = self._work.book.rules[task]
        try:
            _judge(rule, self._work.book, self._facts, self._work.folder / f"{rule.id}.parquet")
        except duckdb.OutOfMemoryException as error:
            raise MemoryError from error
        except (duckdb.IOException, duckdb.TransactionException) as error:  # the disk's fault, not the rule's
            raise OSError(errno.EIO, str(error).splitlines()[0]) from error
        except duckdb.Error as error:
            said = str(error).splitlines()[0]
            raise DocumentError([rule.document.fault(("sql",), f"rule {rule.id}: {said}")]) from error


def _copied(facts: Facts, inventory: Path, copies: Path) -> Iterator[Path]:
    """Let views read copies of the inventory: what a rule might reach must not be the evidence itself."""
    for table in sorted(tables.still_read(tables.tables())):
        copy = copies / f"{table}.parquet"
        shutil.copyfile(inventory / copy.name, copy)
        rows = f"SELECT * FROM read_parquet({quote(str(copy))}, hive_partitioning = false)"
        facts.con.execute(f"CREATE OR REPLACE VIEW raw.{table} AS {rows}")
        yield copy


def _judge(rule: Rule, book: Rulebook, facts: Facts, path: Path) -> None:
    con, kind = facts.con, rule.file.resource_type
    _lay_subjects(kind, con)
    verdicts, params = _bare(rule.file.sql), dict(book.params[rule.id]) or None
    kinds = {row[0]: row[1] for row in con.execute(f"DESCRIBE {verdicts}", params).fetchall()}
    columns = [name for name in kinds if name not in _NO_COLUMN_OF_EVIDENCE]
    severity = quote(book.severities[rule.id].value)
    # A severity that the organisation has set holds against the rule's own grading.
    if "severity" in kinds and rule.id not in book.overridden:
        severity = f"coalesce(v.severity, {severity})"
    packed = ", ".join(f"{name} := {_rounded(name, kinds[name])}" for name in columns)
    evidence = f"to_json(struct_pack({packed}))" if columns else "'{}'::JSON"
    unsound = f"v.status NOT IN ({_STATUSES})"
    if MATURES in kinds:
        unsound += f" OR {_ENDLESS}"
    # What a rule may not say comes out as null, and is told below. Our own names end in `_`, where a rule may use any.
    con.execute(
        f"""
        COPY (
            WITH verdict AS ({verdicts}
                 ),
                 put AS (
                     -- Points that were not drawn for a sample are no failure to read them.
                     SELECT v.*, n.resource_no AS resource_no_, n.severity_shift AS severity_shift_,
                            {severity} AS severity_,
                            coalesce(n.blind, CASE WHEN v.reason = 'recovery_points_unread' AND n.left_out
                                                   THEN {quote(SAMPLE_REASON)} END) AS blind_,
                            CASE WHEN {unsound} THEN NULL
                                 WHEN blind_ = {quote(SAMPLE_REASON)} AND s.accept_sampling THEN 'not_applicable'
                                 WHEN blind_ IS NOT NULL AND v.status IS NOT NULL THEN 'unknown'
                                 ELSE v.status END AS status_
                     FROM verdict v
                     LEFT JOIN subject_{kind} n ON n.id_hash = hash(v.resource_id)
                     CROSS JOIN setting s
                 ),
                 covering AS (
                     SELECT resource_no, waiver_id, expired FROM waiver WHERE rule = {quote(rule.id)}
                     QUALIFY row_number() OVER (
                         PARTITION BY resource_no ORDER BY expired, expires_on DESC, waiver_id) = 1
                 )
            SELECT v.resource_no_ AS resource_no, v.resource_id,
                   CASE WHEN v.status_ = 'fail' AND w.expired = false THEN 'waived' ELSE v.status_ END AS status,
                   CASE WHEN v.severity_ NOT IN ({_SEVERITIES}) THEN NULL
                        WHEN v.severity_shift_ = 0 OR v.severity_ = 'info' THEN v.severity_
                        ELSE {_SHIFTED}[least(greatest(
                             list_position({_SHIFTED}, v.severity_) - v.severity_shift_, 1), 4)]
                        END AS severity,
                   coalesce(v.blind_, v.reason) AS reason,
                   CASE WHEN v.status_ <> 'pass' THEN {evidence} END AS evidence,
                   CASE WHEN v.status_ = 'fail' THEN w.waiver_id END AS waiver_id
            FROM put v
            LEFT JOIN covering w ON w.resource_no = v.resource_no_
            ORDER BY v.resource_no_
        ) TO {quote(str(path))} (FORMAT parquet, COMPRESSION zstd, DICTIONARY_SIZE_LIMIT 1000)
        """,
        params,
    )
    if not _sound(kind, con, path):
        path.unlink()
        con.execute(f"CREATE OR REPLACE TEMP TABLE verdict AS {verdicts}", params)
        raise DocumentError([_fault(rule, facts, kinds)])


def _bare(sql: str) -> str:
    """Give one SELECT without the semicolon behind it; a comment may be its last line."""
    ends = (at for at, kind in duckdb.tokenize(sql) if kind == duckdb.token_type.operator and sql[at] == ";")
    return sql[: next(ends, len(sql))]


def _sound(kind: str, con: duckdb.DuckDBPyConnection, path: Path) -> bool:
    """Tell whether there is exactly one row per resource, and each has a status and a severity."""
    found = con.execute(
        f"SELECT (SELECT count(*) FROM subject_{kind}), count(*), count(DISTINCT resource_no), count(status), "
        f"count(severity) FROM read_parquet({quote(str(path))}, hive_partitioning = false)"
    ).fetchone()
    return len(set(found or ())) == 1


def _lay_subjects(kind: str, con: duckdb.DuckDBPyConnection) -> None:
    """Lay down, once for all rules about a kind, what is true of each resource of it whatever the rule says.

    Table subject_<kind>: resource_no, id_hash, severity_shift, blind (why nothing can be said), left_out (of a sample).
    """
    behind = ", ".join(quote(table) for table in _BEHIND.get(kind, ()))
    con.execute(
        f"""
        CREATE TEMP TABLE IF NOT EXISTS subject_{kind} AS
        WITH gone AS (
            SELECT DISTINCT subscription_id FROM covered WHERE table_name IN ({behind or "''"}) AND NOT whole
        )
        SELECT n.resource_no, hash(n.resource_id) AS id_hash, coalesce(k.severity_shift, 0) AS severity_shift,
               -- Nothing is said of a list that is not whole, nor by a clock that is wrong.
               CASE WHEN s.clock_wrong THEN {quote(CLOCK_REASON)}
                    WHEN g.subscription_id IS NOT NULL THEN {quote(GAP_REASON)} END AS blind,
               n.resource_no IN (SELECT vm_no FROM protection WHERE left_out_of_sample) AS left_out
        FROM {kind} n
        CROSS JOIN setting s
        LEFT JOIN gone g ON g.subscription_id = n.subscription_id
        LEFT JOIN tier k ON k.tier = n.tier
        ORDER BY n.resource_no
        """
    )


def _rounded(name: str, kind: str) -> str:
    # Engines differ in the last digits of a division: evidence is rounded so that a re-run compares equal.
    if kind.startswith(("DOUBLE", "FLOAT", "DECIMAL")):
        return f"round(v.{name}::DOUBLE, 4)"
    if kind == "HUGEINT":  # what sum() of integers gives
        return f"v.{name}::BIGINT"
    return f"v.{name}"


def _fault(rule: Rule, facts: Facts, columns: Collection[str]) -> Fault:
    """Tell what is wrong with a rule's rows, which lie in the table `verdict`."""
    kind = rule.file.resource_type
    odd = facts.rows(f"SELECT status FROM verdict WHERE status IS NULL OR status NOT IN ({_STATUSES}) LIMIT 1")
    if odd:
        said = f"rule {rule.id} gave the status {odd[0]['status']!r}"
        return rule.document.fault(("sql",), said, f"statuses are {_STATUSES}")
    odd = (
        facts.rows(f"SELECT severity FROM verdict WHERE severity NOT IN ({_SEVERITIES}) LIMIT 1")
        if "severity" in columns
        else []
    )
    if odd:
        said = f"rule {rule.id} gave the severity {odd[0]['severity']!r}"
        return rule.document.fault(("sql",), said, f"severities are {_SEVERITIES}")
    odd = facts.rows(f"SELECT {MATURES} AS hours FROM verdict v WHERE {_ENDLESS} LIMIT 1") if MATURES in columns else []
    if odd:
        said = f"rule {rule.id} gave the {MATURES} {odd[0]['hours']}"
        return rule.document.fault(("sql",), said, "give fewer than a million hours, or null")
    culprit = facts.rows(
        f"SELECT n.resource_id, count(v.resource_id) AS rows FROM {kind} n LEFT JOIN verdict v USING (resource_id) "
        "GROUP BY 1 HAVING count(v.resource_id) <> 1 ORDER BY 1 LIMIT 1"
    )
    shown = f"; {culprit[0]['resource_id']} has {culprit[0]['rows']} rows" if culprit else ""
    given, wanted = facts.population("verdict"), facts.population(kind)
    said = f"rule {rule.id} gave {given} rows for {wanted} resources of kind {kind}{shown}"
    return rule.document.fault(("sql",), said, "give exactly one row per resource")
