"""A browser, and the sample's pages for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from auditor.report import formats, view
from tests.browser.pages import Opened, launched
from tests.formats import sample

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser


@pytest.fixture(scope="module")  # while it runs, so does its event loop, and no other test may start one
def browser() -> Iterator[Browser]:
    with launched() as started:
        yield started


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    made = {}
    for kind in ("nasty", "clean", "unknown", "incomplete", "empty"):
        made[kind] = folder / f"{kind}.html"
        made[kind].write_bytes(formats.find("html").render(view.build(sample.results(120, kind=kind))))
    return made


@pytest.fixture
def opened(browser: Browser) -> Iterator[Opened]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield Opened(context.new_page())
    context.close()
