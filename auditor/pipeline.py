"""The five stages in order: collect, inventory, evaluate, report, gate. The only place that wires them together."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor import __version__, bundle, gate, history, rulebook, standard
from auditor.bundle import Bundle, to_json, write_atomically
from auditor.collect import Scope, collect
from auditor.engine import results, ruletests
from auditor.engine.evaluate import evaluate
from auditor.errors import DocumentError
from auditor.inventory import store as tables
from auditor.inventory.facts import Circumstances, Facts
from auditor.report import formats, view

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeAlias

    from auditor.collect import Azure
    from auditor.model import Results
    from auditor.rulebook import Rulebook
    from auditor.standard import Standard, Waiver

    Tell: TypeAlias = Callable[[str, str], None]
    """Takes a stage and a detail, which may end in `done/total`."""

DEFAULT_REPORTS = ("html", "pdf", "json")


def silent(_stage: str, _detail: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a run judges by: read and proved before anything is collected."""

    standard: Standard
    book: Rulebook
    waivers: Sequence[Waiver]
    self_test: Mapping[str, int]
    standard_text: str
    waivers_text: str


@dataclass(frozen=True, slots=True)
class Settings:
    """What the manifest says of a run beside its inputs."""

    scope: Scope = Scope()
    cloud: str = "public"
    arm_endpoint: str = ""
    organisation: str = ""
    classification: str = ""
    threshold: str = gate.DEFAULT
    allow_incomplete: tuple[str, ...] = ()
    exit_zero: bool = False
    command: Mapping[str, Any] = field(default_factory=dict)
    """All options as given, for the report."""


def inputs(
    standard_path: Path | None = None,
    waivers_path: Path | None = None,
    rule_folders: Sequence[Path] = (),
    *,
    shipped: bool = True,
) -> Inputs:
    """Read standard, waivers and rules, pass the rules through the gate and run their tests.

    Raises:
        DocumentError: something in them is wrong, or a rule fails its own tests.
    """
    chosen = standard.read(
        standard_path or standard.default_path(), None if standard_path else "rules/standards/hybrid.yaml"
    )
    book = rulebook.read(rule_folders, chosen.file.rules, shipped=shipped)
    waivers = standard.read_waivers(waivers_path, chosen)
    standard.unknown_rules(waivers, waivers_path, {rule.id for rule in book.rules})
    with Facts.empty(chosen) as empty:
        outcomes = ruletests.run_all(book.rules, empty)
    failed = [fault for rule in book.rules for fault in ruletests.faults(rule, outcomes)]
    if failed:
        raise DocumentError(failed)
    return Inputs(
        chosen,
        book,
        waivers,
        {"passed": len(outcomes), "failed": 0},
        chosen.text,
        waivers_path.read_text(encoding="utf-8") if waivers_path else "waivers: []\n",
    )


async def run(
    azure: Azure, given: Inputs, settings: Settings, store: Path, as_of: datetime, tell: Tell = silent
) -> Bundle:
    """Collect, build the inventory, evaluate and seal; give the bundle."""
    draft = bundle.create(store, as_of)
    started = datetime.now(UTC)
    try:
        covered = await collect(azure, settings.scope, draft, lambda what: tell("collect", what))
        draft.close_raw()
        draft.write_coverage(covered)
        draft.write("standard.yaml", given.standard_text.encode())
        draft.write("waivers.yaml", given.waivers_text.encode())
        draft.write("responses.yaml", b"responses: []\n")
        for rule in given.book.rules:
            draft.write(f"rules/{rule.area}/{rule.id}.yaml", rule.text.encode())
        tell("inventory", "tables")
        inventory = draft.folder / "inventory"
        inventory.mkdir()
        tables.build(inventory, draft.pages, as_of)
        previous = history.before(store, as_of)
        history.carry(previous, inventory, draft.folder / "history.parquet", as_of)
        known = Circumstances(
            as_of,
            given.standard,
            covered.coverage,
            covered.gaps,
            _points_read(settings.scope),
            draft.folder / "history.parquet",
        )
        with Facts.open(inventory, known) as facts:
            evaluate(
                given.book, facts, given.waivers, as_of.date(), draft.folder / "findings", lambda r: tell("evaluate", r)
            )
        tell("seal", draft.id)
        return draft.seal(
            _facts_of_run(draft.id, as_of, started, given, settings, azure),
            {"run": previous.run["id"], "manifest_digest": previous.manifest_digest} if previous else None,
        )
    except BaseException:
        draft.abandon()
        raise


def _points_read(scope: Scope) -> bool:
    return scope.recovery_points != "none"


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _facts_of_run(
    run_id: str, as_of: datetime, started: datetime, given: Inputs, settings: Settings, azure: Azure
) -> dict[str, Any]:
    return {
        "id": run_id,
        "as_of": _stamp(as_of),
        "started_at": _stamp(started),
        "finished_at": _stamp(datetime.now(UTC)),
        "tool_version": __version__,
        "rules_digest": given.book.digest,
        "standard": {
            "name": given.standard.ref.name,
            "version": given.standard.ref.version,
            "digest": given.standard.digest,
        },
        "scope": asdict(settings.scope),
        "identity": dict(azure.identity),
        "cloud": settings.cloud,
        "arm_endpoint": settings.arm_endpoint,
        "self_test": dict(given.self_test),
        "organisation": settings.organisation,
        "classification": settings.classification,
        "fail_on": settings.threshold,
        "allow_incomplete": list(settings.allow_incomplete),
        "exit_zero": settings.exit_zero,
        "command": dict(settings.command),
    }


