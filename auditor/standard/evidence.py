"""Proof of recovery that Azure does not hold: restore tests and runbooks, as people declare them in YAML files."""

from __future__ import annotations

import glob
import itertools
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from auditor.document import did_you_mean, load
from auditor.errors import DocumentError, Fault
from auditor.standard.schema import SCENARIOS, Part, RestoreType, Said
from auditor.standard.selector import Texts  # noqa: TC001 - pydantic reads the annotation

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable, Sequence
    from pathlib import Path
    from typing import Self

    from auditor.document import Document
    from auditor.standard import Standard

FOLDER = "evidence"
"""Of the copies in a bundle."""
_TESTS, _RUNBOOKS = "restore-tests", "runbooks.yaml"
UNCLASSIFIED = "(unclassified)"
"""Stands for the VMs that no class matches."""


def _in_utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


Moment = Annotated[datetime, AfterValidator(_in_utc)]
"""One without a zone is UTC."""
Digest = Annotated[str, StringConstraints(to_lower=True, pattern="^[0-9a-fA-F]{64}$")]
Span = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]*(min|h)$")]
Named = Annotated[Said, BeforeValidator(str)]
Outcome = Literal["pass", "fail"]
VmId = Annotated[str, StringConstraints(strip_whitespace=True, to_lower=True, pattern="^/[sS]ubscriptions/.+$")]


class Tested(Part):
    """A VM that was recovered: by its ARM id, or by name and resource group."""

    id: VmId | None = None
    name: Said | None = None
    resource_group: Said | None = None
    subscription: Said | None = Field(default=None, description="id or name, where a group's name is not enough")

    @model_validator(mode="after")
    def _is_named(self) -> Self:
        if (self.id is None) == (self.name is None or self.resource_group is None):
            raise ValueError("name the VM by id, or by name and resource_group")
        return self


class Point(Part):
    """The recovery point that was restored."""

    time: Moment | None = None
    tier: Literal["InstantRP", "HardenedRP", "ArchivedRP"] | None = None


class Target(Part):
    """Where it was restored to."""

    resource_group: str | None = None
    region: str | None = None
    isolated_network: bool = False


class Validation(Part):
    """How somebody made sure that what was restored works."""

    method: Said
    result: Outcome
    performed_by: Named | None = None


class Attachment(Part):
    """A document beside the record, known by its hash."""

    file: Said
    sha256: Digest


class RestoreRecord(Part):
    """A restore test: one YAML file each."""

    id: Named
    vm_id: VmId | None = Field(default=None, description="short for one VM by its id")
    vms: list[Tested] = Field(default=[], description="VMs that were recovered")
    class_: Named | None = Field(default=None, alias="class", description="counts for VMs of this class alone")
    type: RestoreType
    recovery_point: Point = Point()
    started_at: Moment = Field(description="when the recovery was asked for; rehydration counts")
    service_restored_at: Moment | None = Field(default=None, description="when the service ran again")
    duration: Span | None = Field(default=None, description="instead of service_restored_at: 90min, 4h")
    target: Target = Target()
    job_id: Annotated[str, BeforeValidator(str)] | None = Field(
        default=None, description="of the restore job in the vault"
    )
    result: Outcome | None = Field(default=None, description="that of the validation by default")
    validation: Validation | None = Field(default=None, description="without one the test does not count")
    performed_by: Named
    reviewed_by: Named | None = None
    cleanup_done_at: Moment | None = None
    attachments: list[Attachment] = Field(default=[])
    note: str | None = None

    @model_validator(mode="after")
    def _is_honest(self) -> Self:
        if bool(self.vm_id) == bool(self.vms):
            raise ValueError("name what was recovered: vm_id, or a list under vms")
        if self.result is None and self.validation is None:
            raise ValueError("say what came out: result, or validation.result")
        if self.service_restored_at is not None and self.service_restored_at < self.started_at:
            raise ValueError("service_restored_at lies before started_at")
        if self.passed and self.minutes is None:
            raise ValueError("a test that passed took some time: give service_restored_at or duration")
        if self.reviewed_by and self.reviewed_by.casefold() == self.performed_by.casefold():
            raise ValueError("performed_by and reviewed_by are the same person; a review needs a second pair of eyes")
        return self

    @property
    def passed(self) -> bool:
        """Tell whether nobody says that it failed."""
        return "fail" not in (self.result, self.validation and self.validation.result)

    @property
    def validated(self) -> bool:
        """Tell whether somebody made sure that what was restored works."""
        return self.validation is not None and self.passed

    @property
    def minutes(self) -> float | None:
        """Give how long it took until the service ran again; None where nobody says."""
        if self.service_restored_at is not None:
            return (self.service_restored_at - self.started_at).total_seconds() / 60
        if self.duration is None:
            return None
        return int(re.sub(r"\D", "", self.duration)) * (60 if self.duration.endswith("h") else 1)

    @property
    def tested(self) -> list[Tested]:
        """Give the VMs, however they are named."""
        return [Tested(id=self.vm_id)] if self.vm_id else self.vms


