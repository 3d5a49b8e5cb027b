"""A bundle: the folder that one run leaves. Written under a temporary name, sealed by its manifest, then renamed.

A folder without a manifest does not exist. After sealing only `reports/` and `evaluations/` may change.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import re
import secrets
import shutil
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.bundle import kept
from auditor.bundle.raw import GRAPH_PATH, RawReader, RawWriter, entries
from auditor.errors import BundleError, UsageError
from auditor.model import Coverage, CoverageState, Gap, Subscription

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from auditor.inventory.store import Page

__all__ = ["GRAPH_PATH", "Bundle", "Covered", "Draft", "create", "find", "kept", "runs"]

SCHEMA_VERSION = "1.0"
_PREFIX = "run="
_LONGEST_SHOWN = 200
_OUTSIDE = ("reports", "evaluations")
"""Folders that the manifest does not seal: made from the bundle, after it."""


def run_id(as_of: datetime) -> str:
    """Name a run after its moment: `2026-11-22T060000Z`."""
    return as_of.astimezone(UTC).strftime("%Y-%m-%dT%H%M%SZ")


def write_atomically(path: Path, body: bytes) -> None:
    """Write a file so that it is either whole or not there.

    Raises:
        UsageError: the place can't be written.
    """
    scratch = _scratch(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with scratch.open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise UsageError(f"{path}: cannot be written: {error.strerror}", "choose a place you may write to") from error


def digest_of(*texts: str) -> str:
    """Give the SHA-256 over several texts, hex."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def digest_of_bytes(body: bytes) -> str:
    """Give the SHA-256 of a file's bytes, hex."""
    return hashlib.sha256(body).hexdigest()


def unwritable(store: Path, error: Exception) -> UsageError:
    """Say of a store why nothing can be written there."""
    said = getattr(error, "strerror", None) or str(error).splitlines()[0]
    return UsageError(
        f"--store {shown(store)}: cannot be written: {said}", "name a folder with room that you may write"
    )


@contextlib.contextmanager
def writing(store: Path) -> Iterator[None]:
    """Tell of a disk that is full, or of a place that takes no files, in the user's words.

    Raises:
        UsageError: the system refused to write or to look.
    """
    try:
        yield
    except OSError as error:
        raise unwritable(store, error) from error


def shown(path: Path | str) -> str:
    """Give a path as errors show it: one of thousands of characters would hide what is wrong with it."""
    text = str(path)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def demand_writable(path: Path) -> None:
    """Make sure, before hours of collecting, that a file can be written later.

    Raises:
        UsageError: its folder does not exist or can't be written, or the path is a folder or a device.
    """
    folder = path.parent
    try:
        said = "is a folder" if path.is_dir() else "" if folder.is_dir() else f"{folder} does not exist"
        if path.exists() and not path.is_file():
            said = said or "is a device or a pipe, which a file would replace"
        if not said:
            # Only trying tells: permissions say nothing of file systems that take no files.
            scratch = _scratch(path)
            scratch.touch()
            scratch.unlink()
    except OSError as error:
        said = f"cannot be written: {error.strerror}"
    if said:
        raise UsageError(f"--report …={shown(path)}: {said}", "name a file in a folder you may write to")