def read(
    found: Bundle,
    given: Inputs | None = None,
    *,
    findings: Path | None = None,
    as_of: datetime | None = None,
    threshold: str | None = None,
    allow_incomplete: Sequence[str] | None = None,
) -> Results:
    """Read a bundle into results with the gate judged.

    Args:
        found: the bundle.
        given: what its findings were made by; the bundle's own copies by default.
        findings: folder of findings made by `evaluate_again`; the bundle's own by default.
        as_of: moment of another evaluation; the run's by default.
        threshold: of the gate; the run's by default.
        allow_incomplete: of the gate; the run's by default.
    """
    given = given or own_inputs(found)
    moment = as_of or found.as_of
    covered = found.covered()
    known = Circumstances(
        moment,
        given.standard,
        covered.coverage,
        covered.gaps,
        found.run["scope"]["recovery_points"] != "none",
        found.history,
    )
    judged = results.Judged(
        found, findings or found.folder / "findings", given.book, given.standard, given.waivers, given.self_test, moment
    )
    with Facts.open(found.inventory, known) as facts:
        made = results.read(judged, facts)
    return replace(
        made,
        gate=gate.judge(
            made.findings,
            made.coverage,
            made.gaps,
            threshold=threshold or found.run["fail_on"],
            allowed_gaps=tuple(found.run["allow_incomplete"] if allow_incomplete is None else allow_incomplete),
        ),
    )


def own_inputs(found: Bundle) -> Inputs:
    """Read the copies of standard, waivers and rules that a bundle holds."""
    return inputs(
        found.folder / "standard.yaml", found.folder / "waivers.yaml", [found.folder / "rules"], shipped=False
    )


def other_inputs(
    found: Bundle, standard_path: Path | None, waivers_path: Path | None, rule_folders: Sequence[Path]
) -> Inputs:
    """Read the inputs for judging a bundle again: what is named here, and the bundle's own copies for the rest.

    Rules named here are added to the shipped ones, as in an audit.
    """
    return inputs(
        standard_path or found.folder / "standard.yaml",
        waivers_path or found.folder / "waivers.yaml",
        rule_folders or [found.folder / "rules"],
        shipped=bool(rule_folders),
    )


def wanted_reports(asked: Sequence[str]) -> dict[str, Path | None]:
    """Read `--report KIND[=PATH]`: kind -> path, None for its place in the bundle; ("",) asks for none.

    Raises:
        UsageError: an unknown kind, one that can't be made here, or a path that can't be written.
    """
    wanted: dict[str, Path | None] = {}
    for text in asked or DEFAULT_REPORTS:
        kind, _, path = text.partition("=")
        if kind:
            formats.find(kind).check()
            wanted[kind] = Path(path) if path else None
    for target in wanted.values():
        if target is not None:
            bundle.demand_writable(target)
    return wanted


def report(
    made: Results, folder: Path, wanted: Mapping[str, Path | None], *, all_rows: bool = False, tell: Tell = silent
) -> dict[str, Path]:
    """Write the reports and their index; give kind -> path."""
    if not wanted:
        return {}
    shown = view.build(made, all_rows=all_rows)
    written: dict[str, Path] = {}
    index = {}
    for kind, path in wanted.items():
        tell("report", kind)
        form = formats.find(kind)
        written[kind] = path or folder / form.default_name
        body = form.render(shown)
        write_atomically(written[kind], body)
        name = written[kind].name if path is None else str(path.resolve())
        index[kind] = {"path": name, "size": len(body), "sha256": bundle.digest_of_bytes(body)}
    write_atomically(folder / "index.json", to_json({"manifest_digest": made.run.manifest_digest, "reports": index}))
    return written


def evaluate_again(found: Bundle, given: Inputs, as_of: datetime | None = None, tell: Tell = silent) -> Path:
    """Judge a bundle anew into `evaluations/<digest of the inputs>/`; give that folder's findings. Nothing else changes."""
    moment = as_of or found.as_of
    digest = bundle.digest_of(given.book.digest, given.standard.digest, given.waivers_text, _stamp(moment))
    target = found.folder / "evaluations" / digest
    if (target / "evaluation.json").exists():
        return target / "findings"
    scratch = found.folder / "evaluations" / f".{digest}.tmp"
    shutil.rmtree(scratch, ignore_errors=True)
    covered = found.covered()
    known = Circumstances(
        moment,
        given.standard,
        covered.coverage,
        covered.gaps,
        found.run["scope"]["recovery_points"] != "none",
        found.history,
    )
    with Facts.open(found.inventory, known) as facts:
        evaluate(given.book, facts, given.waivers, moment.date(), scratch / "findings", lambda r: tell("evaluate", r))
    about = {
        "as_of": _stamp(moment),
        "rules_digest": given.book.digest,
        "standard": {
            "name": given.standard.ref.name,
            "version": given.standard.ref.version,
            "digest": given.standard.digest,
        },
        "waivers": bundle.digest_of(given.waivers_text),
        "manifest_digest": found.manifest_digest,
    }
    write_atomically(scratch / "evaluation.json", to_json(about))
    scratch.rename(target)
    return target / "findings"
