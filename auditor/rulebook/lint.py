"""What is wrong with a rule beside its SQL: sentences, tests, controls, and names of other rules."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from auditor import assets
from auditor.document import did_you_mean
from auditor.rulebook import AREAS, common_messages, frameworks

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from auditor.errors import Fault
    from auditor.rulebook import Rule

LANGUAGES = ("en", "de")
"""In which shipped rules speak."""


def structure(rule: Rule, rules: Collection[str], known: Mapping[str, frameworks.Read]) -> list[Fault]:
    """Give what is wrong with a rule's structure.

    Args:
        rule: as read.
        rules: ids of all rules.
        known: frameworks by key.
    """
    faults = [*_tests(rule), *frameworks.named_by_rule(rule, known)]
    for number, other in enumerate(rule.file.explained_by):
        key = ("explained_by", number)
        if other == rule.id:
            faults.append(rule.document.fault(key, "a rule does not explain itself", "remove it"))
        elif other not in rules:
            faults.append(rule.document.fault(key, f"there is no rule {other!r}", did_you_mean(other, rules)))
    return faults + (_shipped(rule) if is_shipped(rule) else [])


def is_shipped(rule: Rule) -> bool:
    """Tell whether a rule came with the program."""
    place = f"{rule.area}/{rule.id}.yaml"
    return rule.path == f"{assets.rules().name}/{place}" and (assets.rules() / place).exists()


def _tests(rule: Rule) -> list[Fault]:
    faults = []
    said = {*rule.file.messages, *common_messages()}
    names = Counter(test.name for test in rule.file.tests)
    for number, test in enumerate(rule.file.tests):
        key = ("tests", number)
        if names[test.name] > 1:
            faults.append(rule.document.fault((*key, "name"), f"two tests are named {test.name!r}", "rename one"))
        faults += [
            rule.document.fault((*key, "params", name), f"there is no parameter {name!r}", "declare it under params")
            for name in test.params
            if name not in rule.file.params
        ]
        for resource, expected in test.expect.items():
            where = (*key, "expect", resource)
            if expected.status.value in rule.file.cannot:
                told = f"a test expects {expected.status.value!r}, which `cannot` rules out"
                faults.append(rule.document.fault(where, told, "remove the one that is wrong"))
            code = expected.reason
            if code is not None and code not in said and not code.startswith("judged_by:"):
                faults.append(rule.document.fault(where, f"reason {code!r} has no sentence", did_you_mean(code, said)))
    return faults


def _shipped(rule: Rule) -> list[Fault]:
    """Hold a rule against what is demanded of those that come with the program."""
    file, fault = rule.file, rule.document.fault
    faults = []
    if rule.area not in AREAS:
        faults.append(fault(("id",), f"area {rule.area!r} is not known", did_you_mean(rule.area, AREAS)))
    for code, message in file.messages.items():
        texts = {"en": message} if isinstance(message, str) else message  # a plain text is English
        lacking = [it for it in LANGUAGES if not texts.get(it, "").strip()]
        if lacking:
            said = f"message {code!r} is not there in {' and '.join(lacking)}"
            faults.append(fault(("messages", code), said, f"write {{{', '.join(f'{it}: …' for it in LANGUAGES)}}}"))
    faults += [
        fault(("remediation",), f"remediation lacks {kind!r}", "say what to do")
        for kind in ("portal", "az")
        if not file.remediation.get(kind, "").strip()
    ]
    return faults
