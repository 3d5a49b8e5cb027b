"""The mixed estate, and what a flawless run says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.audits import Audited, audit
from tests.azure import runs

if TYPE_CHECKING:
    from auditor.simulator import Estate


@pytest.fixture(scope="session")
def mixed() -> Estate:
    return runs.mixed_estate()


@pytest.fixture(scope="session")
def flawless(mixed: Estate, tmp_path_factory: pytest.TempPathFactory) -> Audited:
    made = audit(mixed, tmp_path_factory.mktemp("flawless"), patience=runs.hurried())
    assert made.results.run.complete
    return made


@pytest.fixture(scope="session")
def clean(flawless: Audited) -> runs.Verdicts:
    return runs.verdicts(flawless.bundle)
