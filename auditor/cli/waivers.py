"""`auditor waivers`: list and lint the waivers, and tell which of them end soon."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from auditor.cli import options as opt
from auditor.cli.terminal import printable
from auditor.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from pathlib import Path

    from auditor.bundle import Bundle
    from auditor.engine.waivers import Reach
    from auditor.standard import WaiverEntry


@dataclass(frozen=True, slots=True)
class _Entry:
    """A waiver with all that is said of it."""

    waiver: WaiverEntry
    place: str
    """File and line."""
    state: str
    reach: Reach | None
    faults: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Register:
    """Our waivers, and Azure's exemptions beside them."""

    bundle: Bundle | None
    entries: Sequence[_Entry]
    exemptions: Sequence[dict[str, Any]]
    today: date


@click.group("waivers")
def command() -> None:
    """List and lint the waivers, and tell which of them end soon."""


_bundle = click.argument("bundle", required=False)


@command.command("list")
@_bundle
@opt.config
@opt.inputs
@opt.store
@opt.output
def list_(bundle: str | None, **options: Any) -> int:
    """List the waivers with what they cover in BUNDLE, and the exemptions of Azure Policy beside them.

    BUNDLE is a folder, a run name, or `latest`, which is the default; its own waivers are listed where --waivers names
    no file.
    """
    _show(_read(bundle, options), options["form"])
    return ExitCode.OK


@command.command("lint")
@_bundle
@opt.config
@opt.inputs
@opt.store
@opt.output
def lint(bundle: str | None, **options: Any) -> int:
    """Check the waivers: exit 1 where one is not in order.

    Self-approved, too long, ended, of a rule that there is not; in BUNDLE (`latest` by default) without a fail that it
    covers, or covering more than 10 % of what its rule judged. Without a run the file alone is checked.
    """
    found = _read(bundle, options)
    if options["form"] == "json":
        _show(found, "json")
    else:
        for entry in found.entries:
            for fault in entry.faults:
                click.echo(printable(f"{entry.place}: waiver {entry.waiver.id}: {fault}"))
    wrong = sum(bool(entry.faults) for entry in found.entries)
    if options["form"] != "json" and not options["quiet"]:
        click.echo(f"{len(found.entries) - wrong} in order, {wrong} not")
    return ExitCode.GATE if wrong else ExitCode.OK


@command.command("expiring")
@_bundle
@click.option("--within", default="30d", show_default=True, metavar="DURATION", help="Ends in so long.")
@opt.config
@opt.inputs
@opt.store
@opt.output
def expiring(bundle: str | None, within: str, **options: Any) -> int:
    """List the waivers and exemptions that end soon, or have ended."""
    from auditor.standard.durations import days  # noqa: PLC0415 - see auditor.cli: commands import when they run

    try:
        most = days(within)
    except ValueError as error:
        raise UsageError(f"--within {error}", "write 30d or 4w") from error
    found = _read(bundle, options)
    entries = [it for it in found.entries if (it.waiver.expires_on - found.today).days <= most]
    ending = [it for it in found.exemptions if it["expires_in_days"] is not None and it["expires_in_days"] <= most]
    _show(_Register(found.bundle, entries, ending, found.today), options["form"])
    return ExitCode.OK


def _read(reference: str | None, options: dict[str, Any]) -> _Register:
    from auditor import bundle as bundles  # noqa: PLC0415
    from auditor import pipeline, rulebook, standard  # noqa: PLC0415
    from auditor.engine import waivers as waiving  # noqa: PLC0415
    from auditor.standard.durations import days  # noqa: PLC0415

    store: Path = options["store"]
    found = bundles.find(reference or "latest", store) if reference or bundles.runs(store) else None
    if found is None:
        click.echo(f"no run in {store}: what the waivers cover is not known, the file alone is looked at", err=True)
    path: Path | None = options["waivers"] or (found.folder / "waivers.yaml" if found else None)
    if path is None:
        raise UsageError("no waivers are named", "name --waivers FILE, or a run that had some")
    sealed = found.folder / "standard.yaml" if found else standard.default_path()
    chosen = standard.read(options["standard"] or sealed)
    known = {rule.id for rule in rulebook.read(options["rules"], whole=True).rules}
    if found is not None:
        known |= {it.stem for it in (found.folder / "findings").glob("*.parquet")}
    waivers = standard.read_register(path)
    reached, exemptions = pipeline.register(found, [it for it, _ in waivers]) if found else ([], [])
    today = datetime.now(UTC).date()
    most_days = days(chosen.file.waivers.max)
    ids: set[str] = set()
    entries = []
    for number, (waiver, line) in enumerate(waivers):
        reach = reached[number] if found else None
        faults = waiving.faults(waiver, reach, today=today, most_days=most_days, known=known)
        if waiver.id in ids:
            faults.insert(0, "its id is given twice")
        ids.add(waiver.id)
        entries.append(_Entry(waiver, f"{path}:{line}", waiving.state(waiver, today), reach, faults))
    return _Register(found, entries, exemptions, today)


def _show(found: _Register, form: str) -> None:
    if form == "json":
        click.echo(printable(json.dumps(_plain(found), indent=1, ensure_ascii=False)))
        return
    kind = "markdown" if form == "markdown" else "table"
    heads = ("waiver", "rule", "state", "until", "covers", "approver", "ticket", "not in order")
    _print(kind, heads, [
        (w.id, w.rule, it.state, str(w.expires_on), _covers(it.reach), w.approver, w.ticket, "; ".join(it.faults))
        for it in found.entries for w in [it.waiver]
    ])  # fmt: skip
    if found.exemptions:
        click.echo("\nexemptions of Azure Policy; they change no verdict\n")
        _print(kind, ("exemption", "assignment", "category", "ends in days", "VMs", "of"), [
            (it["name"], it["assignment"] or "not read", it["category"], _ends(it["expires_in_days"]),
             str(it["vm_count"]), it["exempted_id"])
            for it in found.exemptions
        ])  # fmt: skip


def _print(kind: str, heads: Sequence[str], lines: Sequence[Sequence[str | None]]) -> None:
    from auditor.cli import rows  # noqa: PLC0415

    table = rows.form(kind, heads, [False] * len(heads), None)
    click.echo(table.rows(lines) + table.end(), nl=False)


def _ends(days: float | None) -> str:
    return "never" if days is None else f"{days:.0f}"


def _covers(reach: Reach | None) -> str:
    return "not known" if reach is None else f"{reach.matched} of {reach.population}"


def _plain(found: _Register) -> dict[str, Any]:
    return {
        "run": found.bundle.run["id"] if found.bundle else None,
        "today": str(found.today),
        "waivers": [
            {
                **it.waiver.model_dump(mode="json", exclude={"match"}),
                "match": it.waiver.match.words(),
                "state": it.state,
                "matched": it.reach.matched if it.reach else None,
                "population": it.reach.population if it.reach else None,
                "faults": list(it.faults),
            }
            for it in found.entries
        ],
        "exemptions": list(found.exemptions),
    }
