"""ARM ids as Azure really hands them out: right in meaning, inconsistent in case."""

from __future__ import annotations

from hashlib import blake2b
from uuid import UUID, uuid5

from auditor.simulator.clock import seed

_NAMESPACE = UUID("6f9d1a52-0f2b-4a35-9a38-7f0f6c5a1d11")


def guid(text: str) -> str:
    """Give the one GUID that belongs to `text`."""
    return str(uuid5(_NAMESPACE, text))


def number(text: str, digits: int = 14) -> str:
    """Give the one decimal number of so many digits that belongs to `text`, as Azure names recovery points."""
    low = 10 ** (digits - 1)
    return str(low + int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) % (9 * low))


def group_id(subscription: str, group: str) -> str:
    """Id of a resource group."""
    return f"/subscriptions/{subscription}/resourceGroups/{group}"


def resource_id(subscription: str, group: str, kind: str, name: str) -> str:
    """Id of a top-level resource; `kind` as in `Microsoft.Compute/disks`."""
    return f"/subscriptions/{subscription}/resourceGroups/{group}/providers/{kind}/{name}"


def group_cased(identifier: str, style: str) -> str:
    """Write the resource group of an id in `upper` or `lower` case, or leave it."""
    parts = identifier.split("/")
    if style != "plain" and len(parts) > 4 and parts[3].lower() == "resourcegroups":  # noqa: PLR2004 - /s/x/g/NAME
        parts[4] = parts[4].upper() if style == "upper" else parts[4].lower()
    return "/".join(parts)


def mixed(identifier: str, salt: str) -> str:
    """Vary the case of an id as Azure's tables do: a third upper-case group, a third lower-case, a third as is.

    The VM's name goes upper-case with the group, and some ids begin with `/Subscriptions/`.
    """
    draw = seed(salt + identifier.lower())
    style = ("plain", "upper", "lower")[draw % 3]
    cased = group_cased(identifier, style)
    if style == "upper":
        head, _, name = cased.rpartition("/")
        cased = f"{head}/{name.upper()}"
    if draw // 3 % 4 == 0 and cased.startswith("/subscriptions/"):
        cased = "/Subscriptions/" + cased.removeprefix("/subscriptions/")
    return cased
