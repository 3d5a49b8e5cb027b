"""The formats: every module in this folder is one, found by being here.

A format module has a docstring, `DEFAULT_NAME`, `MEDIA_TYPE` and `render(report) -> bytes`. It may have `check()`,
which raises UsageError where the format cannot be made on this machine, `notice(report)`, which says what the user
should know before it is made, and `NEEDS_PASSES = True` where it names each resource that passes.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditor.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from auditor.report.view import Report


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of report; its module is imported when it is first used."""

    kind: str
    """The module's name, which is the word the user types."""

    @property
    def default_name(self) -> str:
        """The file's name where the user gives none."""
        return str(self._module().DEFAULT_NAME)

    @property
    def media_type(self) -> str:
        """The MIME type."""
        return str(self._module().MEDIA_TYPE)

    @property
    def needs_passes(self) -> bool:
        """True where `report.passes` must be filled."""
        return bool(getattr(self._module(), "NEEDS_PASSES", False))

    def check(self) -> None:
        """Raise UsageError where this machine cannot make the format; called before anything is collected."""
        probe = getattr(self._module(), "check", None)
        if probe is not None:
            probe()

    def notice(self, report: Report) -> str:
        """Say, before it is made, that it will be unusually large; mostly empty."""
        said = getattr(self._module(), "notice", None)
        return str(said(report)) if said is not None else ""

    def render(self, report: Report) -> bytes:
        """Make the file's bytes: the same for the same report, whatever the clock, zone or locale."""
        made = self._module().render(report)
        if not isinstance(made, bytes):
            message = f"format {self.kind} must give bytes"
            raise TypeError(message)
        return made

    def _module(self) -> ModuleType:
        return importlib.import_module(f"{__name__}.{self.kind}")


@functools.cache
def discover() -> Mapping[str, Format]:
    """Find the formats, by kind, in alphabetical order."""
    return {name: Format(name) for name in sorted(module.name for module in pkgutil.iter_modules(__path__))}


def find(kind: str) -> Format:
    """Give the format `kind`, or say which there are."""
    known = discover()
    if kind not in known:
        raise UsageError(f"unknown report kind {kind!r}", f"choose from: {', '.join(known)}")
    return known[kind]
