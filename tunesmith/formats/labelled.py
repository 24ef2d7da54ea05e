"""Labelled lines, `Field: value`: the layout of inputs in most formats, and of replies in `lines`."""

from collections.abc import Mapping
from typing import Any, ClassVar

from tunesmith.formats.fields import INDENT, read_inputs
from tunesmith.formats.layout import OUTER, Layout, Section, called, unfenced
from tunesmith.lazy import lazy_pattern
from tunesmith.signatures import Signature

__all__ = ["LINES"]

# Small models often write a label in bold.
_HEAD = lazy_pattern(r"\*{0,2}([^\s:*][^:\n]{0,200}?)\*{0,2}[ \t]*:\*{0,2}")


class _Lines(Layout):
    """`Title: value`, with further lines indented. A line in the first column always begins a field."""

    inline: ClassVar[str] = " "
    advice: ClassVar[str] = f"Several lines of text begin below the name, each set in by {len(INDENT)} spaces."

    def opening(self, label: str) -> str:
        return f"{label}:"

    def write_text(self, text: str) -> str:
        if "\n" not in text:
            return " " + text
        return f"\n{INDENT}" + text.replace("\n", f"\n{INDENT}")

    def read_text(self, body: str) -> str:
        first, *rest = body.split("\n")
        while rest and not rest[-1].strip():
            rest.pop()
        if all(line.startswith(INDENT) or not line.strip() for line in rest):
            rest = [line.removeprefix(INDENT) for line in rest]
        if first.strip():
            return "\n".join([first, *rest]).strip()
        return "\n".join(rest)

    def sections(self, labels: Mapping[str, str], text: str) -> list[Section]:
        lines, find = unfenced(text).split("\n"), called(labels)
        heads: list[tuple[int, str, str]] = []
        for at, line in enumerate(lines):
            head = None if line[:1] in (" ", "\t", "") else _HEAD.match(line)
            name = None if head is None else find(head.group(1))
            if name is not None and head is not None:
                heads.append((at, name, line[head.end() :]))
        ends = [at for at, _, _ in heads[1:]] + [len(lines)]
        return [
            Section(name, "\n".join([rest, *lines[at + 1 : end]]), closed=end < len(lines))
            for (at, name, rest), end in zip(heads, ends, strict=False)
        ]

    def certain(self, text: str) -> int:
        start = text.rfind("\n") + 1
        # A line that is not indented may still turn out to be a label until its colon arrives.
        return len(text) if text[start : start + 1] in (" ", "\t") or _HEAD.match(text, start) else start

    def text_rule(self, least: int, most: int | None) -> str:
        start, more = f'[^{OUTER}"]', "[^\\x00-\\x1F\\x7F]"
        newline = f'"\\n{INDENT}"'
        if most is None:
            indented, count = (
                f'{more} | {newline} ({newline})? " "{{0,8}} [^\\x00-\\x20\\x7F]',
                f"{{{max(least - 1, 0)},}}",
            )
        else:
            indented, count = f"{more} | {newline}", f"{{{max(least - 1, 0)},{most - 1}}}"
        return f'" " {start} {more}{count} | {newline} {start} ({indented}){count}'

    def read(self, signature: type[Signature], types: Mapping[str, Any], text: str) -> dict[str, Any]:
        return read_inputs(signature, text)


LINES = _Lines()
