"""What was asked of Azure and what came of it: the questions, where answers came from, and the tries that failed."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from auditor.bundle import GRAPH_PATH
from auditor.model import Question, Setback, Source, Traffic

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from auditor.bundle import Bundle

_ASKING_POSTS = (GRAPH_PATH, "/providers/microsoft.policyinsights/policystates/")
"""Paths whose POST only asks."""
_PLACE = re.compile(
    r"/(subscriptions|resourceGroups|vaults|protectionContainers|protectedItems|restorePointCollections|managementGroups"
    r"|policySetDefinitions)/[^/]+",
    flags=re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Requests:
    """Everything the log of a run's requests says."""

    questions: tuple[Question, ...]
    sources: tuple[Source, ...]
    traffic: Traffic


@dataclass(slots=True)
class _Table:
    """What is gathered of one table while the log is read."""

    hosts: set[str] = field(default_factory=set)
    api_versions: set[str] = field(default_factory=set)
    answers: int = 0
    reused: int = 0
    scrubbed: int = 0
    times: list[str] = field(default_factory=list)
    """The first and the last."""
    digest: Any = field(default_factory=hashlib.sha256)

    def add(self, entry: Mapping[str, Any]) -> None:
        self.answers += 1
        self.hosts.add(urlsplit(entry["url"]).netloc)
        self.api_versions.add(entry.get("api_version") or "")
        self.reused += bool(entry.get("reused_from"))
        self.scrubbed += bool(entry.get("scrubbed"))
        self.digest.update(f"{entry.get('sha256')}\n".encode())
        if at := entry.get("received_at"):
            self.times = [min([at, *self.times]), max([at, *self.times])]

    def source(self, table: str) -> Source:
        first, last = (datetime.fromisoformat(at) for at in self.times) if self.times else (None, None)
        return Source(
            table=table,
            hosts=tuple(sorted(self.hosts)),
            api_versions=tuple(sorted(self.api_versions - {""})),
            answers=self.answers,
            first_at=first,
            last_at=last,
            reused=self.reused,
            scrubbed=self.scrubbed,
            digest=self.digest.hexdigest(),
        )


def read(bundle: Bundle) -> Requests:
    """Read the log of a bundle once."""
    tables: dict[str, _Table] = {}
    asked: Counter[tuple[str, str, str, str]] = Counter()
    rows: Counter[tuple[str, str, str, str]] = Counter()
    sent: Counter[tuple[str, str]] = Counter()
    statuses: Counter[str] = Counter()
    for entry in bundle.responses():
        tables.setdefault(entry["table"], _Table()).add(entry)
        key = (entry["table"], entry["method"], _text(entry), entry["api_version"])
        asked[key] += 1
        rows[key] += int(entry["count"] or 0)
        if not entry.get("reused_from"):  # an earlier run sent it
            sent[entry["method"], _kind(entry)] += 1
            statuses[_status(entry)] += 1
    failed = list(bundle.setbacks())
    for it in failed:
        sent[it.get("method") or "", _kind(it)] += 1
        statuses[_status(it)] += 1
    return Requests(
        questions=tuple(Question(*key, requests=asked[key], rows=rows[key]) for key in sorted(asked)),
        sources=tuple(table.source(name) for name, table in sorted(tables.items())),
        traffic=_traffic(sent, statuses, failed),
    )


def _traffic(sent: Counter[tuple[str, str]], statuses: Counter[str], failed: Iterable[Mapping[str, Any]]) -> Traffic:
    methods: Counter[str] = Counter()
    for (method, _), count in sent.items():
        methods[method] += count
    setbacks = Counter((_status(it), str(it.get("said") or "")) for it in failed)
    return Traffic(
        methods=dict(sorted((method, count) for method, count in methods.items() if method)),
        statuses=dict(sorted(statuses.items())),
        writes=sum(count for (_, kind), count in sent.items() if kind == "write"),
        setbacks=tuple(
            Setback(status, said, count)
            for (status, said), count in sorted(setbacks.items(), key=lambda it: (-it[1], it[0]))
        ),
    )


def _status(entry: Mapping[str, Any]) -> str:
    return str(entry.get("status") or "")


def _kind(entry: Mapping[str, Any]) -> str:
    """Tell whether a request reads, or might have changed something; one that was never sent did neither."""
    method, url = entry.get("method"), str(entry.get("url") or "").lower()
    if method in (None, "GET", "HEAD") or (method == "POST" and any(path in url for path in _ASKING_POSTS)):
        return "read"
    return "write"


def _text(entry: Mapping[str, Any]) -> str:
    """Give the text of a query, or the path of a list with its names taken out."""
    if GRAPH_PATH in entry["url"].lower():
        return str(entry["sent"])
    text = _PLACE.sub(lambda m: f"/{m[1]}/{{…}}", urlsplit(entry["url"]).path)
    return text + (f" ({entry['sent']})" if entry.get("sent") else "")
