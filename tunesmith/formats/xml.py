"""`xml`: a tag per field."""

import re
from collections.abc import Mapping
from typing import ClassVar

from tunesmith.formats.layout import OUTER, Layout, Section, called
from tunesmith.formats.registry import register
from tunesmith.formats.sections import SectionFormat
from tunesmith.signatures import Signature

__all__ = ["XmlFormat"]

_TAG = re.compile(r"<(\w{1,200})>")
# Escape only what looks like a tag or an entity: `5 < 6` and `R&D` stay unchanged.
_SPECIAL = re.compile(r"<(?=[\w/!?])|&(?=(?:lt|gt|amp|quot|apos);)")
_BEGUN = re.compile(r"<[/\w]*\Z|&\w*\Z")
_ENTITY = re.compile(r"&(lt|gt|amp|quot|apos);")
_CHARACTERS = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}


class _Xml(Layout):
    """`<name>value</name>`. In a value, `<` before a letter and the `&` of an entity are escaped."""

    avoid: ClassVar[str] = "<"

    def labels(self, signature: type[Signature]) -> dict[str, str]:
        return {name: name for name in signature.fields}

    def opening(self, label: str) -> str:
        return f"<{label}>"

    def closing(self, label: str) -> str:
        return f"</{label}>"

    def write_text(self, text: str) -> str:
        return _SPECIAL.sub(lambda found: "&lt;" if found.group() == "<" else "&amp;", text)

    def read_text(self, body: str) -> str:
        return _ENTITY.sub(lambda found: _CHARACTERS[found.group(1)], body.strip())

    def sections(self, labels: Mapping[str, str], text: str) -> list[Section]:
        find, found, at = called(labels), list[Section](), 0
        unclosed: set[str] = set()
        while (tag := _TAG.search(text, at)) is not None:
            at, name = tag.end(), find(tag.group(1))
            if name is None or name in unclosed:
                continue
            if found and not found[-1].closed:
                found[-1] = found[-1]._replace(body=found[-1].body[: tag.start() - len(text)])
            end = text.find(f"</{tag.group(1)}>", at)
            if end < 0:  # the model forgot the closing tag: the next field or the end of the reply ends the value
                unclosed.add(name)
                found.append(Section(name, text[at:], closed=False))
            else:
                found.append(Section(name, text[at:end], closed=True))
                at = end
        return found

    def certain(self, text: str) -> int:
        begun = _BEGUN.search(text)
        return len(text) if begun is None else begun.start()

    def text_rule(self, least: int, most: int | None) -> str:
        start, more = f'[^{OUTER}"<]', "[^\\x00-\\x1F\\x7F<]"
        if most is not None:
            return f'{start} ({more} | "\\n"){{{max(least - 1, 0)},{most - 1}}}'
        return f'{start} ({more} | "\\n" "\\n"? " "{{0,8}} [^\\x00-\\x20\\x7F<]){{{max(least - 1, 0)},}}'


XML = _Xml()


class XmlFormat(SectionFormat):
    """Inputs and outputs between XML tags."""

    name: ClassVar[str] = "xml"
    layout: ClassVar[Layout] = XML


register(XmlFormat())
