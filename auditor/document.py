"""A YAML document that remembers its lines, so that every mistake can be told as `file:line`."""

from __future__ import annotations

import difflib
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from auditor.errors import DocumentError, Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pydantic import BaseModel, ValidationError

Key = tuple[str | int, ...]
"""Where a value stands in a document: keys and list positions from the root."""

MOST_VALUES = 1_000_000
"""A file with more is a mistake or an attack: aliases of aliases multiply."""

_PLAINLY = {
    "model_type": "must be a block of `key: value` lines",
    "model_attributes_type": "must be a block of `key: value` lines",
    "dict_type": "must be a block of `key: value` lines",
    "list_type": "must be a list",
    "string_type": "must be text",
    "string_too_short": "must say something",
    "date_type": "must be a date such as 2026-12-31",
    "date_parsing": "must be a date such as 2026-12-31",
    "date_from_datetime_parsing": "must be a date such as 2026-12-31",
}
"""What pydantic says in the words of its own classes, said in those of the file."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INT = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?([0-9][0-9_]*)?\.[0-9]+([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+")
_WORDS: dict[str, Any] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_WORDS |= dict.fromkeys(("true", "True", "TRUE"), True)
_WORDS |= dict.fromkeys(("false", "False", "FALSE"), False)


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed YAML file: its data (dicts, lists, scalars; dates stay text) and the line of each value."""

    path: str
    data: Any
    lines: Mapping[Key, int]

    def line(self, key: Iterable[str | int] = ()) -> int:
        """Give the line of `key`, or of its nearest ancestor where the key itself is absent; counts from 1."""
        where = tuple(key)
        while where and where not in self.lines:
            where = where[:-1]
        return self.lines.get(where, 1)

    def fault(self, key: Iterable[str | int], message: str, hint: str = "") -> Fault:
        """Make a fault that points at `key`."""
        return Fault(self.path, self.line(key), message, hint)

    def faults(self, error: ValidationError, model: type[BaseModel], prefix: Key = ()) -> list[Fault]:
        """Turn pydantic's errors into faults; an unknown key gets a did-you-mean."""
        found = []
        for problem in error.errors(include_url=False):
            where = prefix + tuple(part for part in problem["loc"] if self._stands(prefix, problem["loc"], part))
            name = ".".join(str(part) for part in where)
            if problem["type"] == "extra_forbidden":
                known = _fields_at(model, problem["loc"][:-1])
                found.append(self.fault(where, f"unknown key {name!r}", did_you_mean(str(where[-1]), known)))
            elif problem["type"] == "missing":
                found.append(self.fault(where[:-1], f"{name!r} is missing", "add it"))
            else:
                message = _PLAINLY.get(problem["type"]) or problem["msg"].removeprefix("Value error, ")
                found.append(self.fault(where, f"{name}: {message}" if name else message))
        return found

    def _stands(self, prefix: Key, loc: tuple[str | int, ...], part: str | int) -> bool:
        # pydantic puts the names of union members and validators into `loc`; only what the file knows, or the
        # last word (a missing key), is an address.
        return part == loc[-1] or any(key[len(prefix) :][-1:] == (part,) for key in self.lines) or isinstance(part, int)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Give the remedy for an unknown word: the nearest known one, or all of them."""
    words = sorted(known)
    folded = {it.casefold(): it for it in words}
    near = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)
    if near:
        return f"did you mean {folded[near[0]]!r}?"
    return f"known here: {', '.join(words)}" if words else "remove it"


def _fields_at(model: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
    """List the field names of the model that `loc` leads to, following nested models as far as they are plain."""
    from pydantic import BaseModel as Base  # noqa: PLC0415 - pydantic costs 0.1 s that `--help` need not pay

    here: Any = model
    for part in loc:
        if isinstance(here, type) and issubclass(here, Base) and part in _aliases(here):
            here = here.model_fields[_aliases(here)[str(part)]].annotation
        candidates = [here, *_arguments(here)]
        models = [item for item in candidates if isinstance(item, type) and issubclass(item, Base)]
        here = models[0] if models else here
    return list(_aliases(here)) if isinstance(here, type) and issubclass(here, Base) else []


def _aliases(model: type[BaseModel]) -> dict[str, str]:
    return {field.alias or name: name for name, field in model.model_fields.items()}


def _arguments(annotation: Any) -> list[Any]:
    """All type arguments inside `annotation`, at any depth."""
    inner = list(getattr(annotation, "__args__", ()))
    return inner + [deep for item in inner for deep in _arguments(item)]


def load(path: Path, name: str | None = None) -> Document:
    """Read a YAML file.

    Args:
        path: the file.
        name: how errors call it; the path by default.

    Raises:
        DocumentError: unreadable, not UTF-8, not YAML, or with a key given twice.
    """
    shown = name or str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DocumentError([Fault(shown, 0, f"cannot be read: {error.strerror}", "check the path")]) from error
    except UnicodeDecodeError as error:
        raise DocumentError([Fault(shown, 0, "is not UTF-8 text", "save it as UTF-8")]) from error
    return parse(text, shown)


def parse(text: str, path: str) -> Document:
    """Parse YAML text; see `load`."""
    try:
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = error.problem or "is not YAML"
        raise DocumentError([Fault(path, mark.line + 1 if mark else 0, said, "correct the YAML here")]) from error
    except yaml.YAMLError as error:
        raise DocumentError([Fault(path, 0, str(error).splitlines()[0], "correct the YAML")]) from error
    except RecursionError as error:
        raise DocumentError([Fault(path, 0, "is nested too deeply", "write it flatter")]) from error
    reader = _Reader(path)
    try:
        data = reader.value(node, ()) if node is not None else None
    except RecursionError as error:
        raise DocumentError([Fault(path, 0, "is nested too deeply", "write it flatter")]) from error
    if reader.faults:
        raise DocumentError(reader.faults)
    return Document(path, data, reader.lines)


class _Reader:
    """Builds plain data from YAML nodes, with YAML 1.2's idea of a scalar (`on`, `no`, `2026-01-01` are text)."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.lines: dict[Key, int] = {}
        self.faults: list[Fault] = []
        self._open: set[int] = set()

    def value(self, node: yaml.Node, key: Key) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(key, line)
        if id(node) in self._open:
            raise DocumentError([Fault(self.path, line, "an alias contains itself", "write it out")])
        if len(self.lines) > MOST_VALUES:
            raise DocumentError([Fault(self.path, line, f"too many values (over {MOST_VALUES})", "use fewer aliases")])
        self._open.add(id(node))
        try:
            return self._value(node, key)
        finally:
            self._open.discard(id(node))

    def _value(self, node: yaml.Node, key: Key) -> Any:
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, key)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*key, number)) for number, item in enumerate(node.value)]
        return self._scalar(node) if isinstance(node, yaml.ScalarNode) else None

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        try:
            return _scalar(node)
        except ValueError:  # Python refuses to read numbers of thousands of digits
            said = f"{node.value[:20]}… is a number of {len(node.value)} digits"
            self.faults.append(Fault(self.path, node.start_mark.line + 1, said, "write a smaller one, or quote it"))
            return None

    def _mapping(self, node: yaml.MappingNode, key: Key) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        result: dict[str, Any] = {}
        for name_node, value_node in node.value:
            if not isinstance(name_node, yaml.ScalarNode):
                self.faults.append(Fault(self.path, name_node.start_mark.line + 1, "a key must be a single word"))
                continue
            name = name_node.value
            if name_node.tag == "tag:yaml.org,2002:merge":
                merged |= self._merged(value_node, key)
                continue
            if name in result:
                said = f"key {name!r} is given twice"
                self.faults.append(Fault(self.path, name_node.start_mark.line + 1, said, "remove one"))
            self.lines[*key, name] = name_node.start_mark.line + 1
            result[name] = self.value(value_node, (*key, name))
        return merged | result

    def _merged(self, node: yaml.Node, key: Key) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for part in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if isinstance(part, yaml.MappingNode):
                merged |= self.value(part, key)
            else:
                line = part.start_mark.line + 1
                self.faults.append(
                    Fault(self.path, line, "`<<` takes keys from a mapping", "name one, such as `*base`")
                )
        return merged


def _scalar(node: yaml.ScalarNode) -> Any:
    text: str = node.value
    if node.style in ("'", '"', "|", ">"):
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text.replace("_", ""))
    if _FLOAT.fullmatch(text):
        return float(text.replace("_", ""))
    return math.inf if text == ".inf" else text
