"""The shape of JSON: which paths there are, and of which type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

FREE = ("tags", "kpisHealths", "propertyBag")
"""Objects whose keys are the user's."""


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def walk(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Give (path, type) of everything inside; `[]` stands for any element of a list."""
    yield path, _kind(value)
    if isinstance(value, dict) and path.rpartition(".")[2] not in FREE:
        for key, inner in value.items():
            yield from walk(inner, f"{path}.{key}")
    if isinstance(value, list):
        for inner in value:
            yield from walk(inner, f"{path}[]")


def lacking(sample: Any, ours: Any, exceptions: Collection[str] = ()) -> list[str]:
    """List the paths of a sample that our answer has not, or has with another type; null goes with any type."""
    have: dict[str, set[str]] = {}
    for path, kind in walk(ours):
        have.setdefault(path, set()).add(kind)
    faults = []
    for path, kind in sorted(set(walk(sample))):
        if any(path == known or path.startswith((f"{known}.", f"{known}[")) for known in exceptions):
            continue
        if path not in have:
            faults.append(f"{path} is absent")
        elif kind != "null" and kind not in have[path] and have[path] != {"null"}:
            faults.append(f"{path} is {'/'.join(sorted(have[path]))}, not {kind}")
    return faults