class Runbook(Part):
    """A recovery procedure: where it is, what it is for, and who stands behind it."""

    title: Said
    class_: Texts | None = Field(default=None, alias="class", description="classes that it is for")
    tier: Texts | None = Field(default=None, description="tiers that it is for")
    scenarios: Annotated[list[Said], Field(min_length=1)]
    url: Said | None = None
    sha256: Digest | None = Field(default=None, description="of the document, so that it can be told from another")
    reviewed_on: date | None = None
    owner: Said

    @model_validator(mode="after")
    def _is_for_something(self) -> Self:
        if self.class_ is None and self.tier is None:
            raise ValueError("say what it is for: class or tier")
        return self


class RunbookFile(Part):
    """The recovery runbooks of an organisation: one YAML file."""

    runbooks: list[Runbook] = Field(default=[])


@dataclass(frozen=True, slots=True)
class Evidence:
    """Restore tests and runbooks that were read and found sound."""

    tests: tuple[RestoreRecord, ...] = ()
    runbooks: tuple[Runbook, ...] = ()
    texts: tuple[tuple[str, str], ...] = ()
    """Name below `evidence/` -> text of each file, as it goes into the bundle."""


NO_EVIDENCE = Evidence()


def read(standard: Standard, beside: Path) -> Evidence:
    """Read the files that a standard names.

    Args:
        standard: names them under `evidence`, and the classes and tiers that they may speak of.
        beside: the folder that relative paths start from.

    Raises:
        DocumentError: each fault with file and line. A file that is not there is none: there is no evidence then.
    """
    named = standard.file.evidence
    pattern = named.restore_tests
    found = glob.glob(pattern, root_dir=beside, recursive=True) if pattern else []  # noqa: PTH207 - absolute ones too
    runbooks = beside / named.runbooks if named.runbooks else None
    return _read([beside / name for name in sorted(found)], runbooks, standard)


def of_bundle(folder: Path) -> Evidence:
    """Read a bundle's own copies; it was judged by them once, whatever a standard of another day says."""
    return _read(sorted((folder / FOLDER / _TESTS).glob("*.yaml")), folder / FOLDER / _RUNBOOKS, None)


def _read(tests: Sequence[Path], runbooks: Path | None, standard: Standard | None) -> Evidence:
    faults: list[Fault] = []
    texts: dict[str, str] = {}
    records = _read_tests(tests, standard, texts, faults)
    declared = _read_runbooks(runbooks, standard, texts, faults) if runbooks is not None and runbooks.exists() else []
    if faults:
        raise DocumentError(faults)
    return Evidence(tuple(records), tuple(declared), tuple(sorted(texts.items())))


def _read_tests(
    paths: Sequence[Path], standard: Standard | None, texts: dict[str, str], faults: list[Fault]
) -> list[RestoreRecord]:
    seen: dict[str, Path] = {}
    records = []
    for path in paths:
        try:
            document = load(path)
            record = _valid(document, RestoreRecord)
        except DocumentError as error:
            faults += error.faults
            continue
        if record.id in seen:
            said = f"restore test {record.id!r} is in {seen[record.id]} already"
            faults.append(document.fault(("id",), said, "number it anew"))
        seen[record.id] = path
        if standard is not None and record.class_ is not None:
            faults += _known(document, ("class",), [record.class_], "class", _classes(standard))
        records.append(record)
        texts[_free(f"{_TESTS}/{path.stem}", texts)] = path.read_text(encoding="utf-8")
    return records


def _read_runbooks(path: Path, standard: Standard | None, texts: dict[str, str], faults: list[Fault]) -> list[Runbook]:
    try:
        document = load(path)
        declared = _valid(document, RunbookFile).runbooks if document.data is not None else []
    except DocumentError as error:
        faults += error.faults
        return []
    texts[_RUNBOOKS] = path.read_text(encoding="utf-8")
    if standard is not None:
        for number, runbook in enumerate(declared):
            key = ("runbooks", number)
            faults += _known(document, (*key, "class"), runbook.class_ or (), "class", _classes(standard))
            faults += _known(document, (*key, "tier"), runbook.tier or (), "tier", standard.tiers)
            faults += _known(document, (*key, "scenarios"), runbook.scenarios, "scenario", _scenarios(standard))
    return declared


_Model = TypeVar("_Model", bound=BaseModel)


def _valid(document: Document, model: type[_Model]) -> _Model:
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        raise DocumentError(document.faults(error, model)) from error


def _free(name: str, taken: Container[str]) -> str:
    """Give a file of the bundle its name; files of two folders may share one."""
    return next(it for it in (f"{name}{number or ''}.yaml" for number in itertools.count()) if it not in taken)


def _classes(standard: Standard) -> list[str]:
    return [*(rule.name for rule in standard.classes), UNCLASSIFIED]


def _scenarios(standard: Standard) -> set[str]:
    demanded = (tier.runbooks.scenarios for tier in standard.tiers.values() if tier.runbooks)
    return {*SCENARIOS, *itertools.chain.from_iterable(demanded)}


def _known(
    document: Document, key: tuple[str | int, ...], names: Iterable[str], kind: str, known: Collection[str]
) -> list[Fault]:
    return [
        document.fault(key, f"the standard has no {kind} {name!r}", did_you_mean(name, known))
        for name in names
        if name not in known
    ]
