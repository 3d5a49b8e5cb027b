"""A page as a reader meets it, and what it shows."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page


_FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-domain-reliability", "--no-first-run", "--no-default-browser-check",
)  # fmt: skip


@contextlib.contextmanager
def launched() -> Iterator[Browser]:
    """Start Debian's chromium, which asks nothing of the network of its own accord."""
    with sync_playwright() as running:
        started = running.chromium.launch(executable_path="/usr/bin/chromium", args=list(_FLAGS))
        yield started
        started.close()


class Opened:
    """A page with what it complained about and what it asked of the network."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    def go(self, path: Path, fragment: str = "") -> Page:
        self.page.goto(path.as_uri() + fragment)
        self.page.wait_for_selector("html[data-ready]", timeout=30_000)
        return self.page


def shown(page: Page) -> tuple[int, int]:
    """Give how many findings are shown, and of how many."""
    said = page.inner_text("#count")
    found = re.fullmatch(r"([\d,]+) of ([\d,]+) findings", said)
    assert found, said
    return int(found[1].replace(",", "")), int(found[2].replace(",", ""))


def serials(page: Page) -> list[str]:
    """Give the numbers of the rows that are drawn."""
    return [
        str(text) for text in page.eval_on_selector_all("#rows .c-serial", "cells => cells.map(it => it.textContent)")
    ]
