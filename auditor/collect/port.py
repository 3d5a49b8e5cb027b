"""The port to Azure: what collect needs of it. `auditor.azure` is its implementation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from datetime import datetime
    from typing import TypeAlias

    from auditor.inventory.catalogue import GraphQuestion, RestQuestion
    from auditor.model import CoverageState

    Row: TypeAlias = Mapping[str, Any]


class ReadError(Exception):
    """Something could not be read to its end. Pages given before it stand."""

    def __init__(self, state: CoverageState, reason: str, status: int | None = None) -> None:
        """Say how it ended: denied or failed, with the HTTP status of the last try."""
        super().__init__(reason)
        self.state, self.reason, self.status = state, reason, status


@dataclass(frozen=True, slots=True)
class Answer:
    """One response body with what was asked."""

    body: bytes
    """As received."""
    rows: Sequence[Row]
    """The resources in it."""
    total: int | None
    """What Azure says there is over all pages; None where it does not say."""
    truncated: bool
    """Resource Graph says that rows were left out and can't be paged for."""
    entry: Mapping[str, Any]
    """For raw/responses.jsonl: method, url, sent, status, api_version, request ids, received_at, ..."""


class Azure(Protocol):
    """What collect needs of Azure. Every iterator raises ReadError when it can't go on.

    It lets a page go before it asks for the next; who hears it should too (`del`), or both are held for as long as that
    takes, times the questions under way.
    """

    @property
    def identity(self) -> Mapping[str, Any]:
        """Who asks."""

    @property
    def clock_offset(self) -> float | None:
        """Seconds that Azure's clock is ahead of this machine's; None while nobody told."""

    @property
    def setbacks(self) -> Sequence[Mapping[str, Any]]:
        """Tries that came to nothing, oldest first: at, method, url, status, said."""

    def query(
        self, question: GraphQuestion, subscriptions: Sequence[str] | None, *, top: int | None = None
    ) -> AsyncIterator[Answer]:
        """Ask Resource Graph; None asks the whole tenant. Pages in order, of `top` rows where it is given."""

    def ask(self, question: RestQuestion, subject: str, odata_filter: str | None) -> AsyncIterator[Answer]:
        """Ask about one resource, named by its id as Azure wrote it. Pages in order."""


class Keeper(Protocol):
    """What takes the answers: the draft of a bundle, or nobody."""

    @property
    def id(self) -> str:
        """Name of the run."""

    @property
    def as_of(self) -> datetime:
        """Its moment."""

    def page(self, table: str, entry: Mapping[str, Any], body: bytes) -> None:
        """Take a response body."""

    def write_setbacks(self, setbacks: Sequence[Mapping[str, Any]]) -> None:
        """Take the tries that came to nothing."""


class Kept(Protocol):
    """Answers about recovery points that need not be asked for again."""

    def points(self, item_id: str, *, at_rest: bool) -> Sequence[tuple[Mapping[str, Any], bytes]] | None:
        """Give what was answered about an item (entries and bodies), or None where it must be asked.

        Args:
            item_id: lower-cased ARM id of the protected item.
            at_rest: its protection is stopped or it is softly deleted, so that no point is added to it.
        """


class FirstKept:
    """Asks several for answers that are kept; the first that has them gives them."""

    def __init__(self, several: Sequence[Kept]) -> None:
        """Keep their order."""
        self._several = several

    def points(self, item_id: str, *, at_rest: bool) -> Sequence[tuple[Mapping[str, Any], bytes]] | None:
        """See `Kept.points`."""
        found = (one.points(item_id, at_rest=at_rest) for one in self._several)
        return next((it for it in found if it is not None), None)
