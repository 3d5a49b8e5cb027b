"""One audit of a pretend Azure, through the real SDKs over HTTP: what most tests of the pipeline begin with."""

from __future__ import annotations

import asyncio
import functools
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from auditor import assets, inputs, pipeline
from auditor.azure import AzureReader, cloud
from auditor.bundle import kept
from auditor.inventory.facts import Facts
from auditor.simulator.server import Simulator

if TYPE_CHECKING:
    from pathlib import Path

    from auditor.azure.pacing import Patience
    from auditor.bundle import Bundle
    from auditor.collect import Scope
    from auditor.inputs import Inputs
    from auditor.model import Results
    from auditor.simulator.estate import Estate
    from auditor.simulator.faults import Faults
    from auditor.simulator.server import Request

AS_OF = datetime(2026, 11, 22, 6, tzinfo=UTC)
TOKEN = "simulator"


@functools.cache
def default_inputs() -> Inputs:
    """Read the shipped standard and rules once, with the restore tests and runbooks of the sample estate."""
    return inputs.read(beside=assets.samples())


@dataclass(frozen=True, slots=True)
class Audited:
    """What an audit left."""

    bundle: Bundle
    results: Results
    log: list[Request]

    def verdicts(self) -> dict[tuple[str, str], str]:
        """Give (rule, resource id) -> status, passes left out."""
        return {(f.rule, f.resource_id): f.status.value for f in self.results.findings}

    def rows(self, sql: str, given: Inputs | None = None) -> list[dict[str, Any]]:
        """Query the tables that rules read, and `raw.<table>` of the inventory."""
        about = pipeline._circumstances(
            self.bundle, self.bundle.covered(), given or default_inputs(), self.bundle.as_of
        )
        with Facts.open(self.bundle.inventory, about) as facts:
            return facts.rows(sql)

    def judged_again(
        self, given: Inputs | None = None, as_of: datetime | None = None, threshold: str | None = None
    ) -> Results:
        """Judge the same evidence by other inputs, or as at another moment."""
        given = given or default_inputs()
        folder = pipeline.evaluate_again(self.bundle, given, as_of)
        return pipeline.read(self.bundle, given, findings=folder, as_of=as_of, threshold=threshold)


def audit(
    estate: Estate,
    store: Path,
    *,
    scope: Scope | None = None,
    faults: Faults | None = None,
    given: Inputs | None = None,
    as_of: datetime = AS_OF,
    patience: Patience | None = None,
) -> Audited:
    """Serve the estate, audit it into `store`, read the bundle."""
    given = given or default_inputs()
    with Simulator(estate, token=TOKEN, quota=None, faults=faults) as azure:
        made = audit_at(azure, store, scope=scope, given=given, as_of=as_of, patience=patience)
        log = list(azure.log)
    return Audited(made, pipeline.read(made, given), log)


def audit_at(
    azure: Simulator,
    store: Path,
    *,
    scope: Scope | None = None,
    given: Inputs | None = None,
    as_of: datetime = AS_OF,
    patience: Patience | None = None,
    kind: type[AzureReader] = AzureReader,
) -> Bundle:
    """Audit what is served into `store`, going on from a run that was interrupted there; give the bundle."""
    os.environ["AUDITOR_TOKEN"] = TOKEN
    place = cloud(arm_endpoint=azure.url)
    settings = pipeline.Settings(cloud=place.name, arm_endpoint=place.arm_endpoint)
    if scope is not None:
        settings = pipeline.Settings(scope=scope, cloud=place.name, arm_endpoint=place.arm_endpoint)

    async def run() -> Bundle:
        interrupted = kept.find(store, pipeline.purpose(settings), as_of)
        async with kind(place, patience=patience) as reader:
            return await pipeline.run(
                reader, given or default_inputs(), settings, store=store, as_of=as_of, interrupted=interrupted
            )

    return asyncio.run(run())
