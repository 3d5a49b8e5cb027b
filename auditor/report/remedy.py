"""The fix of a rule, with the names of one finding filled in, safe to paste into a shell."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from auditor.report import wording

if TYPE_CHECKING:
    from collections.abc import Mapping

    from auditor.model import Finding

_PLACE = re.compile(r"\{(\w+)\}")


def names(row: Finding) -> Mapping[str, str]:
    """Give the texts that a fix may name: what was read, and the resource itself."""
    read = {name: value for name, value in row.evidence.items() if isinstance(value, str) and value}
    return {
        **read,
        "resource_id": row.resource_id,
        "resource_name": row.resource_name,
        "resource_group": row.resource_group,
        "subscription_id": row.subscription_id,
    }


def command(text: str, known: Mapping[str, str]) -> str:
    """Fill a command: every name quoted, since it comes from a stranger; unknown ones described in words."""
    return _PLACE.sub(
        lambda it: shlex.quote(wording.visible(known[it[1]])) if known.get(it[1]) else _blank(it[1]), text
    )


def path(text: str, known: Mapping[str, str]) -> str:
    """Fill a path through the portal."""
    return _PLACE.sub(lambda it: known.get(it[1]) or _blank(it[1]), text)


def _blank(name: str) -> str:
    return f"<{name.replace('_', ' ')}>"