def _scratch(path: Path) -> Path:
    """Name the file that is written in place of another until it is whole."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def to_json(value: Any) -> bytes:
    """Write JSON as all files of a bundle hold it: indented, UTF-8, a newline at the end."""
    return (json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n").encode()


def reports_of(folder: Path) -> dict[str, Any]:
    """Read which reports a folder's index lists: kind -> path, size, sha256; empty where there is no index yet."""
    try:
        found = json.loads((folder / "index.json").read_bytes())["reports"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # an index is made from the reports, never the other way round
    return found if isinstance(found, dict) else {}


@dataclass(frozen=True, slots=True)
class Covered:
    """coverage.json: what was and was not read."""

    coverage: tuple[Coverage, ...]
    gaps: tuple[Gap, ...]
    subscriptions: tuple[Subscription, ...]
    """vm_count is 0 here; counted when results are read."""
    second: tuple[Coverage, ...] = ()
    """How far the second sources were read, which are held against Resource Graph; they prove, they are not needed."""
    sampled: tuple[str, ...] | None = None
    """Lower-cased ids of the protected items whose points were read, where only a sample was."""
    clock_offset_seconds: float | None = None
    """What Azure's clock is ahead of the one that ages are counted by; None where Azure did not tell."""

    @property
    def complete(self) -> bool:
        """Say whether everything was read."""
        return all(row.state.whole for row in self.coverage) and not self.gaps


class Draft:
    """A bundle while it is written."""

    def __init__(self, folder: Path, target: Path, as_of: datetime, purpose: str) -> None:
        """Use `create`."""
        self.folder, self.target, self.as_of = folder, target, as_of
        self.id = run_id(as_of)
        self._raw = RawWriter(folder)
        self._reader: RawReader | None = None
        self._lock = kept.Lock(folder, as_of, purpose)

    @property
    def inventory(self) -> Path:
        """Give the folder of the typed tables."""
        return self.folder / "inventory"

    @property
    def history(self) -> Path:
        """Give the file with what this run had to know of earlier ones."""
        return self.folder / "history.parquet"

    def page(self, table: str, entry: Mapping[str, Any], body: bytes) -> None:
        """Keep a response body, and what was asked for it; see `RawWriter.write`."""
        with writing(self.target.parent):
            self._raw.write(table, entry, body)

    def close_raw(self) -> None:
        """Finish the raw files so that they can be read back."""
        with writing(self.target.parent):
            self._raw.close()

    def write(self, name: str, body: bytes) -> None:
        """Write a file of the bundle."""
        path = self.folder / name
        with writing(self.target.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)

    def write_coverage(self, covered: Covered) -> None:
        """Write coverage.json."""
        self.write("coverage.json", to_json(asdict(covered)))

    def write_setbacks(self, setbacks: Sequence[Mapping[str, Any]]) -> None:
        """Write raw/setbacks.jsonl, the tries that came to nothing; no file where there was none."""
        if setbacks:
            lines = (json.dumps(dict(setback), ensure_ascii=False) for setback in setbacks)
            self.write("raw/setbacks.jsonl", "".join(f"{line}\n" for line in lines).encode())

    def pages(self, table: str) -> Iterator[Page]:
        """Read back the bodies of a table."""
        if self._reader is None:
            self._reader = RawReader(self.folder)
        return self._reader.pages(table)

    def seal(self, run: Mapping[str, Any], previous: Bundle | None) -> Bundle:
        """Digest every file, write the manifest last, and give the folder its final name.

        Args:
            run: what the manifest says of the run itself.
            previous: the run before in the same store, which the manifest chains to; None for the first.
        """
        self.close_raw()
        self._lock.release(folder=self.folder)
        files = []
        for path in sorted(self.folder.rglob("*")):
            if path.is_file():
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                    os.fsync(file.fileno())
                name = path.relative_to(self.folder).as_posix()
                files.append({"path": name, "size": path.stat().st_size, "sha256": digest})
        link = {"run": previous.run["id"], "manifest_digest": previous.manifest_digest} if previous else None
        manifest = {"schema_version": SCHEMA_VERSION, "run": dict(run), "previous": link, "files": files}
        write_atomically(self.folder / "manifest.json", to_json(manifest))
        if self.target.exists():
            raise UsageError(f"{self.target} appeared while this run was made", "remove or rename one of the two")
        self.folder.rename(self.target)
        _sync_folder(self.target.parent)
        return Bundle(self.target)

    def abandon(self) -> None:
        """Remove what was written."""
        with contextlib.suppress(OSError):  # a full disk refuses the last bytes too; they are removed anyway
            self._raw.close(safely=False)
        shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.release()

    def suspend(self) -> None:
        """Leave what was read to the same command, which goes on from it; see `kept.find`."""
        with contextlib.suppress(OSError):  # what a full disk did not take is read again
            self._raw.close()
        self._lock.release()


def create(store: Path, as_of: datetime, purpose: str = "") -> Draft:
    """Begin a bundle in `store`.

    Args:
        store: where it will be.
        as_of: its moment.
        purpose: what it is for: a command of the same purpose may go on from it where it is interrupted.

    Raises:
        UsageError: the store can't be written, or a run of that moment is there already.
    """
    target = store / f"{_PREFIX}{run_id(as_of)}"
    # A random name: process ids are the same in every container.
    folder = store / f"{kept.PREFIX}{run_id(as_of)}-{secrets.token_hex(4)}"
    with writing(store):
        if target.exists():
            raise UsageError(f"{target} exists already", "a run is never overwritten; name another --as-of or --store")
        folder.mkdir(parents=True)
        try:
            return Draft(folder, target, as_of, purpose)
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Bundle:
    """A sealed bundle."""

    def __init__(self, folder: Path) -> None:
        """Open a folder.

        Raises:
            BundleError: it has no manifest, or one that can't be read.
        """
        self.folder = folder
        path = folder / "manifest.json"
        try:
            body = path.read_bytes()
            self.manifest: dict[str, Any] = json.loads(body)
            self.manifest_digest = hashlib.sha256(body).hexdigest()
            self.run: dict[str, Any] = self.manifest["run"]
            self._listed = {str(entry["path"]): str(entry["sha256"]) for entry in self.manifest["files"]}
            self._as_of = datetime.fromisoformat(self.run["as_of"])
        except (FileNotFoundError, NotADirectoryError) as error:
            raise BundleError(f"{folder}: no bundle here (no manifest.json)", "name a folder run=…") from error
        except KeyError as error:
            raise BundleError(f"{path}: {error} is missing in it", "restore it from a copy") from error
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise BundleError(f"{path}: cannot be read: {error}", "restore it from a copy") from error
        version = str(self.manifest.get("schema_version", ""))
        if version.partition(".")[0] != SCHEMA_VERSION.partition(".")[0]:
            said = f"{path}: its form is of version {version or 'none'}, this is auditor for {SCHEMA_VERSION}"
            raise BundleError(said, "use the version of auditor that made it, or a newer one")

    @property
    def as_of(self) -> datetime:
        """Give the moment all ages are counted from."""
        return self._as_of

    @property
    def inventory(self) -> Path:
        """Give the folder of the typed tables."""
        return self.folder / "inventory"

    @property
    def history(self) -> Path:
        """Give the file with what this run had to know of earlier ones."""
        return self.folder / "history.parquet"

    @property
    def sealed_places(self) -> list[Path]:
        """Give the files and folders that nothing may be written to any more."""
        return [self.folder / name for name in sorted({"manifest.json", *(it.split("/")[0] for it in self._listed)})]

    def pages(self, table: str) -> Iterator[Page]:
        """Read the response bodies of a table, in the order received."""
        return self._reader.pages(table)

    @functools.cached_property
    def _reader(self) -> RawReader:
        return RawReader(self.folder)

    def covered(self) -> Covered:
        """Read coverage.json.

        Raises:
            BundleError: it is not what `Draft.write_coverage` writes.
        """
        found = self._json("coverage.json")
        try:
            return self._covered(found)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            said = f"{type(error).__name__}: {error}".splitlines()[0]
            path = self.folder / "coverage.json"
            raise BundleError(f"{path}: is not what auditor writes ({said})", "restore it from a copy") from error

    @staticmethod
    def _covered(found: Any) -> Covered:
        return Covered(
            tuple(Coverage(**{**row, "state": CoverageState(row["state"])}) for row in found["coverage"]),
            tuple(Gap(**{**row, "state": CoverageState(row["state"])}) for row in found["gaps"]),
            tuple(
                Subscription(**{**row, "management_groups": tuple(row["management_groups"])})
                for row in found["subscriptions"]
            ),
            tuple(Coverage(**{**row, "state": CoverageState(row["state"])}) for row in found.get("second", ())),
            None if found.get("sampled") is None else tuple(found["sampled"]),
            found.get("clock_offset_seconds"),
        )

    def responses(self) -> Iterator[dict[str, Any]]:
        """Read raw/responses.jsonl."""
        return entries(self.folder)

    def setbacks(self) -> Iterator[dict[str, Any]]:
        """Read raw/setbacks.jsonl, the tries that came to nothing; none where there was none."""
        return entries(self.folder, "setbacks.jsonl")

    def _json(self, name: str) -> Any:
        try:
            return json.loads((self.folder / name).read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise BundleError(f"{self.folder / name}: cannot be read: {error}", "restore it from a copy") from error

    def demand_raw(self) -> None:
        """Make sure that the raw answers are there.

        Raises:
            BundleError: they are not.
        """
        path = self.folder / "raw" / "responses.jsonl"
        if not path.is_file():
            said = f"{path}: is missing, and the tables were made by another version of auditor"
            raise BundleError(said, "restore it from a copy, or use the version that made the bundle")

    def broken_chain(self) -> list[str]:
        """Compare the link to the run before with that run, where it lies in the same store."""
        link = self.manifest.get("previous")
        if not link:
            return []
        before = self.folder.parent / f"{_PREFIX}{link['run']}"
        if not (before / "manifest.json").is_file():
            return []
        digest = Bundle(before).manifest_digest
        return [] if digest == link["manifest_digest"] else [f"{before.name} is not the run that this one followed"]

    def changed_reports(self) -> list[str]:
        """Compare the reports in the bundle with the digests that were written down when they were made."""
        folder = self.folder / "reports"
        wrong = []
        for kind, entry in sorted(reports_of(folder).items()):
            path = folder / str(entry.get("path", "")) if isinstance(entry, dict) else folder
            if path.parent == folder and path.is_file() and digest_of_bytes(path.read_bytes()) != entry.get("sha256"):
                wrong.append(f"{path.name} ({kind}) was changed after it was made")
        return wrong

    def damage(self, *, leave_out: str = "") -> list[str]:
        """Compare every file with the manifest; give what differs, missing and extra files included.

        Args:
            leave_out: a folder that is not looked at.
        """
        found = []
        for name, sealed in sorted(self._listed.items()):
            if leave_out and name.startswith(f"{leave_out}/"):
                continue
            path = self.folder / name
            if not path.is_file():
                found.append(f"{name} is missing")
                continue
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if digest != sealed:
                found.append(f"{name} was changed after the run was sealed")
        outside = {"manifest.json", *_OUTSIDE, leave_out}
        for path in sorted(self.folder.rglob("*")):
            name = path.relative_to(self.folder).as_posix()
            if path.is_file() and name not in self._listed and name.split("/")[0] not in outside:
                found.append(f"{name} was added after the run was sealed")
        return found


def runs(store: Path) -> list[Path]:
    """Give the sealed bundles of a store, oldest first.

    Raises:
        BundleError: the store can't be read.
    """
    form = re.compile(rf"{_PREFIX}\d{{4}}-\d\d-\d\dT\d{{6}}Z")
    try:
        if not store.is_dir():
            return []
        return sorted(p for p in store.iterdir() if form.fullmatch(p.name) and (p / "manifest.json").is_file())
    except OSError as error:
        said = f"--store {shown(store)}: cannot be read: {error.strerror}"
        raise BundleError(said, "name a folder that you may read") from error


def is_store(folder: Path) -> bool:
    """Tell whether a folder holds runs, and is none itself."""
    try:
        return not (folder / "manifest.json").exists() and bool(runs(folder))
    except OSError:  # a name that no file can have
        return False


def lost(found: Sequence[Bundle]) -> list[str]:
    """Name the runs that others of a store followed and that are gone from between them.

    Args:
        found: the store's runs; what lies before the first of them may have been put away.
    """
    known = {it.run["id"] for it in found}
    followed = {str(it.manifest["previous"]["run"]) for it in found if it.manifest.get("previous")}
    first = min(known, default="")
    return [
        f"run={gone} is not in the store, and a later run followed it"
        for gone in sorted(followed - known)
        if gone > first
    ]


def find(reference: str, store: Path, *, intact: bool = True) -> Bundle:
    """Open a bundle by folder, run name or `latest`, and make sure that it is what was sealed.

    The response bodies are left out of that: they are most of a bundle, and nothing is judged by them again.

    Args:
        reference: what the user typed.
        store: where run names are looked for.
        intact: False opens a changed bundle too, to say what was changed.

    Raises:
        BundleError: there is no such bundle, or it was changed.
    """
    found = Bundle(_folder_of(reference, store))
    damage = found.damage(leave_out="raw") if intact else []
    if damage:
        more = f", and {len(damage) - 1} more" if len(damage) > 1 else ""
        raise BundleError(f"{found.folder}: {damage[0]}{more}", "restore it from a copy; nothing can be proved by it")
    return found


def _folder_of(reference: str, store: Path) -> Path:
    if reference == "latest":
        known = runs(store)
        if not known:
            raise BundleError(f"the store {store} holds no run", "run `auditor audit`, or name a bundle or --store")
        return known[-1]
    said = "no such bundle"
    for candidate in (Path(reference), store / reference, store / f"{_PREFIX}{reference}"):
        try:
            if candidate.is_dir():
                return candidate
        except OSError as error:
            said = f"cannot be read: {error.strerror}"
    raise BundleError(f"{shown(reference)}: {said}", f"name a folder, a run in {shown(store)}, or `latest`")
