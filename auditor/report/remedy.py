"""The fix of a rule, with the names of one finding filled in, safe to paste into a shell."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from auditor.report import wording

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from auditor.model import Finding

_PLACE = re.compile(r"\{(\w+)\}|<(vault-group|vault|container|item)>")
"""A name in braces; or one of the parts of a backup item's id, which fixes name in angles."""
_ITEM = re.compile(
    r"/subscriptions/[^/]+/resourcegroups/(?P<vault_group>[^/]+)/providers/[^/]+/vaults/(?P<vault>[^/]+)"
    r"(?:/backupfabrics/[^/]+/protectioncontainers/(?P<container>[^/]+)/protecteditems/(?P<item>[^/]+))?$",
    re.IGNORECASE,
)


def names(row: Finding) -> Mapping[str, str]:
    """Give the texts that a fix may name: what was read, and the resource itself."""
    read = {name: value for name, value in row.evidence.items() if isinstance(value, str) and value}
    found = _ITEM.match(read.get("item_id", ""))
    return {
        **({name: part for name, part in found.groupdict().items() if part} if found else {}),
        **read,
        "resource_id": row.resource_id,
        "resource_name": row.resource_name,
        "resource_group": row.resource_group,
        "subscription_id": row.subscription_id,
    }


def command(text: str, known: Mapping[str, str]) -> str:
    """Fill a command, a line for each of its steps, to be pasted into a shell as it is.

    Every name is quoted and stays in its line, since it comes from a stranger; unknown ones are described in words.
    """
    return _filled(steps(text), known, lambda value: shlex.quote(wording.visible(value).replace("\n", "[U+000A]")))


def steps(text: str) -> str:
    """Give a rule's commands a line each; what is no command begins with `#`."""
    return text.replace("; ", "\n")


def parts(kind: str, text: str) -> list[str]:
    """Give what is translated on its own: of commands each step, else the whole."""
    return text.split("; ") if kind == "az" else [text]


def path(text: str, known: Mapping[str, str]) -> str:
    """Fill a path through the portal."""
    return _filled(text, known, str)


def _filled(text: str, known: Mapping[str, str], written: Callable[[str], str]) -> str:
    def one(place: re.Match[str]) -> str:
        value = known.get(place[1] or place[2].replace("-", "_"))
        if value:
            return written(value)
        return f"<{place[1].replace('_', ' ')}>" if place[1] else place[0]

    return _PLACE.sub(one, text)
