"""Rules as data: reads `rules/<area>/<rule-id>.yaml`, with every mistake told as file:line."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from auditor import assets, numerals
from auditor.document import Document, did_you_mean, load
from auditor.errors import DocumentError, Fault, UsageError
from auditor.model import Severity, Status
from auditor.rulebook import frameworks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from auditor.standard.schema import RuleChoice

AREAS = ("protection", "health", "retention", "snapshots", "vaults", "governance", "readiness", "cost")

MATURES = "matures_in_hours"
"""The column that says in how many hours what is not yet due will be."""

# fmt: off
ResourceType = Literal[
    "vm", "snapshot", "disk", "vault", "backup_policy", "protected_item", "subscription", "policy_exemption", "class",
]
# fmt: on


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Param(_Part):
    """A number or text that a standard may set for a rule."""

    type: Literal["number", "text", "boolean"]
    default: Any
    stricter: Literal["lower", "higher"] | None = None
    """Which way the rule gets stricter, true being higher than false; None = not said, or neither."""
    doc: str = Field(min_length=1)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.type == "text" and self.stricter is not None:
            message = "a text has no order, so it can't say stricter"
            raise ValueError(message)
        return self

    def loosens(self, value: Any) -> bool:
        """Tell whether a value may let more pass than the default; where the way is not said, any other may."""
        if value == self.default or self.stricter is None:
            return bool(value != self.default)
        return bool(value > self.default) == (self.stricter == "lower")


class Expectation(_Part):
    """What a test expects of one resource."""

    status: Status
    severity: Severity | None = None
    reason: str | None = None
    evidence: dict[str, Any] = {}
    """Some of the evidence columns, as they must come out."""


class RuleTest(_Part):
    """Rows given, verdicts expected: what a rule says of itself."""

    name: str = Field(min_length=1)
    given: dict[str, list[dict[str, Any]]]
    params: dict[str, Any] = {}
    expect: dict[str, Annotated[Expectation, BeforeValidator(lambda v: {"status": v} if isinstance(v, str) else v)]]


class RuleFile(_Part):
    """One rule file."""

    id: str = Field(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)+$")
    title: str = Field(min_length=1)
    severity: Severity
    resource_type: ResourceType
    extra: bool = False
    rationale: str = Field(min_length=1)
    remediation: dict[Literal["portal", "az"], str]
    references: list[str] = []
    controls: dict[str, list[Annotated[str, BeforeValidator(str)]]] = {}
    params: dict[str, Param] = {}
    explained_by: list[str] = []
    """Rules whose fail on the same resource is the cause of this one's."""
    reads: list[str]
    sql: str
    messages: dict[str, str | dict[str, str]]
    cannot: dict[Literal["pass", "fail", "unknown"], str] = {}
    """Statuses that the rule can never give, each with the reason why."""
    tests: list[RuleTest]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that was read; `gate.check` says whether its SQL may run."""

    file: RuleFile
    area: str
    path: str
    """Where it stands, as shown in errors."""
    text: str
    """The file itself, as it goes into the bundle."""
    document: Document

    @property
    def id(self) -> str:
        """Give the permanent id."""
        return self.file.id

    def sentence(self, code: str, values: Mapping[str, Any], language: str = "en") -> str:
        """Put a reason code into words.

        Args:
            code: the reason column of the rule's SQL.
            values: its evidence columns.
            language: falls back to English.
        """
        return sentence(code, {**_common(), **self.file.messages}, values, language)


@dataclass(frozen=True, slots=True)
class Rulebook:
    """All rules of a run, by id, with the parameters the standard sets."""

    rules: tuple[Rule, ...]
    params: Mapping[str, Mapping[str, Any]]
    severities: Mapping[str, Severity]
    overridden: frozenset[str] = frozenset()
    """Rules whose severity the standard sets, against their own grading."""
    frameworks: Mapping[str, frameworks.Read] = dataclasses.field(default_factory=dict)
    """Key -> what the controls are that rules name."""
    off: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Rules among these that do not run by this standard, with the reason."""

    @property
    def digest(self) -> str:
        """Give the SHA-256 over all rule files and set parameters: same digest, same judgement."""
        whole = hashlib.sha256()
        for rule in self.rules:
            whole.update(f"{rule.id}\n{rule.text}\n{sorted(self.params[rule.id].items())}\n".encode())
            whole.update(f"{self.severities[rule.id]}\n".encode())
        return whole.hexdigest()

    def get(self, rule_id: str) -> Rule:
        """Give a rule.

        Raises:
            UsageError: no such rule.
        """
        for rule in self.rules:
            if rule.id == rule_id:
                return rule
        raise UsageError(f"there is no rule {rule_id!r}", did_you_mean(rule_id, [rule.id for rule in self.rules]))


