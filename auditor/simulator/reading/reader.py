"""Reads the tree of an estate file, strictly: an unknown key or a wrong value is told with file and key."""

from __future__ import annotations

import re
from datetime import time, timedelta
from typing import TYPE_CHECKING, Any

from auditor.errors import UsageError
from auditor.simulator.clock import duration, instant

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from auditor.simulator.compute import Json

_RELATIVE_DATE = re.compile(r"\{([+-]\d+(?:d|w|mo|y))\}")
_COUNT = re.compile(r"(\d+)\s*(Days|Weeks|Months|Years)", re.IGNORECASE)
_STATUSES = frozenset({"pass", "fail", "waived", "not_yet_due", "not_applicable", "unknown"})

SECTIONS = frozenset({
    "estate", "location", "jobs_days", "defaults", "templates", "management_groups", "subscriptions", "resource_groups",
    "resource_guards", "vaults", "policies", "backup_vaults", "disk_policies", "disks", "vms", "scale_sets",
    "snapshots", "restore_points", "disk_backups", "replications", "initiatives", "policy_assignments", "exemptions",
    "role_assignments", "action_groups", "alert_rules",
})  # fmt: skip
"""What may stand at the top of an estate file."""
_NAMED = frozenset({"name", "names", "count", "in", "like", "location", "tags", "age", "expect"})
KEYS: Mapping[str, frozenset[str]] = {
    "management group": frozenset({"name", "parent"}),
    "subscription": frozenset({"name", "group", "id", "state", "tags", "tenant"}),
    "resource group": frozenset({"location", "tags", "managed_by"}),
    "resource guard": frozenset({"location", "tags", "excluded"}),
    "vault": frozenset({
        "location", "redundancy", "crr", "soft_delete", "soft_delete_days", "immutability", "immutability_days", "mua",
        "public", "alerts", "classic_alerts", "tags", "bare", "cmk", "private_endpoints", "diagnostics",
    }),
    "key": frozenset({"uri", "identity", "infrastructure"}),
    "private endpoint": frozenset({"name", "in", "status", "groups"}),
    "diagnostic setting": frozenset({"name", "in", "workspace", "storage", "categories"}),
    "policy": frozenset({
        "vaults", "daily", "weekly", "hourly", "keep", "zone", "instant", "enhanced", "archive_after",
    }),
    "backup vault": frozenset({
        "location", "redundancy", "soft_delete", "soft_delete_days", "immutability", "guarded", "crr", "identity",
        "alerts", "bare", "tags",
    }),
    "disk policy": frozenset({"vaults", "every", "at", "keep", "weekly"}),
    "vm": _NAMED | {
        "size", "os", "image", "power", "priority", "ephemeral", "unmanaged", "scale_set", "security", "zone",
        "os_disk", "disks", "disk_sku", "shared_disks", "backup", "sql", "plan", "managed_by", "deleted", "extras",
    },
    "backup": frozenset({
        "vault", "policy", "state", "since", "points", "deleted", "last_backup", "last_status", "health", "old_id",
        "datasource_deleted", "excluded_luns", "included_luns", "restores",
    }),
    "restore": frozenset({"at", "status", "minutes"}),
    "points": frozenset({
        "newest", "daily", "weekly", "monthly", "missing_days", "soft_deleted_days", "all_soft_deleted", "unvaulted",
        "instant", "archive_after", "rehydrated", "on_demand", "on_demand_keep", "empty",
    }),
    "scale set": _NAMED | {"mode", "capacity", "size", "os", "image", "priority", "zones"},
    "disk": _NAMED | {"size", "sku", "os", "shared", "state", "network", "public"},
    "snapshot": _NAMED | {
        "of", "step", "size", "sku", "incremental", "create", "recreated", "state", "immutable_days", "os", "network",
        "public", "auth_mode", "completion", "access",
    },
    "restore point collection": _NAMED | {"of", "points", "consistency", "excluded_luns"},
    "disk backup": frozenset({"vault", "in", "location", "of", "snapshot_group", "policy", "state"}),
    "replication": frozenset({
        "vault", "of", "to", "location", "state", "health", "rpo", "last_test", "test_state", "policy",
    }),
    "initiative": frozenset({
        "name", "scope", "display_name", "description", "category", "version", "definitions", "parameters",
    }),
    "policy assignment": frozenset({
        "name", "scope", "definition", "initiative", "display_name", "description", "enforced", "parameters",
        "not_scopes", "identity", "location", "overrides", "resource_selectors",
    }),
    "exemption": frozenset({
        "name", "scope", "assignment", "references", "category", "expires", "display_name", "description", "metadata",
        "age",
    }),
    "role assignment": frozenset({"scope", "role", "principal", "kind", "age"}),
    "action group": _NAMED | {"short", "emails", "webhooks", "enabled"},
    "alert rule": _NAMED | {
        "scopes", "action_groups", "suppress", "conditions", "schedule", "description", "enabled",
    },
}  # fmt: skip
"""What may stand in each kind of entry."""


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> Json:
    """Lay `over` upon `base`, mappings key by key."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result


class Reader:
    """Reads an estate's tree and says where it is when something is wrong."""

    def __init__(self, document: Mapping[str, Any], as_of: datetime, source: str) -> None:
        """`source`: how the file is called in messages."""
        self.as_of = as_of
        self._source = source
        if not isinstance(document, dict):
            raise self.wrong("estate", "the file is not a mapping")
        for key in document:
            if key not in SECTIONS:
                raise self.wrong(str(key), "no such section", f"Known: {', '.join(sorted(SECTIONS))}")
        self.document = document
        self._defaults: Json = document.get("defaults") or {}
        self._templates: Json = document.get("templates") or {}
        self.expectations: dict[tuple[str, str], Json] = {}
        """(rule id, lower-cased resource id) -> {status, severity?, reason?}; without an entry: pass."""

    def wrong(self, where: str, message: str, hint: str = "") -> UsageError:
        """Give the error to raise: the file, the key, what is wrong with it."""
        return UsageError(f"{self._source}: {where}: {message}", hint or "Correct the estate file.")

    # --- sections ---------------------------------------------------------------------------------------------

    def section(self, name: str) -> Iterator[tuple[str, str, object]]:
        """Give (where, key, value) for each entry of a section that is a mapping."""
        value = self.document.get(name) or {}
        if not isinstance(value, dict):
            raise self.wrong(name, "this section is a mapping")
        for key, entry in value.items():
            yield f"{name}.{key}", str(key), entry

    def listed(self, name: str, kind: str) -> Iterator[tuple[str, Json]]:
        """Give (where, fields) for each entry of a section that is a plain list."""
        value = self.document.get(name) or []
        if not isinstance(value, list):
            raise self.wrong(name, "this section is a list")
        for number, entry in enumerate(value):
            where = f"{name}[{number}]"
            yield where, self.fields(kind, where, entry)

    def named(self, section: str, kind: str) -> Iterator[tuple[str, str, Json, int]]:
        """Give (where, name, fields, index) for each resource of a list, with defaults, `like`, `names`, `count`."""
        entries = self.document.get(section) or []
        if not isinstance(entries, list):
            raise self.wrong(section, "this section is a list")
        for number, entry in enumerate(entries):
            where = f"{section}[{number}]"
            fields = self.fields(kind, where, entry)
            base = self.defaults(kind)
            likes = fields.get("like") or []
            for like in [likes] if isinstance(likes, str) else likes:
                if like not in self._templates:
                    raise self.wrong(f"{where}.like", f"no template {like!r}")
                base = merged(base, self.fields(kind, f"templates.{like}", self._templates[like]))
            whole = merged(base, fields)
            if "name" not in whole and "names" not in whole:
                raise self.wrong(f"{where}.name", "it needs a name")
            if "count" in whole:
                names = [str(whole["name"]).format(n=n) for n in range(1, int(whole["count"]) + 1)]
            else:
                names = [str(name) for name in whole.get("names") or [whole["name"]]]
            for index, name in enumerate(names):
                if "/" in name:
                    raise self.wrong(f"{where}.name", "a resource's name has no slash")
                yield f"{where} ({name})", name, whole, index

    def defaults(self, kind: str) -> Json:
        """Give what every entry of a kind begins with."""
        return self._defaults.get(kind) or {}

    def fields(self, kind: str, where: str, value: object) -> Json:
        """Check the keys of an entry."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.wrong(where, f"a {kind} is a mapping, not {type(value).__name__}")
        for key in value:
            if key not in KEYS[kind]:
                raise self.wrong(
                    f"{where}.{key}", f"a {kind} has no such key", f"Known: {', '.join(sorted(KEYS[kind]))}"
                )
        return value

    # --- values -----------------------------------------------------------------------------------------------

    def when(self, where: str, value: object) -> datetime:
        """Read an instant: `-26h`, `40d` or an ISO text."""
        try:
            return instant(value, self.as_of)
        except ValueError as error:
            raise self.wrong(where, str(error)) from error

    def span(self, where: str, value: object) -> timedelta:
        """Read a duration: `26h`, `7y`."""
        try:
            return duration(str(value))
        except ValueError as error:
            raise self.wrong(where, str(error)) from error

    def clock(self, where: str, value: object) -> time:
        """Read a time of day."""
        # YAML 1.1 reads an unquoted 22:30 as the sexagesimal number 1350.
        if isinstance(value, int):
            return time(value // 60 % 24, value % 60)
        try:
            return time.fromisoformat(str(value))
        except ValueError as error:
            raise self.wrong(where, f"{value!r} is not a time of day such as '22:30'") from error

    def count(self, where: str, value: object) -> tuple[int, str]:
        """Read `30 Days`, `84 Months`, as Azure writes retention."""
        found = _COUNT.fullmatch(str(value))
        if not found:
            raise self.wrong(where, f"{value!r} is not such as '30 Days' or '84 Months'")
        return int(found[1]), found[2].capitalize()

    def choice(self, where: str, value: object, choices: frozenset[str]) -> str:
        """Read one of several words."""
        if str(value) not in choices:
            raise self.wrong(where, f"{value!r} is none of {', '.join(sorted(choices))}")
        return str(value)

    def tags(self, where: str, value: object) -> Json | None:
        """Read tags; `{+10d}` inside a value becomes that date; null takes a template's tag away."""
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.wrong(where, "tags are a mapping")

        def dated(found: re.Match[str]) -> str:
            return f"{self.when(where, found[1]):%Y-%m-%d}"

        return {str(key): _RELATIVE_DATE.sub(dated, str(text)) for key, text in value.items() if text is not None}

    def expect(self, where: str, identifier: str, value: object) -> None:
        """Note the verdicts that an entry expects of its resource."""
        if value is None:
            return
        if not isinstance(value, dict):
            raise self.wrong(f"{where}.expect", "expectations are a mapping rule: status")
        for rule, verdict in value.items():
            fields = {"status": verdict} if isinstance(verdict, str) else dict(verdict or {})
            if fields.get("status") not in _STATUSES or set(fields) - {"status", "severity", "reason"}:
                raise self.wrong(f"{where}.expect.{rule}", f"{verdict!r} is not a status")
            if fields["status"] != "pass":
                self.expectations[str(rule), identifier.lower()] = fields
