"""A real headless Chromium for tests of pages."""

import contextlib
import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@contextlib.contextmanager
def opened(address: str, *, width: int = 1100, height: int = 900, expected: str = "401") -> Iterator[Any]:
    """Yield the page at `address`; anything that it writes to its console as an error fails the test at the end.

    A browser also writes there that a request was refused; statuses that `expected` matches may be.
    Skips the test if there is no Chromium or no playwright on this machine.
    """
    binary = next(filter(None, map(shutil.which, _NAMES)), None)
    if binary is None:
        pytest.skip(f"there is no {' or '.join(_NAMES)} on this machine")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    problems = list[str]()
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=binary, args=["--no-sandbox"])
        try:
            page = browser.new_page(viewport={"width": width, "height": height})
            page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.goto(address)
            yield page
        finally:
            browser.close()
    allowed = re.compile(rf"status of ({expected}) ")
    left = [problem for problem in problems if not allowed.search(problem)]
    assert not left, left
