"""The HTML report's data: columns with every repeated text stored once, so that 100,000 findings stay small."""

from __future__ import annotations

import base64
import gzip
import json
from typing import TYPE_CHECKING, Any

from auditor.model import Severity, Status
from auditor.report import remedy, values, wording

if TYPE_CHECKING:
    from collections.abc import Hashable

    from auditor.model import Calendar, Finding, Machine, RuleResult
    from auditor.report.view import Report
    from auditor.report.wording import Texts

STATUSES = (
    Status.FAIL,
    Status.UNKNOWN,
    Status.WAIVED,
    Status.NOT_YET_DUE,
    Status.NOT_APPLICABLE,
    Status.PASS,
)
"""The order in which the page sorts and numbers the statuses."""

_LETTERS = dict(zip(STATUSES, "fuwdnp", strict=True))


class Pool:
    """Values stored once and referred to by number."""

    def __init__(self) -> None:
        """Start empty."""
        self.values: list[Any] = []
        self._numbers: dict[Hashable, int] = {}

    def add(self, value: Hashable) -> int:
        """Give the number of `value`, storing it where it is new."""
        number = self._numbers.get(value)
        if number is None:
            number = self._numbers[value] = len(self.values)
            self.values.append(value)
        return number


class Columns:
    """A table by column."""

    def __init__(self, *names: str) -> None:
        """Name the columns."""
        self.data: dict[str, list[Any]] = {name: [] for name in names}

    def add(self, *values: object) -> None:
        """Append one row, in the order of the columns."""
        for column, value in zip(self.data.values(), values, strict=True):
            column.append(value)


