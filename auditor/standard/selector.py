"""Which resources a class or a waiver means: `match:` blocks as one SQL condition over resources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

TAG_SEPARATOR = "\x1f"
"""Between key and value in the folded tag pairs of a resource; cannot be typed into a tag by hand."""


def _listed(value: object) -> object:
    return value if isinstance(value, list) else [value]


def _as_text(value: object) -> object:
    if isinstance(value, list):
        return [_as_text(item) for item in value]
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


Texts = Annotated[list[str], BeforeValidator(_as_text), BeforeValidator(_listed), Field(min_length=1)]
"""One text or a list of them; numbers and booleans are taken as their text."""


class Match(BaseModel):
    """A selector. Every key given must hold; the values of one key are alternatives.

    `tag` compares keys and values case-folded. `resource_group`, `resource_id`, `subscription` (id or name) and
    `management_group` (id or display name) compare case-folded too and take `*` and `?`.
    """

    model_config = ConfigDict(extra="forbid")

    tag: dict[str, Texts] | None = None
    resource_id: Texts | None = None
    resource_group: Texts | None = None
    subscription: Texts | None = None
    management_group: Texts | None = None
    any: list[Match] | None = None
    all: list[Match] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_dump(exclude_none=True):
            raise ValueError("match is empty and would select everything; name what is meant")
        return self

    @property
    def takes_all(self) -> bool:
        """Tell whether every resource is meant, as by `*`."""
        globs = (self.resource_id, self.resource_group, self.subscription, self.management_group)
        terms = [any(set(text.strip()) == {"*"} for text in texts) for texts in globs if texts is not None]
        terms += [any(match.takes_all for match in self.any)] if self.any is not None else []
        terms += [match.takes_all for match in self.all or []]
        return not self.tag and all(terms)

    def sql(self, row: str, carries: Callable[[list[str]], str] | None = None) -> str:
        """Give the condition over `row`, an alias of the `resource` relation (see inventory/views).

        Args:
            row: the alias.
            carries: gives the condition for carrying one of these folded pairs; by default they are sought in the row.
        """
        carries = carries or (lambda pairs: carried(f"{row}.tag_pairs", pairs))
        terms = [carries(pairs_of({key: values})) for key, values in (self.tag or {}).items()]
        terms += _globs(self.resource_id, lambda glob: glob(f"{row}.resource_id"))
        terms += _globs(self.resource_group, lambda glob: glob(f"lower({row}.resource_group)"))
        terms += _globs(
            self.subscription,
            lambda glob: f"({glob(f'{row}.subscription_id')} OR {glob(f'lower({row}.subscription_name)')})",
        )
        terms += _globs(
            self.management_group, lambda glob: f"len(list_filter({row}.management_groups, lambda g: {glob('g')})) > 0"
        )
        if self.any is not None:
            terms.append("(" + " OR ".join(match.sql(row, carries) for match in self.any) + ")")
        terms += [match.sql(row, carries) for match in self.all or []]
        return "coalesce(" + " AND ".join(terms) + ", false)"

    def tag_keys(self) -> set[str]:
        """Give the tags that it looks at, its alternatives' included."""
        return set(self.tag or {}).union(*(match.tag_keys() for match in [*(self.any or []), *(self.all or [])]))

    def tag_pairs(self) -> set[str]:
        """Give the tags with the values that it knows, folded."""
        below = [match.tag_pairs() for match in [*(self.any or []), *(self.all or [])]]
        return set(pairs_of(self.tag or {})).union(*below)

    def words(self) -> str:
        """Say in words what is selected, for reports."""
        said = [f"tag {key} = {' or '.join(values)}" for key, values in (self.tag or {}).items()]
        for name in ("resource_id", "resource_group", "subscription", "management_group"):
            values = getattr(self, name)
            if values:
                said.append(f"{name.replace('_', ' ')} {' or '.join(values)}")
        if self.any is not None:
            said.append("any of (" + "; ".join(match.words() for match in self.any) + ")")
        said += [match.words() for match in self.all or []]
        return ", ".join(said)


def pairs_of(tags: Mapping[str, list[str]]) -> list[str]:
    """Give tags as the folded pairs that a resource's are compared as."""
    return [
        f"{key.strip().casefold()}{TAG_SEPARATOR}{value.strip().casefold()}"
        for key, values in tags.items()
        for value in values
    ]


def carried(held: str, pairs: list[str]) -> str:
    """Give the condition that a column of folded pairs holds one of these."""
    return f"list_has_any({held}, [{', '.join(map(quote, pairs))}])"


def quote(text: str) -> str:
    """Make an SQL text literal: the only way user text enters SQL."""
    return "'" + text.replace("'", "''").replace("\x00", "") + "'"


def _globs(patterns: list[str] | None, condition: Callable[[Callable[[str], str]], str]) -> list[str]:
    if patterns is None:
        return []
    return ["(" + " OR ".join(condition(_glob(pattern.strip().casefold())) for pattern in patterns) + ")"]


def _glob(pattern: str) -> Callable[[str], str]:
    """Give what makes the condition that a column is like a pattern."""
    start = pattern.removesuffix("*")
    if start != pattern and not set(start) & set("*?\\"):
        return lambda column: f"starts_with({column}, {quote(start)})"  # as GLOB, only faster
    # `[` is a character class in SQL's GLOB but a plain character in Azure names: escape it.
    return lambda column: f"{column} GLOB {quote(pattern.replace('[', '[[]'))}"
