"""What a run judges by: standard, rules and waivers, read and proved before anything is collected."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from auditor import rulebook, standard
from auditor.engine import ruletests
from auditor.errors import DocumentError, UsageError
from auditor.inventory.database import DISK_ERRORS
from auditor.rulebook import frameworks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from auditor.bundle import Bundle, Draft
    from auditor.rulebook import Rulebook
    from auditor.standard import Standard, Waiver

NO_WAIVERS = "waivers: []\n"


@dataclass(frozen=True, slots=True)
class Inputs:
    """Standard, rules and waivers, found sound."""

    standard: Standard
    book: Rulebook
    waivers: Sequence[Waiver]
    waivers_text: str
    """The register's file, as it goes into the bundle."""
    self_test: Mapping[str, int]
    """{"passed", "failed"} of the rules' own tests."""

    def keep(self, draft: Draft) -> None:
        """Put copies into a bundle, so that it can be judged again without anything else."""
        draft.write("standard.yaml", self.standard.text.encode())
        draft.write("waivers.yaml", self.waivers_text.encode())
        draft.write("responses.yaml", b"responses: []\n")
        for rule in self.book.rules:
            draft.write(f"rules/{rule.area}/{rule.id}.yaml", rule.text.encode())
        for key, framework in self.book.frameworks.items():
            draft.write(f"rules/{frameworks.FOLDER}/{key}.yaml", framework.text.encode())


def read(
    standard_path: Path | None = None,
    waivers_path: Path | None = None,
    rule_folders: Sequence[Path] = (),
    *,
    shipped: bool = True,
) -> Inputs:
    """Read standard, waivers and rules, pass the rules through the gate and run their tests.

    Args:
        standard_path: the shipped hybrid standard by default.
        waivers_path: none by default.
        rule_folders: with rules of the user's own.
        shipped: False leaves the shipped rules out.

    Raises:
        DocumentError: something in them is wrong, or a rule fails its own tests.
    """
    try:
        with ruletests.Proving() as proving:  # begins at once, so that its process starts while files are read
            found = _files(standard_path, waivers_path, rule_folders, shipped=shipped)
            proofs = list(proving.prove(found.book.rules, found.standard))
    except DISK_ERRORS as error:  # the rules' tests need tables of their own for a moment
        said = f"the temporary folder {tempfile.gettempdir()} cannot be written: {str(error).splitlines()[0]}"
        raise UsageError(said, "make room there, or set TMPDIR to another folder") from error
    faults = [fault for proof in proofs for fault in (*proof.faults, *ruletests.faults(proof.rule, proof.outcomes))]
    if faults:
        raise DocumentError(faults)
    return replace(found, self_test={"passed": sum(len(proof.outcomes) for proof in proofs), "failed": 0})


def _files(standard_path: Path | None, waivers_path: Path | None, folders: Sequence[Path], *, shipped: bool) -> Inputs:
    """Read the files; that the rules hold what they promise is still to be proved."""
    shown = None if standard_path else "rules/standards/hybrid.yaml"
    path = standard_path or standard.default_path()
    chosen = standard.read(path, shown)
    book = rulebook.read(folders, chosen.file.rules, shipped=shipped)
    frameworks.named_by_standard(chosen.file.frameworks, path, shown, book.frameworks)
    waivers = standard.read_waivers(waivers_path, chosen)
    standard.unknown_rules(waivers, waivers_path, {rule.id for rule in book.rules})
    text = waivers_path.read_text(encoding="utf-8") if waivers_path else NO_WAIVERS
    return Inputs(chosen, book, waivers, text, {})


def sealed(found: Bundle) -> Inputs:
    """Read a bundle's own copies, to tell what was judged by them: they proved themselves then, not again."""
    own = _files(found.folder / "standard.yaml", found.folder / "waivers.yaml", [found.folder / "rules"], shipped=False)
    return replace(own, self_test=found.run["self_test"])


def of_bundle(
    found: Bundle,
    standard_path: Path | None = None,
    waivers_path: Path | None = None,
    rule_folders: Sequence[Path] = (),
) -> Inputs:
    """Read a bundle's own copies, but for those named here; rules named here are added to the shipped ones."""
    return read(
        standard_path or found.folder / "standard.yaml",
        waivers_path or found.folder / "waivers.yaml",
        rule_folders or [found.folder / "rules"],
        shipped=bool(rule_folders),
    )
