"""Fixtures: a small estate and the sample estate, each served once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from auditor.simulator import Estate, Simulator
from tests.simulator.wire import AS_OF, CONTOSO, small

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def contoso() -> Estate:
    return Estate.load(CONTOSO, AS_OF)


@pytest.fixture(scope="session")
def company(contoso: Estate) -> Iterator[Simulator]:
    with Simulator(contoso, quota=None) as simulator:
        yield simulator


@pytest.fixture(scope="session")
def simulator() -> Iterator[Simulator]:
    with Simulator(Estate.from_dict(small(), AS_OF), quota=None) as simulator:
        yield simulator
