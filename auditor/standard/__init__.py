"""The organisation's data-protection standard: what is demanded (tiers) of which resources (classes)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from auditor import assets
from auditor.document import Document, did_you_mean, load
from auditor.errors import DocumentError, Fault
from auditor.model import StandardRef
from auditor.standard.durations import days
from auditor.standard.schema import (
    ClassRule,
    Register,
    Response,
    ResponseFile,
    StandardFile,
    Tier,
    Waiver,
    WaiverEntry,
    WaiverFile,
)

if TYPE_CHECKING:
    from pathlib import Path

    from auditor.document import Key

__all__ = [
    "ClassRule", "Response", "Standard", "Tier", "Waiver", "WaiverEntry", "default_path", "read", "read_register",
    "read_responses", "read_waivers",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Standard:
    """A standard that was read and found sound."""

    file: StandardFile
    tiers: dict[str, Tier]
    """Name -> tier with everything it inherits."""
    digest: str
    """SHA-256 of the file, hex."""
    text: str
    """The file itself, as it goes into the bundle."""

    @property
    def ref(self) -> StandardRef:
        """Name the standard for findings and reports."""
        about = self.file.standard
        return StandardRef(
            name=about.name,
            version=about.version,
            digest=self.digest,
            owner=about.owner,
            approved_by=about.approved_by,
            effective_from=str(about.effective_from) if about.effective_from else None,
            next_review=str(about.next_review) if about.next_review else None,
            source=about.source,
        )

    @property
    def classes(self) -> list[ClassRule]:
        """Give the classes, highest precedence first."""
        return sorted(self.file.classes, key=lambda rule: (-rule.precedence, rule.name))


def default_path() -> Path:
    """Give the shipped hybrid standard."""
    return assets.rules() / "standards" / "hybrid.yaml"


def read(path: Path, name: str | None = None) -> Standard:
    """Read a standard.

    Raises:
        DocumentError: each fault with file and line.
    """
    document = load(path, name)
    try:
        file = StandardFile.model_validate(document.data)
    except ValidationError as error:
        raise DocumentError(document.faults(error, StandardFile)) from error
    faults: list[Fault] = []
    for tier, written in file.tiers.items():
        try:
            Tier.model_validate(written or {})
        except ValidationError as error:
            faults += document.faults(error, Tier, ("tiers", tier))
    if faults:
        raise DocumentError(faults)  # told where they stand, not again in every tier that inherits them
    tiers = {tier: _resolve(document, file, tier, faults) for tier in file.tiers}
    if not faults:
        _check_classes(document, file, faults)
        _check_promises(document, file, faults)
    if faults:
        raise DocumentError(faults)
    text = path.read_text(encoding="utf-8")
    return Standard(file, {n: t for n, t in tiers.items() if t}, hashlib.sha256(text.encode()).hexdigest(), text)


def _resolve(document: Document, file: StandardFile, name: str, faults: list[Fault]) -> Tier | None:
    """Merge a tier over what it extends."""
    chain, base = [name], (file.tiers[name] or {}).get("extends")
    while base is not None:
        key = ("tiers", chain[-1], "extends")
        if base not in file.tiers:
            faults.append(document.fault(key, f"tier {base!r} does not exist", did_you_mean(base, file.tiers)))
            return None
        if base in chain:
            loop = chain[chain.index(base) :]
            if name == min(loop):  # told once, by one of those in it
                said = f"tiers extend each other: {' -> '.join([*loop, base])}"
                faults.append(document.fault(key, said, "cut the loop"))
            return None
        chain.append(base)
        base = (file.tiers[base] or {}).get("extends")
    merged: dict[str, Any] = {}
    for tier in reversed(chain):
        merged = _merge(merged, {k: v for k, v in (file.tiers[tier] or {}).items() if k != "extends"})
    # A justification and a severity shift speak of one tier only.
    own = file.tiers[name] or {}
    merged |= {"extends": own.get("extends"), "justification": own.get("justification")}
    try:
        return Tier.model_validate(merged)
    except ValidationError as error:
        faults += document.faults(error, Tier, ("tiers", name))
        return None


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Lay `above` over `below`: mappings merge deeply, everything else (lists, null) replaces."""
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        result[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def _check_promises(document: Document, file: StandardFile, faults: list[Fault]) -> None:
    """Refuse what this release does not do: a demand that is read and ignored would be a false promise."""
    wishes: tuple[tuple[Key, bool], ...] = (
        (("waivers", "approver_not_requester"), not file.waivers.approver_not_requester),
    )
    for key, wished in wishes:
        if wished:
            remedy = "leave it at its default"
            faults.append(document.fault(key, f"{'.'.join(map(str, key))} is not possible in this release", remedy))
    for number, name in enumerate(file.waivers.required):
        if name not in Waiver.model_fields:
            said = f"waivers.required: a waiver has no field {name!r}"
            faults.append(
                document.fault(("waivers", "required", number), said, did_you_mean(name, Waiver.model_fields))
            )


def _check_classes(document: Document, file: StandardFile, faults: list[Fault]) -> None:
    if file.default_tier not in file.tiers:
        hint = did_you_mean(file.default_tier, file.tiers)
        faults.append(document.fault(("default_tier",), f"tier {file.default_tier!r} does not exist", hint))
    names: set[str] = set()
    for number, rule in enumerate(file.classes):
        key = ("classes", number)
        if rule.name in names:
            faults.append(document.fault((*key, "name"), f"class {rule.name!r} is defined twice", "rename one"))
        names.add(rule.name)
        if rule.tier not in file.tiers:
            hint = did_you_mean(rule.tier, file.tiers)
            faults.append(document.fault((*key, "tier"), f"tier {rule.tier!r} does not exist", hint))
        elif rule.tier == "none" and not (rule.owner and rule.reason and rule.review_on):
            said = f"class {rule.name!r} takes its resources out of the audit (tier none)"
            faults.append(document.fault(key, said, "name owner, reason and review_on"))


def read_waivers(path: Path | None, standard: Standard, name: str | None = None) -> list[Waiver]:
    """Read a waiver register; none where `path` is None.

    Raises:
        DocumentError: each fault with file and line.
    """
    if path is None:
        return []
    document = load(path, name)
    if document.data is None:
        return []
    try:
        waivers = WaiverFile.model_validate(document.data).waivers
    except ValidationError as error:
        raise DocumentError(document.faults(error, WaiverFile)) from error
    faults: list[Fault] = []
    longest = days(standard.file.waivers.max)
    ids: set[str] = set()
    for number, waiver in enumerate(waivers):
        key = ("waivers", number)
        if waiver.id in ids:
            faults.append(document.fault((*key, "id"), f"waiver {waiver.id!r} is given twice", "number it anew"))
        ids.add(waiver.id)
        if (waiver.expires_on - waiver.approved_on).days > longest:
            said = f"waiver {waiver.id!r} lasts {(waiver.expires_on - waiver.approved_on).days} days"
            faults.append(document.fault((*key, "expires_on"), said, f"the standard allows {longest:.0f}"))
    if faults:
        raise DocumentError(faults)
    return waivers


def read_register(path: Path) -> list[tuple[WaiverEntry, int]]:
    """Read a waiver register for somebody who wants to know what is wrong with it; give each waiver with its line.

    Raises:
        DocumentError: each fault with file and line, of what can't be read at all.
    """
    document = load(path)
    try:
        found = Register.model_validate(document.data or {}).waivers
    except ValidationError as error:
        raise DocumentError(document.faults(error, Register)) from error
    return [(waiver, document.line(("waivers", number))) for number, waiver in enumerate(found)]


def unknown_rules(waivers: list[Waiver], path: Path | None, known: set[str]) -> None:
    """Refuse waivers of rules that do not exist: a typo would waive nothing, silently."""
    wrong = [(number, waiver) for number, waiver in enumerate(waivers) if waiver.rule not in known]
    if not wrong or path is None:
        return
    document = load(path)
    said = "waiver {0.id!r}: no rule {0.rule!r}".format
    raise DocumentError(
        [document.fault(("waivers", n, "rule"), said(w), did_you_mean(w.rule, known)) for n, w in wrong]
    )


def read_responses(path: Path | None, known: set[str]) -> list[Response]:
    """Read management's responses; none where `path` is None.

    Args:
        path: of the file.
        known: ids of the rules that there are.

    Raises:
        DocumentError: each fault with file and line; a response to a rule that there is not too.
    """
    if path is None:
        return []
    document = load(path)
    if document.data is None:
        return []
    try:
        responses = ResponseFile.model_validate(document.data).responses
    except ValidationError as error:
        raise DocumentError(document.faults(error, ResponseFile)) from error
    faults = [
        document.fault(("responses", n, "rule"), f"no rule {it.rule!r}", did_you_mean(it.rule, known))
        for n, it in enumerate(responses)
        if it.rule is not None and it.rule not in known
    ]
    if faults:
        raise DocumentError(faults)
    return responses
