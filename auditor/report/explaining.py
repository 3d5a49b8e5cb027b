"""`auditor explain` in words: the chain of one resource, its verdicts, and what would make it pass."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from auditor.model import Coverage, Status
from auditor.report import remedy, wording
from auditor.report.templates import SHIPPED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditor.model import Explained, Finding, Results, RuleResult

_WIDTH = 100
_HIDDEN = ("resource_no", "resource_id", "resource_name", "resource_group", "subscription_id", "class", "tier", "owner")
_KINDS = ("daily", "weekly", "monthly", "yearly")
_STATES = {
    "protected": "makes points",
    "error": "is in error, and makes points as far as it can",
    "initial_backup_pending": "has yet to make its first point",
    "stopped": "protection is stopped: its points are kept, no new one is made",
    "paused": "protection is paused: no new point is made",
    "suspended": "backups are suspended: no new point is made",
    "soft_deleted": "is deleted and waits to be erased",
    "unknown": "cannot be told",
}


def lines(told: Explained, results: Results) -> Iterator[str]:
    """Give the text, line by line."""
    yield f"{told.name}  ({told.resource_type.replace('_', ' ')} in {told.subscription or 'no subscription'})"
    yield f"  {told.resource_id}"
    yield f"  as at {wording.moment(results.run.as_of)}, run {results.run.id}"
    yield ""
    facts = list(_machine(told) if told.resource_type == "vm" else _plain(told))
    width = max((len(label) for label, _ in facts), default=0)
    for label, text in facts:
        yield from _wrapped(f"{label:<{width}}  ", text)
    yield ""
    yield from _looked_at(told)
    for rule, status in told.verdicts:
        finding = told.findings.get(rule.id)
        if finding and status not in (Status.PASS, Status.NOT_APPLICABLE):
            yield ""
            yield from _verdict(rule, status, finding)
    yield ""
    passed = [rule.id for rule, status in told.verdicts if status is Status.PASS]
    if passed:
        yield from _wrapped("pass            ", ", ".join(passed))
    idle: dict[str, list[str]] = {}
    for rule, status in told.verdicts:
        if status is Status.NOT_APPLICABLE:
            idle.setdefault(told.findings[rule.id].reason, []).append(rule.id)
    for reason, rules in idle.items():
        yield from _wrapped("not applicable  ", f"{', '.join(rules)}: {reason}")


def _verdict(rule: RuleResult, status: Status, finding: Finding) -> Iterator[str]:
    grade = f" {finding.severity.value}" if status is Status.FAIL else ""
    yield f"{status.value.replace('_', ' ').upper()}{grade}  {rule.id}"
    yield from _wrapped("  ", finding.reason)
    if finding.group:
        yield f"  to pass: see {finding.group}, which is its cause"
    elif status is Status.UNKNOWN:
        yield "  to be judged: make readable what could not be read; auditor doctor names the permission"
    elif status in (Status.FAIL, Status.WAIVED):
        known = remedy.names(finding)
        yield from _wrapped("  to pass: ", remedy.path(rule.remediation.get("portal", ""), known))
        for command in remedy.command(rule.remediation.get("az", ""), known).split("; "):
            yield f"    {command}"  # in one line, to be copied


def _wrapped(head: str, text: str) -> Iterator[str]:
    room = max(_WIDTH - len(head), 40)
    for number, line in enumerate(textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]):
        yield (head if number == 0 else " " * len(head)) + line


def _plain(told: Explained) -> Iterator[tuple[str, str]]:
    yield from _owned(told)
    for name, meaning in told.meanings.items():
        value = told.row.get(name)
        if value is not None and name not in _HIDDEN and not name.endswith("_complete"):
            yield name, f"{wording.read_value(name, value, SHIPPED.texts())}  ({meaning})"


def _owned(told: Explained) -> Iterator[tuple[str, str]]:
    row = told.row
    if row.get("tier"):
        yield "class", f"{row['class'] or 'none'}, tier {row['tier']}; owner {row['owner'] or 'not recorded'}"


def _machine(told: Explained) -> Iterator[tuple[str, str]]:
    vm, chain = told.row, told.chain
    if vm["excluded_code"]:
        yield "outside", f"it is not judged: {vm['excluded_code']}"
    yield from _owned(told)
    demands = [f"{kind} {wording.keep(days)}" for kind in _KINDS if (days := vm[f"{kind}_keep_days"]) is not None]
    if vm["backup_required"]:
        yield (
            "demanded",
            (
                f"a point every {_hours(vm['every_hours'])}, the newest at most {_hours(vm['rpo_hours'])} old, in the "
                f"vault {_hours(vm['vault_rpo_hours'])}; kept {', '.join(demands) or 'for no time in particular'}"
            ),
        )
    else:
        yield "demanded", "no backup"
    yield "item", _item(vm, chain)
    if chain["vault_name"]:
        yield "vault", f"{chain['vault_name']}  ({chain['vault_id']})"
    if chain["policy_name"]:
        yield "policy", _policy(chain)
    if chain["item_id"]:
        yield "points", _points(told)
    yield "beside", _beside(chain)


def _hours(value: float | None) -> str:
    return "no set time" if value is None else wording.age(value)


def _item(vm: Any, chain: Any) -> str:
    if chain["item_id"]:
        several = f"; all of them: {chain['all_items']}" if chain["all_items"] else ""
        state = _STATES.get(chain["state"], chain["state"])
        return f"{state} (Azure says {chain['protection_state'] or 'nothing'})  {chain['item_id']}{several}"
    if not vm["protected_item_complete"]:
        return "none was found, but not every vault of the tenant could be read, so there may be one"
    moved = (
        f"; an item of a VM of this name that is no more: {chain['moved_item_id']}" if chain["moved_item_id"] else ""
    )
    return f"none, and every vault of the tenant was read{moved}"


def _policy(chain: Any) -> str:
    if not chain["policy_known"]:
        return f"{chain['policy_name']}, which could not be read"
    kept = [f"{kind} {wording.keep(days)}" for kind in _KINDS if (days := chain[f"policy_{kind}_days"]) is not None]
    return (
        f"{chain['policy_name']} ({'Enhanced' if chain['policy_type'] == 'V2' else 'Standard'}): every "
        f"{_hours(chain['schedule_hours'])} in zone {chain['time_zone'] or 'UTC'}, keeps {', '.join(kept) or 'nothing'}"
    )


def _points(told: Explained) -> str:
    chain = told.chain
    if not chain["recovery_point_complete"]:
        return "not read" + (" (not in the sample)" if chain["left_out_of_sample"] else "")
    text = (
        f"{chain['point_count']}; newest {wording.age(chain['newest_point_age_hours'])} old, in the vault "
        f"{wording.age(chain['newest_vaulted_point_age_hours'])}; oldest {wording.age(chain['oldest_point_age_hours'])}"
    )
    if told.days:
        text += f"; {told.days[1]} of {told.days[0]} promised days without one"
    return text


def _beside(chain: Any) -> str:
    told = [
        f"{chain[column]} {words}"
        for column, words in (
            ("snapshot_count", "snapshots of its disks"),
            ("restore_point_count", "restore points outside Azure Backup"),
            ("disk_backup_count", "disks in Azure Disk Backup"),
        )
        if chain[column]
    ]
    if chain["replicated_item_id"]:
        told.append("a replica in Site Recovery, which is no backup")
    return "; ".join(told) or "nothing"


def _looked_at(told: Explained) -> Iterator[str]:
    if not told.lacking:
        yield "looked at: everything that was asked for could be read"
        return
    yield f"looked at: all but {len(told.lacking)} places"
    for place in told.lacking[:10]:
        where = place.subscription_id if isinstance(place, Coverage) else place.resource_id
        yield from _wrapped("  ", f"{place.table} of {where or 'the tenant'}: {place.state}: {place.reason}")
    if len(told.lacking) > 10:  # noqa: PLR2004 - as many as above
        yield f"  and {len(told.lacking) - 10} more"


def plain(told: Explained, results: Results) -> dict[str, Any]:
    """Give the same for machines."""
    return {
        "run": results.run.id,
        "as_of": wording.instant(results.run.as_of),
        "resource_id": told.resource_id,
        "resource_type": told.resource_type,
        "resource_name": told.name,
        "subscription": told.subscription,
        "facts": wording.plain(told.row),
        "protection": wording.plain(told.chain) or None,
        "promised_days": told.days and {"expected": told.days[0], "missing": told.days[1]},
        "verdicts": [
            {
                "rule": rule.id,
                "status": status.value,
                "severity": finding.severity.value if (finding := told.findings.get(rule.id)) else rule.severity.value,
                "reason_code": finding.reason_code if finding else None,
                "reason": finding.reason if finding else None,
                "evidence": wording.plain(finding.evidence) if finding else None,
                "group": finding.group if finding else None,
            }
            for rule, status in told.verdicts
        ],
        "lacking": [
            {
                "table": place.table,
                "place": place.subscription_id if isinstance(place, Coverage) else place.resource_id,
                "state": place.state.value,
                "reason": place.reason,
            }
            for place in told.lacking
        ],
    }
