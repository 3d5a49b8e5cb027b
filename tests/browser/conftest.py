"""A browser, and the sample's pages for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import sync_playwright

from auditor.report import formats, view
from tests.browser.pages import Opened
from tests.formats import sample

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

_FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-domain-reliability", "--no-first-run", "--no-default-browser-check",
)  # fmt: skip


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as running:
        started = running.chromium.launch(executable_path="/usr/bin/chromium", args=list(_FLAGS))
        yield started
        started.close()


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