def read(
    folders: Sequence[Path] = (),
    choice: RuleChoice | None = None,
    *,
    shipped: bool = True,
    whole: bool = False,
    written: Document | None = None,
) -> Rulebook:
    """Read the shipped rules and those in `folders`.

    Args:
        folders: the user's own (`--rules`), each searched through.
        choice: the standard's word on which rules run, with which parameters.
        shipped: False reads `folders` alone (a bundle's own copy of all rules).
        whole: True gives all of them, those too that do not run: extras nobody asked for, and disabled ones.
        written: the file that `choice` stands in, so that what is wrong with it is told with its line.

    Raises:
        DocumentError: each fault with file and line.
    """
    rules, faults = scan(folders, shipped=shipped)
    known: dict[str, frameworks.Read] = {}
    try:
        known = frameworks.read(folders, shipped=shipped)
    except DocumentError as error:
        faults += error.faults
    seen = {rule.id: rule for rule in rules}
    params, severities = _chosen(seen, choice, written or Document("standard", None, {}), faults)
    if faults:
        raise DocumentError(faults)
    off = dict.fromkeys(choice.disable, "disabled") if choice else {}
    extras = set(choice.extras) if choice else set()
    off |= {rule.id: "extra" for rule in rules if rule.file.extra and rule.id not in extras and rule.id not in off}
    active = sorted((r for r in seen.values() if whole or r.id not in off), key=_order)
    if not active:
        raise UsageError("no rule is left to run", "look at rules.disable in the standard")
    overridden = frozenset(choice.severity_override) if choice else frozenset()
    return Rulebook(tuple(active), params, severities, overridden, known, off)


def scan(folders: Sequence[Path] = (), *, shipped: bool = True) -> tuple[list[Rule], list[Fault]]:
    """Read all rule files; give the rules that can be read, one of each id, and what is wrong with the others."""
    rules: dict[str, Rule] = {}
    faults: list[Fault] = []
    for root in [*([assets.rules()] if shipped else []), *folders]:
        if not root.is_dir():
            raise UsageError(f"--rules {root}: no such folder", "name a folder that holds rule files")
        paths = _files(root)
        if not paths and not (root / frameworks.FOLDER).is_dir():
            others = sorted(root.rglob("*.yml"))
            said = f"{others[0].name} is not read" if others else "it is empty of rule files"
            remedy = "rename it to .yaml" if others else "put rules there as <area>/<rule-id>.yaml; see rules/README.md"
            raise UsageError(f"--rules {root}: no rule in it: {said}", remedy)
        for path in paths:
            try:
                rule = _rule(path, root)
            except DocumentError as error:
                faults += error.faults
                continue
            if rule.id in rules:
                said = f"rule {rule.id!r} stands in {rules[rule.id].path} already"
                faults.append(rule.document.fault(("id",), said, "ids are permanent; choose another"))
            rules[rule.id] = rule
    return list(rules.values()), faults


def _order(rule: Rule) -> tuple[int, str]:
    return (AREAS.index(rule.area) if rule.area in AREAS else len(AREAS), rule.id)


def _files(root: Path) -> list[Path]:
    reserved = {"standards", frameworks.FOLDER}
    return [
        path
        for path in sorted(root.rglob("*.yaml"))
        if path.parent != root or root != assets.rules()
        if not reserved & set(path.relative_to(root).parts[:-1])
    ]


def _rule(path: Path, root: Path) -> Rule:
    shown = str(path.relative_to(root.parent)) if root == assets.rules() else str(path)
    document = load(path, shown)
    if not isinstance(document.data, dict):
        raise DocumentError([Fault(shown, 1, "is not a rule", "start with `id:`; see rules/README.md")])
    try:
        file = RuleFile.model_validate(document.data)
    except ValidationError as error:
        raise DocumentError(document.faults(error, RuleFile)) from error
    faults: list[Fault] = []
    if path.stem != file.id:
        faults.append(document.fault(("id",), f"id {file.id!r} and file name {path.stem!r} differ", "make them equal"))
    proven = {e.status.value for test in file.tests for e in test.expect.values()} | set(file.cannot)
    faults += [
        document.fault(
            ("tests",), f"no test expects {status!r}", f"add one, or say why under `cannot: {{{status}: …}}`"
        )
        for status in ("pass", "fail", "unknown")
        if status not in proven
    ]
    for name, param in file.params.items():
        if not _fits(param.default, param.type):
            faults.append(document.fault(("params", name, "default"), f"default is not a {param.type}"))
    if faults:
        raise DocumentError(faults)
    return Rule(file, path.parent.name, shown, path.read_text(encoding="utf-8"), document)


def _fits(value: Any, kind: str) -> bool:
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, bool if kind == "boolean" else str)


