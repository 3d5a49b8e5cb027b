"""Whether WeasyPrint finds Pango here, and the command that brings it."""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEBIAN = "apt-get install --no-install-recommends libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"
FEDORA = "dnf install pango harfbuzz"
MACOS = "brew install pango"
WINDOWS = "install MSYS2 (https://www.msys2.org), then in its UCRT64 shell: pacman -S mingw-w64-ucrt-x86_64-pango"
_RELEASE = Path("/etc/os-release")


@dataclass(frozen=True, slots=True)
class Found:
    """What WeasyPrint works with."""

    version: str
    subsets: bool
    """HarfBuzz can cut fonts down to what a report uses."""


def find() -> Found:
    """Load WeasyPrint with its libraries.

    Raises:
        ImportError: WeasyPrint is not installed.
        OSError: one of its libraries is not.
    """
    # It prints advice of its own on stdout, where the result belongs.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        importlib.import_module("weasyprint")
        libraries: Any = importlib.import_module("weasyprint.text.ffi")
    number = int(libraries.pango.pango_version())
    version = f"{number // 10000}.{number // 100 % 100}.{number % 100}"
    return Found(version, libraries.harfbuzz_subset is not None)


def install(platform: str = sys.platform, release: Path = _RELEASE) -> str:
    """Give the command that installs Pango on this system; that of Debian and Ubuntu where the system is not known."""
    if platform in ("darwin", "win32"):
        return MACOS if platform == "darwin" else WINDOWS
    try:
        lines = release.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return DEBIAN
    said = dict(line.split("=", 1) for line in lines if "=" in line)
    kin = f"{said.get('ID', '')} {said.get('ID_LIKE', '')}".replace('"', "").split()
    return FEDORA if {"fedora", "rhel", "centos"} & set(kin) else DEBIAN
