"""Takes persons out of results: each name becomes a keyed pseudonym, the same everywhere, so that rows still join.

What counts as a person: owners, requesters, approvers, authors, who performed and who reviewed a restore test, who
signed in, and every e-mail address. Their names are replaced in sentences too. Names of resources, groups and classes
stay: they are what the report is about.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any

from auditor.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from auditor.model import Results

KEY_NAME = "redact.key"
"""Its file in the store; it is never in a bundle, so that handing one over does not hand over the key."""
_KEY_BYTES = 32

_PERSONS = re.compile(
    r"(.*_)?(owners?|requester|approver|author|approved_by|performed_by|reviewed_by|upn)(_name)?", re.IGNORECASE
)
"""Fields and keys that hold a person, or a team."""
_SENTENCES = frozenset(
    {
        "about", "action", "command", "compensating_control", "detail", "evidence", "justification", "match", "notes",
        "reason", "roles", "verdicts",
    }
)  # fmt: skip
"""Fields whose words may name one."""
_NAMES = re.compile(r"(^|_)(id|ids|name|names|state|group)$")
"""Keys inside evidence that hold a resource's name or an Azure word: only e-mail addresses are replaced in them."""
_MAIL = re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+")
_HOME = re.compile(r"(?<=[/\\])((?:home|Users)[/\\])[^/\\\s]+", re.IGNORECASE)


def read_key(path: Path) -> bytes:
    """Read a key; a file that is not there yet is made with a random one, readable by its owner alone.

    Raises:
        UsageError: it can't be read or written, or is too short to keep anything secret.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(secrets.token_hex(_KEY_BYTES) + "\n")
    except FileExistsError:
        pass
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}", "name a key file with --redact-key") from error
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}", "name another with --redact-key") from error
    if len(key) < _KEY_BYTES:
        raise UsageError(f"{path}: holds {len(key)} bytes, a key has {_KEY_BYTES} or more", "let auditor make one")
    return key


def redacted(results: Results, key: bytes) -> Results:
    """Give the same results with pseudonyms for persons; the same key gives the same pseudonyms.

    Results that were redacted before stay as they are.
    """
    if results.redacted:
        return results

    def pseudonym(name: str) -> str:
        digest = hmac.new(key, name.strip().casefold().encode("utf-8", "surrogatepass"), hashlib.sha256)
        return f"person-{digest.hexdigest()[:10]}"

    known = sorted({name for name in _persons(results) if name.strip()}, key=lambda it: (-len(it), it))
    spelt = re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, known)) + r")(?!\w)") if known else None

    def in_words(text: str) -> str:
        if spelt is not None:
            text = spelt.sub(lambda m: pseudonym(m[0]), text)
        return _HOME.sub(lambda m: f"{m[1]}\N{HORIZONTAL ELLIPSIS}", without_mail(text))

    def without_mail(text: str) -> str:
        return _MAIL.sub(lambda m: pseudonym(m[0]), text) if "@" in text else text

    made: Results = _walked(results, "", _Replacing(pseudonym, in_words, without_mail))
    identity = {
        name: pseudonym(value) if name == "name" and isinstance(value, str) else value
        for name, value in made.run.identity.items()
    }
    return dataclasses.replace(made, run=dataclasses.replace(made.run, identity=identity), redacted=True)


def _persons(value: Any, field: str = "") -> Iterator[str]:
    """Give every name that stands where a person stands."""
    if isinstance(value, str):
        if _PERSONS.fullmatch(field) and not isinstance(value, Enum):
            yield value
    else:
        for name, inner in _inside(value, field):
            yield from _persons(inner, name)


def _inside(value: Any, field: str) -> Iterator[tuple[str, Any]]:
    if dataclasses.is_dataclass(value):
        yield from ((it.name, getattr(value, it.name)) for it in dataclasses.fields(value) if it.name != "statuses")
    elif isinstance(value, Mapping):
        yield from ((str(name), inner) for name, inner in value.items())
    elif isinstance(value, (list, tuple)):
        yield from ((field, inner) for inner in value)


@dataclasses.dataclass(frozen=True, slots=True)
class _Replacing:
    """What is written for a text."""

    person: Callable[[str], str]
    """For one that is a person's name."""
    words: Callable[[str], str]
    """For one that may name a person among other words."""
    rest: Callable[[str], str]


def _walked(value: Any, field: str, instead: _Replacing, *, free: bool = False) -> Any:
    """Rebuild a value with pseudonyms; `free` inside of what may name a person in its words."""

    def walked(name: str, inner: Any) -> Any:
        return _walked(inner, name, instead, free=free or name in _SENTENCES)

    made: Any = value
    if isinstance(value, Enum) or field == "statuses":
        return value
    if isinstance(value, str):
        if _PERSONS.fullmatch(field):
            made = instead.person(value) if value.strip() else value
        else:
            made = instead.words(value) if free and not _NAMES.search(field) else instead.rest(value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        made = dataclasses.replace(
            value, **{it.name: walked(it.name, getattr(value, it.name)) for it in dataclasses.fields(value)}
        )
    elif isinstance(value, Mapping):
        made = {name: walked(str(name), inner) for name, inner in value.items()}
    elif isinstance(value, (list, tuple)):
        made = type(value)(walked(field, inner) for inner in value)
    return made
