"""The one exception tree: each class carries its exit code, and each error says what to do next."""

from __future__ import annotations

import re
from enum import IntEnum


class ExitCode(IntEnum):
    """What the process tells its caller; no output format changes it."""

    OK = 0
    """Complete, and nothing at or above the threshold."""
    GATE = 1
    """The gate tripped, or a check (`rules test`, ...) failed."""
    USAGE = 2
    """Arguments, configuration, standard, waivers, a rule or a bundle are wrong."""
    INCOMPLETE = 3
    """Something in scope could not be read or judged, and no gate tripped."""
    NO_RUN = 4
    """Sign-in, network, or no subscription visible."""
    BUG = 70
    """A fault of this program."""
    INTERRUPTED = 130
    """Ctrl-C; nothing half-written is left."""
    TERMINATED = 143
    """SIGTERM; nothing half-written is left."""


_SECRETS = (
    # A user and a password; a key or a signature in a query, of which errors of urllib3 tell without the host.
    (re.compile(r"://\S*@"), "://…@"),
    (
        re.compile(r"((?:://|url: /)\S*?)\?(?=[\w%&])\S*?(?=[:,;.)'\"]*(?:\s|$))"),
        r"\1?…",
    ),  # a key or a signature in a query
)


def without_secrets(text: str) -> str:
    """Write a text without what URLs in it may carry of credentials: who signs in, and all of a query."""
    for secret, instead in _SECRETS:
        text = secret.sub(instead, text)
    return text


MOST_TOLD = 50
"""Faults of a file that are told; a file with more is most likely another one than was meant."""


class AuditorError(Exception):
    """Base of every error that is told to the user instead of shown as a traceback."""

    exit_code = ExitCode.BUG

    def __init__(self, message: str, hint: str = "") -> None:
        """Say what is wrong in `message` and what to do about it in `hint`; neither tells a URL's credentials."""
        self.message, self.hint = without_secrets(message), without_secrets(hint)
        super().__init__(self.message)


class UsageError(AuditorError):
    """The caller's input is wrong: nothing was collected, nothing was written."""

    exit_code = ExitCode.USAGE


class Fault:
    """One mistake in a file the user wrote: where it is, and what to do."""

    __slots__ = ("hint", "line", "message", "path")

    def __init__(self, path: str, line: int, message: str, hint: str = "") -> None:
        """`line` counts from 1; 0 means the file as a whole."""
        self.path, self.line, self.message, self.hint = path, line, message, hint

    def __str__(self) -> str:
        """Show `path:line: message`, with the remedy on a line of its own."""
        where = f"{self.path}:{self.line}" if self.line else self.path
        return f"{where}: {self.message}" + (f"\n  {self.hint}" if self.hint else "")


class DocumentError(UsageError):
    """A configuration, standard, waiver or rule file is wrong; all its faults are told together."""

    def __init__(self, faults: list[Fault]) -> None:
        """Collect `faults` in the order of the file."""
        told = [str(fault) for fault in faults[:MOST_TOLD]]
        if len(faults) > MOST_TOLD:
            told.append(f"… and {len(faults) - MOST_TOLD} more")
        super().__init__("\n".join(told))
        self.faults = faults


class BundleError(UsageError):
    """A bundle is missing, incomplete, or not what its manifest says."""


class NoRunError(AuditorError):
    """The run could not take place: sign-in, network, nothing visible."""

    exit_code = ExitCode.NO_RUN
