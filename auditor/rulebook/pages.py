"""Reference pages in Markdown, made from rule and framework files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditor.rulebook.frameworks import Mark

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from auditor.rulebook import Rule
    from auditor.rulebook.frameworks import Read

_MARKS = {
    Mark.READ: "in the publisher's or a law's own text",
    Mark.SECONDARY: "in somebody else's transcription: not verified against the standard itself",
    Mark.UNVERIFIED: "from knowledge of the field alone: not verified against the standard itself",
}


def index(rules: Sequence[Rule], folder: str) -> str:
    """Give the table of all rules; their pages stand in `folder`."""
    lines = ["# Rules", "", "| rule | severity | about | title |", "|---|---|---|---|"]
    prefix = f"{folder}/" if folder else ""
    for rule in rules:
        file = rule.file
        link = f"[{rule.id}]({prefix}{rule.id}.md){' (extra)' if file.extra else ''}"
        lines.append(f"| {link} | {file.severity} | {file.resource_type} | {_cell(file.title)} |")
    lines += ["", "An extra runs where a standard names it under `rules.extras`.", ""]
    return "\n".join(lines)


def rule(found: Rule, known: Mapping[str, Read]) -> str:
    """Give the page of a rule."""
    return "\n".join(_rule(found, known)) + "\n"


def _rule(found: Rule, known: Mapping[str, Read]) -> Iterator[str]:
    file = found.file
    yield from (f"# {file.id}", "", f"**{file.title}** ({file.severity}, about each {file.resource_type}).", "")
    if file.extra:
        yield from ("An extra: it runs where the standard names it under `rules.extras`.", "")
    yield from (file.rationale.strip(), "", "| reason | sentence |", "|---|---|")
    for code, text in file.messages.items():
        yield f"| `{code}` | {_cell(text if isinstance(text, str) else text.get('en', ''))} |"
    yield from _params(found)
    yield from ("", "## What to do", "")
    for where, text in file.remediation.items():
        yield f"- {where}: `{' '.join(text.split())}`"
    if file.explained_by:
        yield from ("", f"Told as a consequence of: {', '.join(f'`{other}`' for other in file.explained_by)}.")
    yield from _controls(found, known)
    if file.references:
        yield from ("", "## References", "", *(f"- <{link}>" for link in file.references))
    yield from ("", "## How it judges", "", f"Reads {', '.join(f'`{table}`' for table in file.reads)}.", "")
    yield from ("```sql", file.sql.strip(), "```", "", "Proved by:", "")
    for test in file.tests:
        yield f"- {test.name}"
    for status, why in file.cannot.items():
        yield f"- never {status}: {why}"


def _params(found: Rule) -> Iterator[str]:
    if found.file.params:
        yield from ("", "| parameter | default | stricter | meaning |", "|---|---|---|---|")
        for name, param in found.file.params.items():
            yield f"| `{name}` | {param.default} | {param.stricter or ''} | {_cell(param.doc)} |"


def _controls(found: Rule, known: Mapping[str, Read]) -> Iterator[str]:
    if not found.file.controls:
        return
    yield from ("", "## Controls", "", "| framework | control | subject | id read |", "|---|---|---|---|")
    for key, ids in found.file.controls.items():
        for name in ids:
            control = known[key].file.by_id.get(name) if key in known else None
            subject, mark = (control.title, control.mark.value) if control else ("", Mark.UNVERIFIED.value)
            yield f"| {key} | {name} | {_cell(subject)} | {mark} |"
    yield from ("", "A verdict supports evidence for a control; it does not say that the control is met.")


def frameworks(known: Mapping[str, Read], rules: Sequence[Rule]) -> str:
    """Give the page of all frameworks: each control with the rules that support evidence for it."""
    supporting: dict[tuple[str, str], list[str]] = {}
    for found in rules:
        for key, ids in found.file.controls.items():
            for name in ids:
                supporting.setdefault((key, name), []).append(found.id)
    lines = [
        "# Frameworks",
        "",
        "What our evidence proves for controls of frameworks, and what it does not. Subjects are in own words; no text",
        "of a standard is here. No statement of compliance with a framework is made. How far an id was checked:",
        "",
        *(f"- `{mark}`: {said}" for mark, said in _MARKS.items()),
    ]
    for key, read in known.items():
        file = read.file
        lines += ["", f"## {file.name}, {file.version}", "", f"`{key}`, {file.publisher}, <{file.url}>", ""]
        lines += [file.say, ""] if file.say else []
        lines += ["| control | subject | rules | proves | does not prove | id |", "|---|---|---|---|---|---|"]
        for control in file.controls:
            names = ", ".join(f"[{name}](rules/{name}.md)" for name in supporting.get((key, control.id), ()))
            cells = (control.id, control.title, names or "none", control.proves, control.does_not_prove)
            lines.append(f"| {' | '.join(map(_cell, cells))} | {control.mark}: {_cell(control.source)} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
