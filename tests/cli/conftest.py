"""The command line in this process, a pretend Azure for it to ask, and one finished run."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from auditor import cli
from auditor.simulator import Estate, Simulator
from tests.audits import AS_OF, TOKEN, Audited, audit
from tests.azure.runs import hurried, mixed_estate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Outcome:
    code: int
    out: str
    err: str


class Auditor:
    """Runs `auditor …` as its console script would, with a clean environment."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._patch = capsys, monkeypatch

    def __call__(self, *words: object) -> Outcome:
        self._patch.setattr(sys, "argv", ["auditor", *map(str, words)])
        self._capsys.readouterr()
        code = cli._run()
        told = self._capsys.readouterr()
        assert "Traceback" not in told.err
        assert code != 70, told.err
        return Outcome(int(code), told.out, told.err)


@pytest.fixture
def auditor(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Auditor:
    monkeypatch.setenv("AUDITOR_TOKEN", TOKEN)
    monkeypatch.chdir(tmp_path)
    return Auditor(capsys, monkeypatch)


@pytest.fixture(scope="session")
def served() -> Iterator[Simulator]:
    with Simulator(mixed_estate(), token=TOKEN, quota=None) as azure:
        yield azure


@pytest.fixture(scope="session")
def tiny() -> Iterator[Simulator]:
    estate = Estate.from_dict(
        {"estate": "tiny", "subscriptions": {"a": {"name": "Twin"}, "b": {"name": "Twin"}}}, AS_OF
    )
    with Simulator(estate, token=TOKEN, quota=None) as azure:
        yield azure


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Audited:
    """Give a run whose Azure is gone."""
    return audit(mixed_estate(), tmp_path_factory.mktemp("finished"), patience=hurried())


def tree(folder: Path) -> dict[str, bytes]:
    """Read every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
