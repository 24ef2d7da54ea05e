"""`markdown`: a heading per field."""

import re
from collections.abc import Mapping
from typing import ClassVar

from tunesmith.formats.layout import OUTER, Layout, Section, called, unfenced
from tunesmith.formats.registry import register
from tunesmith.formats.sections import SectionFormat

__all__ = ["MarkdownFormat"]

_HEAD = re.compile(r"^ {0,3}#{1,6}[ \t]*([^\n]{1,200})$", re.MULTILINE)
_HASH = re.compile(r"^( {0,3})(\\*#)", re.MULTILINE)
_ESCAPED = re.compile(r"^( {0,3})\\(\\*#)", re.MULTILINE)


class _Markdown(Layout):
    """`## Title`, then the value. A backslash escapes a `#` that begins a line of a value."""

    between: ClassVar[str] = "\n\n"

    def opening(self, label: str) -> str:
        return f"## {label}\n"

    def write_text(self, text: str) -> str:
        return _HASH.sub(r"\1\\\2", text)

    def read_text(self, body: str) -> str:
        return _ESCAPED.sub(r"\1\2", body.strip())

    def sections(self, labels: Mapping[str, str], text: str) -> list[Section]:
        text, find = unfenced(text), called(labels)
        heads = [
            (head, name)
            for head in _HEAD.finditer(text)
            if (name := find(head.group(1).rstrip(" \t#").strip("*: \t"))) is not None
        ]
        ends = [head.start() for head, _ in heads[1:]] + [len(text)]
        return [
            Section(name, text[head.end() : end], closed=end < len(text))
            for (head, name), end in zip(heads, ends, strict=False)
        ]

    def certain(self, text: str) -> int:
        start = text.rfind("\n") + 1
        # Whether a line is a heading is known at its end; a leading backslash may be an escape.
        return start if text[start:].lstrip(" \\")[:1] in ("", "#") else len(text)

    def text_rule(self, least: int, most: int | None) -> str:
        start, least = f'[^{OUTER}"#]', max(least - 1, 0)
        if most is not None:  # no `#`, so that a small model does not write headings inside a text
            return f'{start} ([^\\x00-\\x1F\\x7F#] | "\\n"){{{least},{most - 1}}}'
        return f'{start} ([^\\x00-\\x1F\\x7F] | "\\n" "\\n"? " "{{0,8}} [^\\x00-\\x20\\x7F#]){{{least},}}'


MARKDOWN = _Markdown()


class MarkdownFormat(SectionFormat):
    """Inputs and outputs under Markdown headings."""

    name: ClassVar[str] = "markdown"
    layout: ClassVar[Layout] = MARKDOWN


register(MarkdownFormat())
