"""The five stages in order: collect, inventory, evaluate, report, gate. The only place that wires them together."""

from __future__ import annotations

import asyncio
import platform
import shutil
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from auditor import __version__, bundle, gate, history, inputs
from auditor.bundle import Bundle, Covered, to_json, write_atomically
from auditor.collect import FirstKept, Scope, collect
from auditor.engine import damaged, results
from auditor.engine import explain as explaining
from auditor.engine import waivers as waiving
from auditor.engine.evaluate import Judging
from auditor.errors import UsageError
from auditor.inventory import catalogue
from auditor.inventory import store as tables
from auditor.inventory.database import DISK_ERRORS
from auditor.inventory.facts import Circumstances, Facts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import TypeAlias

    from auditor.bundle.kept import Interrupted
    from auditor.collect import Azure, Kept
    from auditor.inputs import Inputs
    from auditor.model import Explained, Results
    from auditor.rulebook import Rule
    from auditor.standard import WaiverEntry

    Tell: TypeAlias = Callable[[str, str], None]
    """Takes a stage and a detail, which may end in `done/total`; of the stage `note`, a sentence to be told whole."""

_BEHIND = ("azure-identity", "azure-mgmt-recoveryservicesbackup", "azure-mgmt-resourcegraph", "duckdb")
"""Libraries whose version bears on what was read and how it was judged."""


