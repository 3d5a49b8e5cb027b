"""What a Resource Graph query looks into: subscriptions, management groups, the authorizationScopeFilter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditor.simulator.estate import Estate

GOVERNED = frozenset({"policyresources", "authorizationresources"})
"""Tables that the authorizationScopeFilter is about; the others do not mind it."""
_FILTERS = {
    "atscopeandbelow": (False, True),
    "atscopeandabove": (True, False),
    "atscopeexact": (False, False),
    "atscopeaboveandbelow": (True, True),
}
"""Lower-cased filter -> whether it looks above the scope, whether below."""


class UnknownScopeError(Exception):
    """Nothing of a scope can be read."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Which rows a query sees."""

    subscriptions: frozenset[str]
    """Lower-cased ids whose rows are seen."""
    groups: frozenset[str]
    """Lower-cased names of the management groups whose own rows are seen."""
    inside: bool = True
    """Whether rows below a subscription's own level are."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a query looks."""

    plain: Reach
    """In ordinary tables."""
    governed: Reach
    """In the tables of policies and role assignments."""

    def reach(self, table: str) -> Reach:
        """Give what is seen of a table."""
        return self.governed if table in GOVERNED else self.plain


def scope_of(
    estate: Estate,
    readable: frozenset[str],
    subscriptions: Sequence[str] | None,
    groups: Sequence[str] | None,
    *,
    upward: str,
) -> Scope:
    """Resolve the scope of a request; `upward` is its authorizationScopeFilter.

    Raises:
        UnknownScopeError: nothing of it can be read.
        ValueError: there is no such filter.
    """
    if upward.lower() not in _FILTERS:
        message = f"authorizationScopeFilter {upward!r}"
        raise ValueError(message)
    above, below = _FILTERS[upward.lower()]
    parents = {name.lower(): [p.lower() for p in g["ancestors"]] for name, g in estate.management_groups.items()}
    if subscriptions:
        # Documented: what can't be read is dropped without a word, unless nothing is left.
        seen = frozenset(str(s).lower() for s in subscriptions) & readable
        if not seen:
            raise UnknownScopeError
        over = frozenset(name.lower() for s in seen for name in estate.ancestors(s)) if above else frozenset()
        return Scope(Reach(seen, frozenset()), Reach(seen, over, below))
    if groups:
        wanted = frozenset(parents).intersection(str(group).lower() for group in groups)
        if not wanted:
            raise UnknownScopeError
        under = frozenset(name for name, over in parents.items() if name in wanted or wanted.intersection(over))
        inside = frozenset(s for s in readable if wanted & {name.lower() for name in estate.ancestors(s)})
        holders = under if below else wanted
        if above:
            holders |= {parent for name in wanted for parent in parents[name]}
        return Scope(Reach(inside, under), Reach(inside if below else frozenset(), holders))
    # Without a scope the whole tenant is asked: nothing is above it.
    everything = Reach(readable, frozenset(parents))
    return Scope(everything, everything)
