"""What may reach a terminal: names come from Azure, and whoever may name a VM must not command a terminal by it."""

from __future__ import annotations

import asyncio
import io
import os
import re
import signal
import sys
from typing import TYPE_CHECKING, Any, TypeVar

from auditor.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")

_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters but tab and newline, and marks that turn the direction of writing."""


class Terminated(SystemExit):
    """SIGTERM, turned into an exception so that a half-written bundle is removed."""


def until_terminated(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end; SIGTERM cancels it in order, as Ctrl-C does.

    Raises:
        Terminated: it was cancelled by SIGTERM.
    """
    before = signal.getsignal(signal.SIGTERM)
    terminated = False

    async def watched() -> T:
        task = asyncio.current_task()

        def stop() -> None:
            nonlocal terminated
            terminated = True
            if task is not None:
                task.cancel()

        if sys.platform != "win32":  # there nobody sends SIGTERM: a process is ended without being asked
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
        return await work

    try:
        done = asyncio.run(watched())
    except asyncio.CancelledError:
        if not terminated:
            raise
        raise Terminated(ExitCode.TERMINATED) from None
    finally:
        signal.signal(signal.SIGTERM, before)  # a loop that ends takes its handlers along
    if terminated:
        raise Terminated(ExitCode.TERMINATED)
    return done


def printable(text: str) -> str:
    """Give text without anything that a terminal would obey."""
    return _COMMANDS.sub("\N{REPLACEMENT CHARACTER}", text)


def escaped(text: str) -> str:
    r"""Give JSON text in which what a terminal would obey is written as \uXXXX: it means the same to a program."""
    return _COMMANDS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def write_anything() -> None:
    """Let a terminal that lacks a character show `?` instead of ending the run."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def reader_left() -> None:
    """Go on in silence after the reader of our output left (`| head`): the exit code still tells the outcome."""
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, sys.stdout.fileno())
    os.close(silence)