def silent(_stage: str, _detail: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the manifest says of a run beside its inputs."""

    scope: Scope = field(default_factory=Scope)
    cloud: str = "public"
    arm_endpoint: str = ""
    organisation: str = ""
    classification: str = ""
    threshold: str = gate.DEFAULT
    allow_incomplete: tuple[str, ...] = ()
    exit_zero: bool = False
    command: Mapping[str, Any] = field(default_factory=dict)
    """All options as given, for the report."""


def check_store(store: Path, as_of: datetime) -> None:
    """Make sure, before anybody signs in, that a run can be written.

    Raises:
        UsageError: the store can't be written, or has a run of that moment.
    """
    try:
        str(store).encode()
    except UnicodeEncodeError as error:
        said = f"--store {str(store)!a}: its name is not UTF-8"
        raise UsageError(said, "name a folder whose name is text") from error
    with bundle.writing(store):
        missing = [folder for folder in (store, *store.parents) if not folder.exists()]
    bundle.create(store, as_of).abandon()
    for folder in missing:
        folder.rmdir()  # nothing is left of the trial


def purpose(settings: Settings) -> str:
    """Name what a collection is for: one that was interrupted is gone on with only by a command of the same purpose."""
    return bundle.digest_of(settings.cloud, settings.arm_endpoint, *(str(it) for it in asdict(settings.scope).items()))


async def run(
    azure: Azure,
    given: Inputs,
    settings: Settings,
    *,
    store: Path,
    as_of: datetime,
    interrupted: Interrupted | None = None,
    tell: Tell = silent,
) -> Bundle:
    """Collect, build the inventory, evaluate and seal; give the bundle.

    Stopped before it is sealed, it leaves what it has read for `interrupted` of a later call.

    Raises:
        UsageError: the store can't be written, has a run of that moment, or the run before that one is damaged.
        NoRunError: nothing could be read at all.
    """
    previous = history.before(store, as_of)
    if previous is not None:
        damaged.demand_tables(previous, inventory=False)
    draft = bundle.create(store, as_of, purpose(settings))
    started = datetime.now(UTC)
    try:
        covered = await collect(
            azure,
            settings.scope,
            draft,
            lambda what: tell("collect", what),
            remembered=history.vaults(previous),
            kept=_kept(settings.scope, previous, interrupted),
            sampling_accepted=given.standard.file.population.accept_sampling,
        )
        draft.close_raw()
        draft.write_coverage(covered)
        given.keep(draft)
        with Judging() as judging:
            tell("inventory", "")
            tables.build(draft.inventory, draft.pages, as_of)
            change_tag = given.standard.file.population.accept_change_tag
            history.carry(previous, draft.inventory, draft.history, as_of, covered, change_tag=change_tag)
            await _stoppable(
                lambda: _evaluate(
                    judging, draft, covered, given, as_of=as_of, folder=draft.folder / "findings", tell=tell
                ),
                stop=judging.stop,
            )
        tell("seal", draft.id)
        about = _about(draft.id, as_of, started, given, settings) | {"identity": dict(azure.identity)}
        sealed = draft.seal(about, previous)
    except (KeyboardInterrupt, SystemExit, asyncio.CancelledError):
        draft.suspend()
        raise
    except DISK_ERRORS as error:
        draft.abandon()
        raise bundle.unwritable(store, error) from error
    except BaseException:
        draft.abandon()
        raise
    if interrupted is not None:
        interrupted.discard()
    return sealed


def _kept(scope: Scope, previous: Bundle | None, interrupted: Interrupted | None) -> Kept | None:
    """Give the answers that need not be asked for again."""
    earlier = history.Earlier(previous) if previous is not None and scope.recovery_points == "changed" else None
    known = [it for it in (interrupted, earlier) if it is not None]
    return FirstKept(known) if known else None


def evaluate_again(found: Bundle, given: Inputs, as_of: datetime | None = None, tell: Tell = silent) -> Path:
    """Judge a bundle anew; give the folder of its findings, below `evaluations/`. Nothing else changes."""
    moment = as_of or found.as_of
    if moment < found.as_of:
        said = f"--as-of {_stamp(moment)} lies before the evidence, which is as of {_stamp(found.as_of)}"
        raise UsageError(said, "name its moment or a later one, or an earlier run")
    texts = (given.waivers_text, given.responses_text)
    digest = bundle.digest_of(given.book.digest, given.standard.digest, *texts, _stamp(moment))
    target = found.folder / "evaluations" / digest
    if not (target / "evaluation.json").exists():
        scratch = target.with_name(f".{digest}.tmp")
        shutil.rmtree(scratch, ignore_errors=True)
        try:
            with damaged.reading(found), Judging() as judging:
                covered = found.covered()
                _evaluate(judging, found, covered, given, as_of=moment, folder=scratch / "findings", tell=tell)
            about = {"as_of": _stamp(moment), "manifest_digest": found.manifest_digest, **_judged_by(given)}
            write_atomically(scratch / "evaluation.json", to_json(about))
            scratch.rename(target)
        except OSError as error:
            said = f"{target}: cannot be written: {error.strerror}"
            raise UsageError(said, "judge a copy of the bundle where you may write") from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return target / "findings"


def read(
    found: Bundle,
    given: Inputs | None = None,
    *,
    findings: Path | None = None,
    as_of: datetime | None = None,
    threshold: str | None = None,
    allow_incomplete: Sequence[str] | None = None,
    language: str = "en",
    passes: bool = False,
) -> Results:
    """Read a bundle into results with the gate judged.

    Args:
        found: the bundle.
        given: what its findings were made by; the bundle's own copies by default.
        findings: folder of findings made by `evaluate_again`; the bundle's own by default.
        as_of: moment of another evaluation; the run's by default.
        threshold: of the gate; the run's by default.
        allow_incomplete: of the gate; the run's by default.
        language: of the findings' sentences.
        passes: name the resources behind the passes (see `needs_passes`).
    """
    given = given or inputs.sealed(found)
    with damaged.reading(found, findings), _facts(found, given, as_of) as facts:
        made = _results(found, given, facts, findings=findings, as_of=as_of, language=language, passes=passes)
        allowed = found.run["allow_incomplete"] if allow_incomplete is None else allow_incomplete
        judgement = gate.judge(
            made.findings,
            made.coverage,
            made.gaps,
            threshold=threshold or found.run["fail_on"],
            allowed_gaps=tuple(allowed),
        )
    return replace(made, gate=judgement)


def _results(
    found: Bundle,
    given: Inputs,
    facts: Facts,
    *,
    findings: Path | None = None,
    as_of: datetime | None = None,
    language: str = "en",
    passes: bool = False,
) -> Results:
    """Read results whose gate is still open."""
    judged = results.Judged(
        found,
        findings or found.folder / "findings",
        given.book,
        given.standard,
        given.waivers,
        given.self_test,
        as_of or found.as_of,
        given.responses,
        given.evidence,
        language,
    )
    return results.read(judged, facts, passes=passes)


def explain(found: Bundle, wanted: str, given: Inputs | None = None) -> tuple[Results, Explained]:
    """Gather what a bundle knows of one resource, named by its id or name.

    Raises:
        UsageError: nothing is called so, or several things are.
    """
    given = given or inputs.sealed(found)
    with damaged.reading(found), _facts(found, given) as facts:
        made = _results(found, given, facts)
        return made, explaining.explain(facts, made, found.folder / "findings", wanted)


def read_by_rule(found: Bundle, rule: str, wanted: str) -> tuple[Rule, Mapping[str, Any], Explained]:
    """Give a rule with its parameters as set, and what is known of one resource that it is about.

    Raises:
        UsageError: there is no such rule, it is about another kind, or nothing is called so.
    """
    given = inputs.sealed(found)
    judged = given.book.get(rule)
    _, told = explain(found, wanted, given)
    if all(known.id != rule for known, _ in told.verdicts):
        said = f"rule {rule} is about each {judged.file.resource_type}, {told.name} is a {told.resource_type}"
        raise UsageError(said, "name a resource of that kind")
    return judged, given.book.params[rule], told


def register(found: Bundle, waivers: Sequence[WaiverEntry]) -> tuple[list[waiving.Reach], list[dict[str, Any]]]:
    """Give what each waiver would cover in a run, and the exemptions of Azure Policy that stand beside them."""
    with damaged.reading(found), _facts(found, inputs.sealed(found), only=("policy_exemption",)) as facts:
        return waiving.reach(facts, found.folder / "findings", waivers), waiving.exemptions(facts)


def _evaluate(
    judging: Judging,
    place: Bundle | bundle.Draft,
    covered: Covered,
    given: Inputs,
    *,
    as_of: datetime,
    folder: Path,
    tell: Tell,
) -> None:
    with _inventory(place) as inventory:
        circumstances = _circumstances(place, covered, given, as_of)
        judging.judge(given.book, inventory, circumstances, folder=folder, tell=lambda rule: tell("evaluate", rule))


async def _stoppable(work: Callable[[], None], *, stop: Callable[[], None]) -> None:
    """Do work that waits for another process; when we are told to end, so is that process."""
    done = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        await asyncio.shield(done)
    except asyncio.CancelledError:
        stop()
        await asyncio.wait([done])
        done.exception()  # that it was stopped is known
        raise


@contextmanager
def _inventory(place: Bundle | bundle.Draft) -> Iterator[Path]:
    """Give the folder of the typed tables; those that another version made are made anew from the raw answers."""
    if isinstance(place, bundle.Draft) or place.run.get("tables_digest") == catalogue.digest():
        yield place.inventory
        return
    place.demand_raw()
    with TemporaryDirectory(prefix="auditor-") as scratch:
        tables.build(Path(scratch), place.pages, place.as_of)
        yield Path(scratch)


@contextmanager
def _facts(
    found: Bundle, given: Inputs, moment: datetime | None = None, *, only: Sequence[str] | None = None
) -> Iterator[Facts]:
    """Open a bundle's tables; all views, or these and what they rest on."""
    about = _circumstances(found, found.covered(), given, moment or found.as_of)
    with _inventory(found) as folder, Facts.open(folder, about, only=only) as facts:
        yield facts


def _circumstances(place: Bundle | bundle.Draft, covered: Covered, given: Inputs, as_of: datetime) -> Circumstances:
    return Circumstances(
        as_of,
        given.standard,
        covered.coverage,
        covered.gaps,
        covered.second,
        covered.sampled,
        place.history,
        given.waivers,
        given.evidence,
    )


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _judged_by(given: Inputs) -> dict[str, Any]:
    ref = given.standard.ref
    return {
        "rules_digest": given.book.digest,
        "standard": {"name": ref.name, "version": ref.version, "digest": ref.digest},
        "waivers": bundle.digest_of(given.waivers_text),
        "self_test": dict(given.self_test),
    }


def _about(run_id: str, as_of: datetime, started: datetime, given: Inputs, settings: Settings) -> dict[str, Any]:
    return {
        "id": run_id,
        "as_of": _stamp(as_of),
        "started_at": _stamp(started),
        "finished_at": _stamp(datetime.now(UTC)),
        "tool_version": __version__,
        "tables_digest": catalogue.digest(),
        "versions": {"python": platform.python_version(), **{name: metadata.version(name) for name in _BEHIND}},
        **_judged_by(given),
        "scope": asdict(settings.scope),
        "cloud": settings.cloud,
        "arm_endpoint": settings.arm_endpoint,
        "organisation": settings.organisation,
        "classification": settings.classification,
        "fail_on": settings.threshold,
        "allow_incomplete": list(settings.allow_incomplete),
        "exit_zero": settings.exit_zero,
        "command": dict(settings.command),
    }