def _chosen(
    rules: Mapping[str, Rule], choice: RuleChoice | None, written: Document, faults: list[Fault]
) -> tuple[dict[str, dict[str, Any]], dict[str, Severity]]:
    params = {rule.id: {name: param.default for name, param in rule.file.params.items()} for rule in rules.values()}
    severities = {rule.id: rule.file.severity for rule in rules.values()}
    if choice is None:
        return params, severities
    faults += [
        written.fault(("rules", key), f"rules.{key}: there is no rule {name!r}", did_you_mean(name, rules))
        for key in ("disable", "extras", "severity_override", "params")
        for name in getattr(choice, key)
        if name not in rules
    ]
    severities |= {name: Severity(word) for name, word in choice.severity_override.items()}
    for rule_id, values in choice.params.items():
        for name, value in values.items():
            known = rules[rule_id].file.params if rule_id in rules else {}
            if rule_id in rules and name not in known:
                said = f"rules.params.{rule_id}: there is no parameter {name!r}"
                faults.append(written.fault(("rules", "params", rule_id, name), said, did_you_mean(name, known)))
            elif name in known and not _fits(value, known[name].type):
                said = f"rules.params.{rule_id}.{name} is not a {known[name].type}"
                faults.append(written.fault(("rules", "params", rule_id, name), said))
            elif name in known:
                params[rule_id][name] = value
    return params, severities


_FIELD = re.compile(r"\{(\w+)(?::([^{}]*))?\}")


def sentence(
    code: str, messages: Mapping[str, str | Mapping[str, str]], values: Mapping[str, Any], language: str = "en"
) -> str:
    """Fill the message of a reason code; a value that is not known reads as `value_unknown` says."""
    if code.startswith("judged_by:"):
        code, values = "judged_by", {**values, "rule": code.partition(":")[2]}
    found = messages.get(code, code.replace("_", " "))
    # A plain text is English, and so is what a sentence falls back to: what is filled in is written as the words are.
    spoken = language if not isinstance(found, str) and language in found else "en"
    write = numerals.of(spoken)

    def fill(field: re.Match[str]) -> str:
        value = values.get(field[1])
        if field[2] and "|" in field[2]:
            one, _, other = field[2].partition("|")
            return one if value == 1 else other
        if value is None:
            return _in(spoken, messages.get("value_unknown", "unknown"))
        if not field[2] or not isinstance(value, int | float):
            return write.written(str(value)) if isinstance(value, float) else words(field[1], str(value), spoken)
        if field[1].endswith("_pct") and field[2] == ".1f":
            value = math.ceil(value * 10 - 1e-9) / 10  # as reports write a share: never smaller than it is
        if field[2] == _AGED:
            return write.age(value)
        return write.keep(value) if field[2] == _KEPT else write.written(format(value, field[2]))

    return _FIELD.sub(fill, _in(spoken, found))


def _in(language: str, message: str | Mapping[str, str]) -> str:
    return message if isinstance(message, str) else message.get(language, message["en"])


_KEPT = "keep"
"""Shows days as the standard writes a retention: 30 d, 7 y."""
_AGED = "age"
"""Shows hours as reports write an age: 30 h, 120 d."""
_SPEC = re.compile(rf"[-+ ]?,?(\.\d{{1,2}})?[efg%]?|{_KEPT}|{_AGED}|[^|]*\|[^|]+")
"""How a number may be shown: what `format` takes for whole numbers and fractions alike, as a retention or an age, or
which of two texts it chooses: one|other."""


def misspelt(text: str) -> str:
    """Say what can't be filled in a message; "" where all of it can."""
    for field in _FIELD.finditer(text):
        if field[2] is not None and not _SPEC.fullmatch(field[2]):
            return f"{field[0]} does not say how to show a number; write {{{field[1]}:.0f}} or {{{field[1]}}}"
    rest = _FIELD.sub("", text)
    if "{" in rest or "}" in rest:
        return "a brace in it is no {column}, {column:.0f} or {column:,.1f}"
    return ""


def fields(message: str | Mapping[str, str]) -> set[str]:
    """Give the evidence columns that a message names."""
    texts: Iterable[str] = [message] if isinstance(message, str) else message.values()
    return {found[0] for text in texts for found in _FIELD.findall(text)}


def common_messages() -> Mapping[str, str | Mapping[str, str]]:
    """Give the sentences of the reason codes that all rules share (exclusions, gaps)."""
    return _common()


def words(column: str, value: str, language: str) -> str:
    """Put the codes that a column of evidence holds into words, as rules/words.yaml has them; what it lacks stays.

    Args:
        column: its name.
        value: a code, or several with commas between them, each perhaps with a number behind it.
        language: falls back to English.
    """
    found = _words().get(column, {})
    known: Mapping[str, Mapping[str, str]] = _words()[found] if isinstance(found, str) else found

    def one(part: str) -> str:
        code, space, number = (part, "", "") if part in known else part.partition(" ")
        return _in(language, known[code]) + space + number if code in known else part

    return ", ".join(map(one, value.split(", "))) if known else value


@functools.cache
def _words() -> dict[str, Any]:
    return dict(load(assets.rules() / "words.yaml").data)


@functools.cache
def _common() -> dict[str, str | Mapping[str, str]]:
    return dict(load(assets.rules() / "messages.yaml").data)
