"""The templates: the shipped ones, and a folder of the user's whose files win over those of the same name."""

from __future__ import annotations

import base64
import functools
import mimetypes
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jinja2

from auditor import assets
from auditor.document import did_you_mean, load
from auditor.errors import DocumentError, Fault, UsageError
from auditor.report.wording import ENGLISH, Texts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from auditor.document import Document, Key

_OPEN: frozenset[Key] = frozenset(
    {("values",), ("codes",), ("areas",), ("frameworks",), ("rules",), ("params",), ("controls",), ("sentences",)}
)
"""Texts about what rules of one's own may bring along."""
_TEMPLATES = frozenset({".html", ".css", ".js"})
PICTURES = frozenset({".png", ".jpg", ".jpeg", ".svg"})


@dataclass(frozen=True, slots=True)
class Templates:
    """Where templates and texts are looked for."""

    own: Path | None = None
    """The user's folder, looked into first."""

    @property
    def folders(self) -> tuple[Path, ...]:
        """Give the folders in the order of looking."""
        return tuple(folder for folder in (self.own, assets.templates()) if folder is not None)

    @property
    def languages(self) -> tuple[str, ...]:
        """List the languages that there are texts in."""
        found = {path.name.split(".")[1] for folder in self.folders for path in folder.glob("texts.*.yaml")}
        return tuple(sorted(found))

    def source(self, name: str) -> str:
        """Read a file as it is: a style sheet or a script."""
        path = next(folder / name for folder in self.folders if (folder / name).is_file())
        return path.read_text(encoding="utf-8")

    def texts(self, language: str = ENGLISH) -> Texts:
        """Read the sentences of a language; what a translation lacks is said in English.

        Raises:
            UsageError: there are none in it.
        """
        if language not in self.languages:
            raise UsageError(f"--language {language}: there are no texts in it", did_you_mean(language, self.languages))
        return _texts(self, language)

    def picture(self, name: str) -> str:
        """Give a picture of the user's folder as a data URL.

        Raises:
            UsageError: there is none of this name.
        """
        path = None if self.own is None else (self.own / name).resolve()
        if path is None or self.own is None or not path.is_relative_to(self.own.resolve()) or not path.is_file():
            raise UsageError(f"--templates: no picture {name!r} in {self.own}", "put it there, or correct its name")
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


SHIPPED = Templates()


@functools.cache
def _texts(templates: Templates, language: str) -> Texts:
    tree: Any = {}
    for name in dict.fromkeys((ENGLISH, language)):
        for folder in reversed(templates.folders):
            path = folder / f"texts.{name}.yaml"
            if path.is_file():
                tree = _over(tree, load(path).data or {})
    return Texts(tree, language)


def opened(own: Path | None) -> Templates:
    """Take the user's folder after looking through all of it.

    Raises:
        UsageError: there is no such folder, or nothing in it is used.
        DocumentError: a file that overrides nothing, a template that can't be read, a text that nobody asks for.
    """
    if own is None:
        return SHIPPED
    if not own.is_dir():
        raise UsageError(f"--templates {own}: no such folder", "name a folder with templates of your own")
    paths = sorted(path for path in own.rglob("*") if path.is_file())
    faults = [fault for path in paths for fault in _faults(own, path)]
    if faults:
        raise DocumentError(faults)
    if not any(path.suffix in _TEMPLATES or path.suffix == ".yaml" for path in paths):
        said = f"--templates {own}: nothing in it overrides a template or a text"
        raise UsageError(said, "put blocks/logo.html or texts.en.yaml there, as in report_templates")
    return Templates(own)


def _faults(own: Path, path: Path) -> Iterator[Fault]:
    name = path.relative_to(own).as_posix()
    if path.suffix in PICTURES or any(part.startswith(".") for part in path.relative_to(own).parts):
        return
    if name.startswith("texts.") and path.suffix == ".yaml":
        yield from _text_faults(load(path))
        return
    shipped = assets.templates()
    known = [it.relative_to(shipped).as_posix() for it in shipped.rglob("*") if it.suffix in _TEMPLATES]
    if name not in known:
        yield Fault(str(path), 0, "overrides no template", did_you_mean(name, known))
        return
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".html":
            jinja2.Environment(autoescape=True).parse(text)
    except (jinja2.TemplateSyntaxError, UnicodeDecodeError) as error:
        line = getattr(error, "lineno", 0)
        yield Fault(str(path), line, f"is no template: {error}", "correct it, or take it away")


def _text_faults(document: Document) -> Iterator[Fault]:
    english = load(assets.templates() / f"texts.{ENGLISH}.yaml").data
    if not isinstance(document.data or {}, dict):
        yield document.fault((), "must be a block of `key: text` lines", "see report_templates/texts.en.yaml")
        return
    yield from _compared(document, (), document.data or {}, english)


def _compared(document: Document, key: Key, own: Any, english: Any) -> Iterator[Fault]:
    if isinstance(english, Mapping) and isinstance(own, Mapping):
        for name, inner in own.items():
            if key in _OPEN and name not in english:
                continue
            if name in english:
                yield from _compared(document, (*key, name), inner, english[name])
            else:
                yield document.fault((*key, name), f"unknown text {name!r}", did_you_mean(name, map(str, english)))
    elif isinstance(english, list) and isinstance(own, list) and len(english) == len(own):
        for number, (inner, model) in enumerate(zip(own, english, strict=True)):
            yield from _compared(document, (*key, number), inner, model)
    elif isinstance(english, Mapping | list) or isinstance(own, Mapping | list):
        yield document.fault(key, f"{'.'.join(map(str, key))}: has another form than in texts.en.yaml", "copy its form")
    else:
        try:
            foreign = _places(own) - _places(english)
        except ValueError as error:
            yield document.fault(key, f"a brace is not closed: {error}", "write {{ and }} for braces")
            return
        if foreign:
            yield document.fault(key, f"unknown place {{{min(foreign)}}}", did_you_mean(min(foreign), _places(english)))


def _places(text: object) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(str(text)) if name is not None}


def _over(below: Any, above: Any) -> Any:
    if isinstance(below, Mapping) and isinstance(above, Mapping):
        return {**below, **{name: _over(below.get(name), inner) for name, inner in above.items()}}
    return above
