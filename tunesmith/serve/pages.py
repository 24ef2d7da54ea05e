"""Pages: one HTML file with its script and style inside, which may run these and ask its own service alone."""

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

from tunesmith.serve.web import Response

__all__ = ["page_answer"]

_HERE = Path(__file__).parent
_SHARED = "/* controls.js */"  # where a page has the script that pages share


def page_answer(name: str) -> Response:
    """Return the answer that is the page in the file `name`."""
    text, policy = _page(name)
    headers = {"content-security-policy": policy, "referrer-policy": "no-referrer", "x-frame-options": "DENY"}
    return Response(text, media_type="text/html", headers=headers)


@cache
def _page(name: str) -> tuple[str, str]:
    """Return the page and its policy."""
    text = (_HERE / name).read_text(encoding="utf-8")
    text = text.replace(_SHARED, (_HERE / "controls.js").read_text(encoding="utf-8"))
    allowed = {
        tag: "'sha256-" + base64.b64encode(hashlib.sha256(found.group(1).encode()).digest()).decode() + "'"
        for tag in ("script", "style")
        if (found := re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)) is not None
    }
    return text, (
        f"default-src 'none'; script-src {allowed['script']}; style-src {allowed['style']}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
