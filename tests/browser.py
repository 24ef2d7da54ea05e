"""A real headless Chromium for tests of pages."""

import contextlib
import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

_CONTRAST = """() => {
  const parsed = text => { const found = text.match(/[0-9.]+/g).map(Number); return [...found.slice(0, 3), found.length > 3 ? found[3] : 1]; };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const light = color => { const [r, g, b] = color.map(v => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const canvas = document.createElement("span"); canvas.style.color = "Canvas"; document.body.append(canvas);
  const ground = parsed(getComputedStyle(canvas).color); canvas.remove();
  let least = [99, ""];
  for (const one of document.querySelectorAll("body *")) {
    const own = [...one.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    if (!own || one.closest("svg, noscript") || !one.getClientRects().length) continue;
    const line = []; for (let up = one; up; up = up.parentElement) line.unshift(getComputedStyle(up));
    let below = ground, seen = 1;
    for (const style of line) { below = over(parsed(style.backgroundColor), below); seen *= Number(style.opacity); }
    const color = parsed(getComputedStyle(one).color); color[3] *= seen;
    const [a, b] = [light(over(color, below)), light(below)].sort((x, y) => y - x), ratio = (a + 0.05) / (b + 0.05);
    if (ratio < least[0]) least = [ratio, `${one.tagName}.${one.className}: ${one.textContent.slice(0, 40)}`];
  }
  return least;
}"""
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def least_contrast(page: Any, scheme: str) -> tuple[float, str]:
    """Return the least contrast of a text to what is behind it, from 1 to 21, and which text that is.

    Args:
        page: as `opened` yields it.
        scheme: `light` or `dark`.
    """
    page.emulate_media(color_scheme=scheme)
    ratio, text = page.evaluate(_CONTRAST)
    return ratio, text


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
