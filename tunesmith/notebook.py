"""Results as small HTML for notebooks: every text escaped, no script, and colours that suit light and dark pages."""

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from tunesmith.lazy import lazy_module, lazy_pattern

if TYPE_CHECKING:
    import html
else:
    html = lazy_module("html")

__all__ = ["changes_html", "details_html", "paragraphs_html", "table_html", "text_html"]

_PRE = "white-space:pre-wrap;text-align:left;margin:.3em 0"
_ADDED, _REMOVED = "background:rgba(46,160,67,.25)", "background:rgba(248,81,73,.25);text-decoration:line-through"
# The marks of a diff of words; a text that looks like one is only coloured.
_MARKS = lazy_pattern(r"\{\+(.*?)\+\}|\[-(.*?)-\]", re.DOTALL)


def table_html(rows: Sequence[Sequence[str]]) -> str:
    """Return a table; the first row is its header.

    Example:
        >>> table_html([["name"], ["<b>"]])
        '<table><thead><tr><th>name</th></tr></thead><tbody><tr><td>&lt;b&gt;</td></tr></tbody></table>'
    """
    head, *lines = (_cells(row, "td" if number else "th") for number, row in enumerate(rows))
    return f"<table><thead>{head}</thead><tbody>{''.join(lines)}</tbody></table>"


def _cells(row: Sequence[str], tag: str) -> str:
    return f"<tr>{''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in row)}</tr>"


def paragraphs_html(texts: Iterable[str]) -> str:
    """Return a paragraph for each text that is not empty."""
    return "".join(f"<p>{html.escape(text)}</p>" for text in texts if text)


def text_html(text: str) -> str:
    """Return a text with its line ends."""
    return f'<pre style="{_PRE}">{html.escape(text)}</pre>'


def changes_html(text: str) -> str:
    """Return a diff of words, `{+added+}` and `[-removed-]`, with its marks as colours and for screen readers."""
    return f'<pre style="{_PRE}">{_MARKS.sub(_marked, html.escape(text))}</pre>'


def _marked(found: re.Match[str]) -> str:
    if found[1] is not None:
        return f'<ins style="{_ADDED}">{found[1]}</ins>'
    return f'<del style="{_REMOVED}">{found[2]}</del>'


def details_html(summary: str, body: str) -> str:
    """Return HTML that is shown when its summary is opened; `body` is HTML."""
    return f"<details><summary>{html.escape(summary)}</summary>{body}</details>"
