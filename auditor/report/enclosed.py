"""Files inside report.pdf: each has its digest in its description, where readers of PDF show it."""

from __future__ import annotations

import hashlib
import io
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pikepdf

from auditor.model import Checked

if TYPE_CHECKING:
    from collections.abc import Mapping

RECORD = "findings.json"
_RUN = re.compile(r"\d{4}-\d\d-\d\dT\d{6}Z")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_STREAM = re.compile(r"^stream <[^>]*>: ")
"""How a parser calls the file: by an address that differs from run to run."""
_DIGEST = re.compile(r"; SHA-256 ([0-9a-f]{64})")


def described(description: str, content: bytes) -> str:
    """Write a file's description with its digest."""
    return f"{description}; SHA-256 {hashlib.sha256(content).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Origin:
    """The run that a report says it is of."""

    run: str
    manifest_digest: str


def check(pdf: bytes) -> tuple[Checked, Origin | None]:
    """Hold the files inside a report against their digests; give the run that they are of, where that can be read."""
    what = "the files inside are those that were enclosed"
    try:
        found = _read(pdf)
    except Exception as error:  # noqa: BLE001 - bytes of a stranger: whatever a parser stumbles over is damage
        said = _STREAM.sub("", (str(error).splitlines() or [type(error).__name__])[0])
        return Checked(what, (f"they cannot be read: {said}",)), None
    if RECORD not in found:
        return Checked(what, (f"there is no {RECORD} in it: it is not a report of auditor, or not whole",)), None
    wrong = [
        said for name, (body, description) in sorted(found.items()) if (said := _differing(name, body, description))
    ]
    origin = _origin(found[RECORD][0])
    if origin is None:
        wrong.append(f"{RECORD} does not say which run it is of")
    return Checked(what, tuple(wrong), (", ".join(sorted(found)),)), origin


def _read(pdf: bytes) -> Mapping[str, tuple[bytes, str]]:
    with pikepdf.open(io.BytesIO(pdf)) as file:
        return {name: (it.get_file().read_bytes(), it.description) for name, it in file.attachments.items()}


def _differing(name: str, body: bytes, description: str) -> str:
    said = _DIGEST.search(description)
    if said is None:
        return f"{name}: no digest stands beside it"
    return "" if said[1] == hashlib.sha256(body).hexdigest() else f"{name}: is not the file of the digest beside it"


def _origin(record: bytes) -> Origin | None:
    try:
        run: Any = json.loads(record)["run"]
        origin = Origin(str(run["id"]), str(run["manifest_digest"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    # It becomes the name of a folder that is looked for.
    return origin if _RUN.fullmatch(origin.run) and _SHA256.fullmatch(origin.manifest_digest) else None
