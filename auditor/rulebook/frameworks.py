"""Frameworks as data: reads `rules/frameworks/<key>.yaml`, what each control is about and what our evidence says of it.

Ids and subjects stand there in own words, never a standard's text, each with how far the id was checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from auditor import assets
from auditor.document import Document, did_you_mean, load
from auditor.errors import DocumentError, Fault

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from auditor.rulebook import Rule

FOLDER = "frameworks"
"""Its name beside the areas of rules."""

Said = Annotated[str, Field(min_length=1)]


class Mark(StrEnum):
    """How far the id of a control was checked."""

    READ = "read"
    """In public material of whoever publishes it, or a law's text."""
    SECONDARY = "secondary"
    """In somebody else's transcription."""
    UNVERIFIED = "unverified"
    """From knowledge of the field alone."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Control(_Part):
    """One control, article or criterion."""

    id: Annotated[Said, BeforeValidator(lambda value: str(value) if isinstance(value, int | float) else value)]
    title: Said
    """Its subject in own words."""
    proves: Said
    """What the evidence of this program proves for it."""
    does_not_prove: Said
    mark: Mark
    source: Said
    """Where the id was read."""


class Framework(_Part):
    """One framework file."""

    framework: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """Its key, the file's name: what rules and standards call it."""
    name: Said
    version: Said
    publisher: Said
    url: Said
    say: str = ""
    """What a report that names it must say beside it."""
    controls: list[Control] = Field(min_length=1)

    @property
    def by_id(self) -> dict[str, Control]:
        """Give its controls by id."""
        return {control.id: control for control in self.controls}


@dataclass(frozen=True, slots=True)
class Read:
    """A framework that was read, with the file as it goes into a bundle."""

    file: Framework
    text: str


def read(folders: Sequence[Path] = (), *, shipped: bool = True) -> dict[str, Read]:
    """Read the shipped frameworks and those in `frameworks/` of these folders.

    Args:
        folders: of rules (`--rules`).
        shipped: False for a bundle's own rules: what stands there wins, the shipped ones fill in what it lacks.

    Raises:
        DocumentError: each fault with file and line.
    """
    faults: list[Fault] = []
    ours = _folder(assets.rules(), faults)
    found: dict[str, tuple[Document, Read]] = dict(ours) if shipped else {}
    for folder in folders:
        for key, (document, made) in _folder(folder, faults).items():
            if key in found:
                said = f"framework {key!r} stands in {found[key][0].path} already"
                faults.append(document.fault(("framework",), said, "choose another key"))
            else:
                found[key] = (document, made)
    if faults:
        raise DocumentError(faults)
    return {key: made for key, (_, made) in sorted({**ours, **found}.items())}


def _folder(root: Path, faults: list[Fault]) -> dict[str, tuple[Document, Read]]:
    found = {}
    for path in sorted((root / FOLDER).glob("*.yaml")):
        shown = str(path.relative_to(root.parent)) if root == assets.rules() else str(path)
        try:
            document = load(path, shown)
            made = _framework(path, document)
        except DocumentError as error:
            faults += error.faults
            continue
        found[made.framework] = (document, Read(made, path.read_text(encoding="utf-8")))
    return found


def _framework(path: Path, document: Document) -> Framework:
    try:
        made = Framework.model_validate(document.data)
    except ValidationError as error:
        raise DocumentError(document.faults(error, Framework)) from error
    faults = []
    if path.stem != made.framework:
        said = f"framework {made.framework!r} and file name {path.stem!r} differ"
        faults.append(document.fault(("framework",), said, "make them equal"))
    seen: set[str] = set()
    for number, control in enumerate(made.controls):
        if control.id in seen:
            said = f"control {control.id!r} is given twice"
            faults.append(document.fault(("controls", number, "id"), said, "remove one"))
        seen.add(control.id)
    if faults:
        raise DocumentError(faults)
    return made


def named_by_standard(names: Sequence[str], path: Path, shown: str | None, known: Mapping[str, Read]) -> None:
    """Refuse a standard that names a framework nobody has: its typo would go unnoticed.

    Raises:
        DocumentError: with file and line.
    """
    wrong = [(number, name) for number, name in enumerate(names) if name not in known]
    if wrong:
        document = load(path, shown)
        raise DocumentError(
            [
                document.fault(("frameworks", n), f"there is no framework {name!r}", did_you_mean(name, known))
                for n, name in wrong
            ]
        )


def named_by_rule(rule: Rule, known: Mapping[str, Read]) -> list[Fault]:
    """Give what is wrong with the controls that a rule names."""
    faults = []
    for key, ids in rule.file.controls.items():
        if key not in known:
            said = f"there is no framework {key!r}"
            faults.append(rule.document.fault(("controls", key), said, did_you_mean(key, known)))
            continue
        controls = known[key].file.by_id
        faults += [
            rule.document.fault(
                ("controls", key, number), f"{key} has no control {name!r}", did_you_mean(name, controls)
            )
            for number, name in enumerate(ids)
            if name not in controls
        ]
    return faults