def pack(report: Report) -> str:
    """Give the data as base64 of gzip of JSON; the same report gives the same text."""
    raw = json.dumps(_Packer(report).document(), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # A lone surrogate, which a broken name may hold, is not UTF-8: it travels as its JSON escape.
    packed = gzip.compress(raw.encode("utf-8", "backslashreplace"), compresslevel=9, mtime=0)
    return base64.b64encode(packed).decode("ascii")


class _Packer:
    def __init__(self, report: Report) -> None:
        self.report = report
        self.texts = report.texts
        self.rule_numbers = {rule.id: number for number, rule in enumerate(report.rules)}
        self.strings = Pool()
        self.subscriptions = Pool()
        self.heads = Pool()
        self.keys = Pool()
        self.calendars = Pool()
        self.resources = Columns("name", "head", "tail", "type", "group", "sub", "owner", "tier", "class")
        self.known: dict[str, int] = {}
        self.pairs: dict[str, list[tuple[str, str]]] = {}

    def document(self) -> dict[str, Any]:
        machines = self._machines()
        findings = self._findings()
        return {
            "rules": [self._rule(rule) for rule in self.report.rules],
            "texts": self._texts(),
            "run": {"as_of": wording.moment(self.report.run.as_of), "id": self.report.run.id},
            "resources": self.resources.data,
            "machines": machines,
            "findings": findings,
            "keys": self.keys.values,
            "heads": self.heads.values,
            "calendars": [[it.last.isoformat(), it.letters.lstrip(".")] for it in self.calendars.values],
            "strings": self.strings.values,
            "subscriptions": [[key, self.report.subscription_labels[key]] for key in self.subscriptions.values],
            "columns": {
                name: values.label(name, self.texts)
                for name in sorted({name for row in self.keys.values for name in row})
            },
        }

    def _string(self, text: str | None) -> int:
        return -1 if text is None else self.strings.add(text)

    def _item(self, item_id: str | None) -> Any:
        # All items of a vault share the first half of a long id.
        if item_id is None:
            return 0
        vault, fabric, rest = item_id.partition("/backupfabrics/")
        return [self.heads.add(vault + fabric), rest]

    def _calendar(self, calendar: Calendar | None) -> int:
        # Most VMs of an estate have the same days.
        return -1 if calendar is None else self.calendars.add(calendar)

    def _resource(self, row: Finding | Machine, kind: str, name: str) -> int:
        number = self.known.get(row.resource_id)
        if number is None:
            number = self.known[row.resource_id] = len(self.known)
            head, slash, tail = row.resource_id.rpartition("/")
            self.resources.add(
                name,
                self.heads.add(head + slash),
                0 if tail == name.lower() else tail,
                self._string(kind),
                self._string(row.resource_group),
                self.subscriptions.add(row.subscription_id),
                self._string(row.owner),
                self._string(row.tier),
                self._string(row.class_),
            )
        return number

    def _machines(self) -> dict[str, list[Any]]:
        columns = Columns(
            "excluded", "protection", "item", "vault", "policy", "newest", "vaulted", "oldest", "points", "expected",
            "missing", "demanded", "promised", "verdicts", "calendar",
        )  # fmt: skip
        ids = [rule.id for rule in self.report.rules]
        for it in self.report.machines:
            # Machines come first, so that a machine's number is its resource's number.
            self._resource(it, "vm", it.name)
            columns.add(
                self._string(it.excluded_code and self.texts.get(f"codes.{it.excluded_code}", it.excluded_code)),
                self._string(it.protection and (self.texts.get(f"explain.state.{it.protection}", "") or None)),
                self._item(it.item_id),
                self._string(it.vault_name),
                self._string(it.policy_name),
                it.newest_point_age_hours,
                it.newest_vaulted_point_age_hours,
                it.oldest_point_age_hours,
                it.point_count,
                it.expected_points,
                it.missing_points,
                self._string(_retention(it.demanded_days, self.texts)),
                self._string(_retention(it.promised_days, self.texts)),
                "".join(_LETTERS[it.statuses[rule]] if rule in it.statuses else "-" for rule in ids),
                self._calendar(it.calendar),
            )
        return columns.data

    def _findings(self) -> dict[str, list[Any]]:
        columns = Columns(
            "serial", "rule", "status", "severity", "resource", "code", "reason", "due", "group", "since", "keys",
            "values", "waiver", "response", "baseline",
        )  # fmt: skip
        severities = list(Severity)
        for row in self.report.findings:
            self.pairs.setdefault(row.rule, values.pairs_of(row.rule, row.evidence))
            evidence = [(name, value) for name, value in row.evidence.items() if value is not None]
            columns.add(
                row.serial,
                self.rule_numbers[row.rule],
                STATUSES.index(row.status),
                severities.index(row.severity),
                self._resource(row, row.resource_type, row.resource_name),
                self._string(row.reason_code),
                self._string(row.reason),
                self._string(row.due.isoformat() if row.due else None),
                self.rule_numbers.get(row.group, -1) if row.group else -1,
                self._string(row.first_seen.date().isoformat()),
                self.keys.add(tuple(name for name, _ in evidence)),
                [wording.read_value(name, value, self.texts) for name, value in evidence],
                self._string(self._waiver(row)),
                self._string(_sentence(row.response, self.texts)),
                self._string(row.baseline),
            )
        return columns.data

    def _waiver(self, row: Finding) -> str | None:
        if row.waiver is None:
            return None
        waiver, when = wording.ends_on(row.waiver)
        key = "rows.waiver_ended" if row.waiver.get("expired") else "rows.waiver_until"
        rest = {name: row.waiver[name] for name in row.waiver if name not in {"id", "expires_on", "expired"}}
        return f"{self.texts(key, id=waiver, when=when)}; {_sentence(rest, self.texts)}"

    def _rule(self, rule: RuleResult) -> dict[str, Any]:
        return {
            "id": rule.id,
            "area": rule.area,
            "title": rule.title,
            "severity": str(rule.severity),
            "rationale": rule.rationale,
            "portal": rule.remediation.get("portal", ""),
            "az": remedy.steps(rule.remediation.get("az", "")),
            "pairs": self.pairs.get(rule.id, []),
            "references": [link for link in rule.references if link.startswith("https://")],
            "controls": self.report.cited[rule.id],
            "params": [values.parameter(name, value, self.texts) for name, value in rule.params.items()],
        }

    def _texts(self) -> dict[str, Any]:
        return {
            "statuses": [str(status) for status in STATUSES],
            "thousands": self.texts.numerals.thousands,
            "point": self.texts.numerals.point,
            "status": [self.texts(f"status.{status}") for status in STATUSES],
            "severity": [self.texts(f"severity.{severity}") for severity in Severity],
            "letters": {
                letter: self.texts(f"charts.days.letters.{name}")
                for letter, name in (("+", "found"), ("-", "missing"), ("x", "extra"))
            },
            "no_gaps": self.texts("charts.days.no_gaps"),
            "none_promised": self.texts("charts.days.none_promised"),
            **{key: self.texts.get(f"page.{key}", key) for key in self.texts.keys("page")},
        }


def _retention(days: Any, texts: Texts) -> str:
    said = [
        f"{texts.get('promises.kind.' + kind, kind)} {texts.numerals.keep(value)}"
        for kind, value in days.items()
        if value
    ]
    return ", ".join(said) or texts("words.none")


def _sentence(record: Any, texts: Texts) -> str | None:
    if record is None:
        return None
    return "; ".join(
        texts("words.named", name=values.label(name, texts), value=wording.read_value(name, value, texts))
        for name, value in record.items()
        if value is not None
    )
