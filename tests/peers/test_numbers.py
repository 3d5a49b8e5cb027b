"""No fixture of the list is forgotten."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def test_every_number_has_its_test() -> None:
    texts = (path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    numbers = {
        int(number) for text in texts for number in re.findall(r"^def test_fixture_(\d\d)_\w", text, re.MULTILINE)
    }
    assert set(range(1, 34)) == numbers
