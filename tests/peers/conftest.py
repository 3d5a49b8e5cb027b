"""The estate of other tools' bugs, audited once; and the same evidence judged by a standard with other classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auditor import standard
from auditor.simulator import Estate
from tests.audits import AS_OF, TOKEN, Audited, audit, default_inputs
from tests.azure.runs import hurried
from tests.cli.conftest import Auditor

if TYPE_CHECKING:
    from auditor.inputs import Inputs

ESTATE = Path(__file__).with_name("estate.yaml")

_CLASSES = """
  - {name: first, precedence: 60, match: {tag: {tier: [prod]}}, tier: mission_critical}
  - {name: second, precedence: 60, match: {tag: {tier: [dev]}}, tier: dev_test}
"""


@pytest.fixture(scope="session")
def estate() -> Estate:
    return Estate.load(ESTATE, AS_OF)


@pytest.fixture(scope="session")
def company(estate: Estate, tmp_path_factory: pytest.TempPathFactory) -> Audited:
    made = audit(estate, tmp_path_factory.mktemp("company"), patience=hurried())
    assert made.results.run.complete
    return made


@pytest.fixture(scope="session")
def other_standard(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """Give a standard in which scale sets are left out, and a tag `tier` decides between two equals."""
    text = standard.default_path().read_text(encoding="utf-8")
    for old, new in (
        ("scale_set_flexible: true", "scale_set_flexible: false"),
        ("\nclasses:", f"\nclasses:{_CLASSES}#"),
    ):
        assert old in text
        text = text.replace(old, new)
    path = tmp_path_factory.mktemp("standard") / "other.yaml"
    path.write_text(text, encoding="utf-8")
    return replace(default_inputs(), standard=standard.read(path))


@pytest.fixture
def auditor(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Auditor:
    monkeypatch.setenv("AUDITOR_TOKEN", TOKEN)
    monkeypatch.chdir(tmp_path)
    return Auditor(capsys, monkeypatch)
