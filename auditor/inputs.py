"""What a run judges by: standard, rules, waivers and evidence files, read and proved before anything is collected."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from auditor import rulebook, standard
from auditor.engine import ruletests
from auditor.errors import DocumentError, UsageError
from auditor.inventory.database import DISK_ERRORS
from auditor.inventory.facts import Facts
from auditor.standard import evidence as proving

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from auditor.bundle import Bundle, Draft
    from auditor.rulebook import Rulebook
    from auditor.standard import Response, Standard, Waiver
    from auditor.standard.evidence import Evidence

NO_WAIVERS = "waivers: []\n"
NO_RESPONSES = "responses: []\n"


@dataclass(frozen=True, slots=True)
class Inputs:
    """Standard, rules, waivers, evidence files and management's responses, found sound."""

    standard: Standard
    book: Rulebook
    waivers: Sequence[Waiver]
    waivers_text: str
    """The register's file, as it goes into the bundle."""
    self_test: Mapping[str, int]
    """{"passed", "failed"} of the rules' own tests."""
    evidence: Evidence = proving.NO_EVIDENCE
    responses: Sequence[Response] = ()
    responses_text: str = NO_RESPONSES

    def keep(self, draft: Draft) -> None:
        """Put copies into a bundle, so that it can be judged again without anything else."""
        draft.write("standard.yaml", self.standard.text.encode())
        draft.write("waivers.yaml", self.waivers_text.encode())
        draft.write("responses.yaml", self.responses_text.encode())
        for name, text in self.evidence.texts:
            draft.write(f"{proving.FOLDER}/{name}", text.encode())
        for rule in self.book.rules:
            draft.write(f"rules/{rule.area}/{rule.id}.yaml", rule.text.encode())


def read(
    standard_path: Path | None = None,
    waivers_path: Path | None = None,
    rule_folders: Sequence[Path] = (),
    *,
    shipped: bool = True,
    responses_path: Path | None = None,
    beside: Path | None = None,
    evidence: Evidence | None = None,
) -> Inputs:
    """Read standard, waivers, responses and rules, pass the rules through the gate and run their tests.

    Args:
        standard_path: the shipped hybrid standard by default.
        waivers_path: none by default.
        rule_folders: with rules of the user's own.
        shipped: False leaves the shipped rules out.
        responses_path: of management's responses; none by default.
        beside: the folder that the standard's evidence files are looked for from; its own by default, and the working
            directory for the shipped standard.
        evidence: that was read already.

    Raises:
        DocumentError: something in them is wrong, or a rule fails its own tests.
    """
    shown = None if standard_path else "rules/standards/hybrid.yaml"
    chosen = standard.read(standard_path or standard.default_path(), shown)
    book = rulebook.read(rule_folders, chosen.file.rules, shipped=shipped)
    waivers = standard.read_waivers(waivers_path, chosen)
    known = {rule.id for rule in book.rules}
    standard.unknown_rules(waivers, waivers_path, known)
    responses = standard.read_responses(responses_path, known)
    if evidence is None:
        evidence = proving.read(chosen, beside or (standard_path.parent if standard_path else Path()))
    try:
        with Facts.empty(chosen) as empty:
            outcomes = ruletests.run_all(book.rules, empty)
    except DISK_ERRORS as error:  # the rules' tests need tables of their own for a moment
        said = f"the temporary folder {tempfile.gettempdir()} cannot be written: {str(error).splitlines()[0]}"
        raise UsageError(said, "make room there, or set TMPDIR to another folder") from error
    failed = [fault for rule in book.rules for fault in ruletests.faults(rule, outcomes)]
    if failed:
        raise DocumentError(failed)
    text = waivers_path.read_text(encoding="utf-8") if waivers_path else NO_WAIVERS
    said = responses_path.read_text(encoding="utf-8") if responses_path else NO_RESPONSES
    self_test = {"passed": len(outcomes), "failed": 0}
    return Inputs(chosen, book, waivers, text, self_test, evidence, responses, said)


def of_bundle(
    found: Bundle,
    standard_path: Path | None = None,
    waivers_path: Path | None = None,
    rule_folders: Sequence[Path] = (),
    responses_path: Path | None = None,
) -> Inputs:
    """Read a bundle's own copies, but for those named here; rules named here are added to the shipped ones.

    Restore tests and runbooks are always the bundle's own: they are evidence.
    """
    return read(
        standard_path or found.folder / "standard.yaml",
        waivers_path or found.folder / "waivers.yaml",
        rule_folders or [found.folder / "rules"],
        shipped=bool(rule_folders),
        responses_path=responses_path or found.folder / "responses.yaml",
        evidence=proving.of_bundle(found.folder),
    )
