"""This machine: versions, Pango, fonts, the rules' own tests, the store. Nothing is asked of anybody else."""

from __future__ import annotations

import platform
from datetime import UTC, datetime, timedelta
from importlib import metadata
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from auditor import bundle, pipeline
from auditor.doctor import Check
from auditor.errors import AuditorError, BundleError
from auditor.model import CLOCK_TOLERANCE_SECONDS
from auditor.report import pango

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from auditor.inputs import Inputs

_PACKAGE = "azure-backup-auditor"


def versions() -> Iterable[Check]:
    """Hold Python and the libraries against what the package demands."""
    try:
        package = metadata.distribution(_PACKAGE)
    except metadata.PackageNotFoundError:
        said = "the package is not installed, so nothing says what it needs"
        yield Check("libraries", "warn", said, "pip install .")
        return
    demanded, running = package.metadata["Requires-Python"] or "", platform.python_version()
    if SpecifierSet(demanded).contains(running, prereleases=True):
        yield Check("python", "ok", running)
    else:
        yield Check("python", "fail", f"{running}, {demanded} is needed", f"install Python {demanded}")
    wanted = [Requirement(text) for text in package.requires or ()]
    wanted = [need for need in wanted if need.marker is None or need.marker.evaluate({"extra": ""})]
    wrong = {str(need): said for need in wanted if (said := _lacking(need))}
    if wrong:
        install = " ".join(f"'{need}'" for need in wrong)
        yield Check("libraries", "fail", ", ".join(wrong.values()), f"pip install {install}")
    else:
        yield Check("libraries", "ok", f"auditor {package.version}, {len(wanted)} libraries as demanded")


def _lacking(need: Requirement) -> str:
    try:
        found = metadata.version(need.name)
    except metadata.PackageNotFoundError:
        return f"{need.name} is missing"
    if need.specifier.contains(found, prereleases=True):
        return ""
    return f"{need.name} is {found}, {need.specifier} is needed"


def pdf() -> Iterable[Check]:
    """Look whether a PDF can be made here."""
    try:
        found = pango.find()
    except (ImportError, OSError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        yield Check("pango", "fail", f"a PDF cannot be made here: {said}", pango.install())
    else:
        if found.subsets:
            yield Check("pango", "ok", f"Pango {found.version}, HarfBuzz cuts fonts down")
        else:
            said = f"Pango {found.version}, but HarfBuzz's library for cutting fonts down is missing"
            yield Check("pango", "warn", said, pango.install())
    try:
        from auditor.report import fonts  # noqa: PLC0415 - may be what is missing

        faces = fonts.faces()
        gone = [str(face.path) for face in faces if not face.path.is_file()]
    except (ImportError, LookupError, OSError, ValueError) as error:
        gone, faces = [str(error) or type(error).__name__], ()
    if gone:
        names = "fontpkg-ibm-plex-sans fontpkg-ibm-plex-sans-condensed fontpkg-noto-sans"
        yield Check("fonts", "fail", f"not found: {', '.join(gone)}", f"pip install --force-reinstall {names}")
    else:
        yield Check("fonts", "ok", f"{len(faces)} faces")


def rules(given: Inputs) -> Check:
    """Say what the rules' own tests came to; they were run when they were read."""
    ref = given.standard.ref
    passed = f"{len(given.book.rules)} rules passed their {given.self_test['passed']} tests"
    return Check("rules", "ok", f"{passed}; standard {ref.name} {ref.version}")


def store(folder: Path) -> Check:
    """Look whether a run could be written."""
    try:
        pipeline.check_store(folder, datetime.now(UTC))
    except AuditorError as error:
        return Check("store", "fail", error.message, error.hint)
    except OSError as error:
        return Check("store", "fail", f"{folder}: {error.strerror}", "name a folder you may write to")
    return Check("store", "ok", f"{folder} can be written")


def age(folder: Path, longest_hours: float, now: datetime) -> Check:
    """Look whether the newest run of a store is young enough: that the weekly job ran.

    A run that claims to be of the future proves nothing and is passed over.
    """
    remedy = "see why the scheduled audit did not run, then run `auditor audit`"
    newest, troubles = None, []
    try:
        found = bundle.runs(folder)
    except OSError as error:
        return Check("last run", "fail", f"{folder} cannot be read: {error.strerror}", "name a store you may read")
    for place in reversed(found):
        try:
            one = bundle.Bundle(place)
        except BundleError as error:
            troubles.append(f"{error.message}; ")
            continue
        if one.as_of <= now + timedelta(seconds=CLOCK_TOLERANCE_SECONDS):
            newest = one
            break
    told = "".join(troubles)
    allowed = f"{_long(longest_hours)} allowed"
    if newest is None:
        return Check("last run", "fail", f"{told}the store {folder} holds no run; {allowed}", remedy)
    hours = max((now - newest.as_of).total_seconds() / 3600, 0.0)
    said = f"{told}{newest.folder.name} is {_long(hours)} old; {allowed}"
    return Check("last run", "fail", said, remedy) if hours > longest_hours else Check("last run", "ok", said)


def _long(hours: float) -> str:
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} d"  # noqa: PLR2004 - two days
