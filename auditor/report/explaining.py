"""`auditor explain` in words: the chain of one resource, its verdicts, and what would make it pass."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from auditor.model import Coverage, Status
from auditor.report import remedy, wording
from auditor.report.templates import SHIPPED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from auditor.model import Explained, Finding, Results, RuleResult
    from auditor.report.wording import Texts

_WIDTH = 100
_HIDDEN = ("resource_no", "resource_id", "resource_name", "resource_group", "subscription_id", "class", "tier", "owner")
_KINDS = ("daily", "weekly", "monthly", "yearly")


def lines(told: Explained, results: Results) -> Iterator[str]:
    """Give the text, line by line."""
    t = SHIPPED.texts()
    kind = told.resource_type.replace("_", " ")
    yield t("explain.head", name=told.name, kind=kind, subscription=told.subscription or t("explain.no_subscription"))
    yield f"  {told.resource_id}"
    yield "  " + t("explain.as_at", when=wording.moment(results.run.as_of), run=results.run.id)
    yield ""
    facts = list(_machine(told, t) if told.resource_type == "vm" else _plain(told, t))
    width = max((len(label) for label, _ in facts), default=0)
    for label, text in facts:
        yield from _wrapped(f"{label:<{width}}  ", text)
    yield ""
    yield from _looked_at(told, t)
    for rule, status in told.verdicts:
        finding = told.findings.get(rule.id)
        if finding and status not in (Status.PASS, Status.NOT_APPLICABLE):
            yield ""
            yield from _verdict(rule, status, finding, t)
    yield ""
    passed = [rule.id for rule, status in told.verdicts if status is Status.PASS]
    heads = [t(f"status.{status}") for status in (Status.PASS, Status.NOT_APPLICABLE)]
    width = max(map(len, heads))
    if passed:
        yield from _wrapped(f"{heads[0]:<{width}}  ", ", ".join(passed))
    idle: dict[str, list[str]] = {}
    for rule, status in told.verdicts:
        if status is Status.NOT_APPLICABLE:
            idle.setdefault(told.findings[rule.id].reason, []).append(rule.id)
    for reason, rules in idle.items():
        yield from _wrapped(f"{heads[1]:<{width}}  ", f"{', '.join(rules)}: {reason}")


def _verdict(rule: RuleResult, status: Status, finding: Finding, t: Texts) -> Iterator[str]:
    grade = " " + t(f"severity.{finding.severity}") if status is Status.FAIL else ""
    yield f"{t(f'status.{status}').upper()}{grade}  {rule.id}"
    yield from _wrapped("  ", finding.reason)
    if finding.group:
        yield "  " + t("explain.cause", rule=finding.group)
    elif status is Status.UNKNOWN:
        yield "  " + t("explain.unread")
    elif status in (Status.FAIL, Status.WAIVED):
        known = remedy.names(finding)
        yield from _wrapped(f"  {t('explain.to_pass')} ", remedy.path(rule.remediation.get("portal", ""), known))
        for command in remedy.command(rule.remediation.get("az", ""), known).splitlines():
            yield f"    {command}"  # in one line, to be copied


def _wrapped(head: str, text: str) -> Iterator[str]:
    room = max(_WIDTH - len(head), 40)
    for number, line in enumerate(textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]):
        yield (head if number == 0 else " " * len(head)) + line


def _plain(told: Explained, t: Texts) -> Iterator[tuple[str, str]]:
    yield from _owned(told, t)
    for name, meaning in told.meanings.items():
        value = told.row.get(name)
        if value is not None and name not in _HIDDEN and not name.endswith("_complete"):
            yield name, f"{wording.read_value(name, value, t)}  ({meaning})"


def _owned(told: Explained, t: Texts) -> Iterator[tuple[str, str]]:
    row = told.row
    if row.get("tier"):
        owner = row["owner"] or t("explain.not_recorded")
        yield (
            t("explain.label.class"),
            t("explain.class", name=row["class"] or t("words.none"), tier=row["tier"], owner=owner),
        )


def _machine(told: Explained, t: Texts) -> Iterator[tuple[str, str]]:
    vm, chain = told.row, told.chain
    if vm["excluded_code"]:
        yield t("explain.label.outside"), t("explain.outside", code=vm["excluded_code"])
    yield from _owned(told, t)
    said = t("explain.no_backup")
    if vm["backup_required"]:
        said = t(
            "explain.demanded",
            every=_hours(vm["every_hours"], t),
            rpo=_hours(vm["rpo_hours"], t),
            vault=_hours(vm["vault_rpo_hours"], t),
            kept=_kept({kind: vm[f"{kind}_keep_days"] for kind in _KINDS}, t) or t("explain.no_length"),
        )
    yield t("explain.label.demanded"), said
    yield t("explain.label.item"), _item(vm, chain, t)
    if chain["vault_name"]:
        yield t("explain.label.vault"), f"{chain['vault_name']}  ({chain['vault_id']})"
    if chain["policy_name"]:
        yield t("explain.label.policy"), _policy(chain, t)
    if chain["item_id"]:
        yield t("explain.label.points"), _points(told, t)
    yield t("explain.label.beside"), _beside(chain, t)


def _hours(value: float | None, t: Texts) -> str:
    return t("explain.no_time") if value is None else t.numerals.age(value)


def _kept(days: Mapping[str, float | None], t: Texts) -> str:
    return ", ".join(f"{t(f'promises.kind.{kind}')} {t.numerals.keep(d)}" for kind, d in days.items() if d is not None)


def _item(vm: Any, chain: Any, t: Texts) -> str:
    if chain["item_id"]:
        state = t.get(f"explain.state.{chain['state']}", chain["state"])
        azure = chain["protection_state"] or t("explain.nothing")
        said = t("explain.item", state=state, azure=azure, item=chain["item_id"])
        return said + (t("explain.all_items", items=chain["all_items"]) if chain["all_items"] else "")
    if not vm["protected_item_complete"]:
        return t("explain.item_unread")
    moved = chain["moved_item_id"]
    return t("explain.no_item") + (t("explain.moved_item", item=moved) if moved else "")


def _policy(chain: Any, t: Texts) -> str:
    if not chain["policy_known"]:
        return t("explain.policy_unread", name=chain["policy_name"])
    return t(
        "explain.policy",
        name=chain["policy_name"],
        kind="Enhanced" if chain["policy_type"] == "V2" else "Standard",
        every=_hours(chain["schedule_hours"], t),
        zone=chain["time_zone"] or "UTC",
        kept=_kept({kind: chain[f"policy_{kind}_days"] for kind in _KINDS}, t) or t("explain.nothing"),
    )


def _points(told: Explained, t: Texts) -> str:
    chain = told.chain
    if not chain["recovery_point_complete"]:
        return t("explain.not_in_sample" if chain["left_out_of_sample"] else "explain.points_unread")
    text = t(
        "explain.points",
        n=chain["point_count"],
        newest=t.numerals.age(chain["newest_point_age_hours"]),
        vaulted=t.numerals.age(chain["newest_vaulted_point_age_hours"]),
        oldest=t.numerals.age(chain["oldest_point_age_hours"]),
    )
    if told.days:
        text += t("explain.missing_days", missing=told.days[1], of=told.days[0])
    return text


def _beside(chain: Any, t: Texts) -> str:
    counted = ("snapshot_count", "restore_point_count", "disk_backup_count")
    told = [t(f"explain.beside.{column}", n=chain[column]) for column in counted if chain[column]]
    if chain["replicated_item_id"]:
        told.append(t("explain.beside.replica"))
    return "; ".join(told) or t("explain.nothing")


def _looked_at(told: Explained, t: Texts) -> Iterator[str]:
    if not told.lacking:
        yield t("explain.all_read")
        return
    yield t("explain.not_all_read", n=len(told.lacking))
    for place in told.lacking[:10]:
        where = place.subscription_id if isinstance(place, Coverage) else place.resource_id
        state = t(f"coverage_state.{place.state}")
        where = where or t("words.tenant")
        yield from _wrapped("  ", t("explain.place", table=place.table, where=where, state=state, reason=place.reason))
    if len(told.lacking) > 10:  # noqa: PLR2004 - as many as above
        yield "  " + t("words.and_more", n=len(told.lacking) - 10)


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
