"""What a run judges by: standard, rules, waivers and evidence files, read and proved before anything is collected."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from auditor import rulebook, standard
from auditor.bundle import digest_of
from auditor.document import load
from auditor.engine import ruletests
from auditor.errors import DocumentError
from auditor.rulebook import frameworks, loosening
from auditor.standard import evidence as proof

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

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
    evidence: Evidence = proof.NO_EVIDENCE
    responses: Sequence[Response] = ()
    responses_text: str = NO_RESPONSES

    def keep(self, draft: Draft) -> None:
        """Put copies into a bundle, so that it can be judged again without anything else."""
        draft.write("standard.yaml", self.standard.text.encode())
        draft.write("waivers.yaml", self.waivers_text.encode())
        draft.write("responses.yaml", self.responses_text.encode())
        for name, text in self.evidence.texts:
            draft.write(f"{proof.FOLDER}/{name}", text.encode())
        for rule in self.book.rules:
            draft.write(f"rules/{rule.area}/{rule.id}.yaml", rule.text.encode())
        for key, framework in self.book.frameworks.items():
            draft.write(f"rules/{frameworks.FOLDER}/{key}.yaml", framework.text.encode())


@dataclass(frozen=True, slots=True)
class Files:
    """Where the inputs stand."""

    standard: Path | None = None
    """The shipped hybrid standard by default."""
    waivers: Path | None = None
    responses: Path | None = None
    rules: Sequence[Path] = ()
    """Folders with rules of the user's own."""
    shipped: bool = True
    """False leaves the shipped rules out."""
    judged_before: bool = False
    """The standard is a bundle's own: a run was judged by it, and a later release has nothing to refuse."""
    evidence: Callable[[Standard], Evidence] | None = None
    """Reads restore tests and runbooks; by default those that the standard names, beside its own file, and beside the
    working directory for the shipped one."""

    def read(self) -> Inputs:
        """Read the files; that the rules hold what they promise is still to be proved."""
        shown = None if self.standard else "rules/standards/hybrid.yaml"
        path = self.standard or standard.default_path()
        chosen = standard.read(path, shown)
        book = rulebook.read(self.rules, chosen.file.rules, shipped=self.shipped, written=load(path, shown))
        frameworks.named_by_standard(chosen.file.frameworks, path, shown, book.frameworks)
        if not self.judged_before:
            loosening.justified(chosen, book, path, shown)
        waivers = standard.read_waivers(self.waivers, chosen)
        known = {rule.id for rule in book.rules}
        standard.unknown_rules(waivers, self.waivers, known)
        responses = standard.read_responses(self.responses, known)
        beside = self.standard.parent if self.standard else Path()
        found = self.evidence(chosen) if self.evidence else proof.read(chosen, beside)
        text = self.waivers.read_text(encoding="utf-8") if self.waivers else NO_WAIVERS
        said = self.responses.read_text(encoding="utf-8") if self.responses else NO_RESPONSES
        return Inputs(chosen, book, waivers, text, {}, found, responses, said)


def read(
    standard_path: Path | None = None,
    waivers_path: Path | None = None,
    rule_folders: Sequence[Path] = (),
    *,
    shipped: bool = True,
    responses_path: Path | None = None,
    beside: Path | None = None,
) -> Inputs:
    """Read standard, waivers, responses and rules, pass the rules through the gate and run their tests.

    Args:
        standard_path: the shipped hybrid standard by default.
        waivers_path: none by default.
        rule_folders: with rules of the user's own.
        shipped: False leaves the shipped rules out.
        responses_path: of management's responses; none by default.
        beside: the folder that the standard's evidence files are looked for from, where it is not the standard's own.

    Raises:
        DocumentError: something in them is wrong, or a rule fails its own tests.
    """
    evidence = None if beside is None else lambda chosen: proof.read(chosen, beside)
    return _proved(Files(standard_path, waivers_path, responses_path, rule_folders, shipped, evidence=evidence))


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
    own = _sealed(found)
    named = replace(
        own,
        standard=standard_path or own.standard,
        waivers=waivers_path or own.waivers,
        responses=responses_path or own.responses,
        rules=rule_folders or own.rules,
        shipped=bool(rule_folders),
        judged_before=standard_path is None,
    )
    return _proved(named)


def sealed(found: Bundle) -> Inputs:
    """Read a bundle's own copies, to tell what was judged by them: they proved themselves then, not again."""
    return replace(_sealed(found).read(), self_test=found.run["self_test"])


def _sealed(found: Bundle) -> Files:
    folder = found.folder
    return Files(
        folder / "standard.yaml",
        folder / "waivers.yaml",
        folder / "responses.yaml",
        [folder / "rules"],
        shipped=False,
        judged_before=True,
        evidence=lambda _standard: proof.of_bundle(folder),
    )


_proven: dict[str, int] = {}
"""Digest of rules that passed their tests in this process -> how many these are. A store's runs share their rules."""


def _proved(files: Files) -> Inputs:
    """Read the files and run the rules' own tests, unless just these rules have passed them a moment ago."""
    with ExitStack() as stack:
        # Begins at once, so that its process starts while files are read.
        proving = None if _proven else stack.enter_context(ruletests.Proving())
        found = files.read()
        digest = digest_of(found.standard.digest, *(rule.text for rule in found.book.rules))
        if digest not in _proven:
            _proven[digest] = _prove(proving or stack.enter_context(ruletests.Proving()), found)
    return replace(found, self_test={"passed": _proven[digest], "failed": 0})


def _prove(proving: ruletests.Proving, found: Inputs) -> int:
    """Run the rules' own tests; give their number."""
    proofs = list(proving.prove(found.book.rules, found.standard))
    faults = [fault for it in proofs for fault in (*it.faults, *ruletests.faults(it.rule, it.outcomes))]
    if faults:
        raise DocumentError(faults)
    return sum(len(it.outcomes) for it in proofs)
