"""How a message lays out its fields, and how they are read back."""

import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

from tunesmith.errors import FormatError, shown
from tunesmith.formats.fields import field_titles, read_spelled, spelled
from tunesmith.signatures import Signature

__all__ = ["OUTER", "Layout", "Section", "Writer", "called", "unfenced", "unquoted"]

OUTER = "\\x00-\\x20\\x7F-\\xA0\\u1680\\u2000-\\u200B\\u2028\\u2029\\u202F\\u205F\\u3000"
"""Characters that a text cannot begin or end with, for a character class of a grammar: outer white space is dropped."""

Writer = Callable[[Mapping[str, Any]], str]


class Section(NamedTuple):
    """One field of a message.

    Attributes:
        name: of the field.
        body: its text as written, before unescaping.
        closed: whether the section is certainly complete.
    """

    name: str
    body: str
    closed: bool


class Layout:
    """Fields as sections of a text. A subclass defines how a section is written and where it begins and ends.

    `write_text` escapes any text that could be mistaken for the beginning or end of a section.

    Attributes:
        between: separator of two sections.
        inline: what `write_text` puts before a text of one line that needs no escape.
        avoid: characters that `write_text` may have to escape.
        advice: tells the model how to write a text of several lines; empty if no advice is needed.
    """

    between: ClassVar[str] = "\n"
    inline: ClassVar[str] = ""
    avoid: ClassVar[str] = ""
    advice: ClassVar[str] = ""

    def labels(self, signature: type[Signature]) -> dict[str, str]:
        """Return the label of each field in a message."""
        return field_titles(signature)

    def opening(self, label: str) -> str:
        """Return the text that begins the section with this label."""
        raise NotImplementedError

    def closing(self, label: str) -> str:
        """Return the text that ends the section with this label."""
        return ""

    def write_text(self, text: str) -> str:
        """Return a text as a section shows it. The text has no outer white space and no control characters."""
        raise NotImplementedError

    def read_text(self, body: str) -> str:
        """Return the text that `write_text` wrote; outer white space may have been added."""
        raise NotImplementedError

    def sections(self, labels: Mapping[str, str], text: str) -> list[Section]:
        """Return the sections of these fields in a text, in order of appearance, in linear time."""
        raise NotImplementedError

    def certain(self, text: str) -> int:
        """Return how many leading characters of a partial reply keep their meaning, whatever follows."""
        return text.rfind("\n") + 1

    def text_rule(self, least: int, most: int | None) -> str:
        """Return the body of a GBNF rule for a text of `least` to `most` characters, as `write_text` writes it.

        With `most`, a line break counts as one character. Without it, the rule stops endless white space: it allows
        one blank line in a row, and eight spaces at the beginning of a line.
        """
        raise NotImplementedError

    # Shared by all layouts ----------------------------------------------------------------------------------

    def section(self, label: str, text: str) -> str:
        """Return a whole section."""
        return f"{self.opening(label)}{self.write_text(text)}{self.closing(label)}"

    def writer(self, signature: type[Signature], types: Mapping[str, Any]) -> Writer:
        """Return a function that writes values of these fields and skips absent ones."""
        labels = self.labels(signature)
        plan = tuple((name, labels[name], annotation is str) for name, annotation in types.items())

        def write(values: Mapping[str, Any]) -> str:
            return self.between.join(
                self.section(label, spelled(values[name], text_field=is_text, name=name))
                for name, label, is_text in plan
                if name in values
            )

        return write

    def read(self, signature: type[Signature], types: Mapping[str, Any], text: str) -> dict[str, Any]:
        """Return the fields and values that `writer` wrote.

        Raises:
            FormatError: the text was not written by it.
        """
        labels = self.labels(signature)
        values: dict[str, Any] = {}
        for section in self.sections({name: labels[name] for name in types}, text):
            if section.name in values:
                raise FormatError(f"Field `{section.name}` stands twice in the message {shown(text)}.")
            try:
                value = read_spelled(self.read_text(section.body), text_field=types[section.name] is str)
            except ValueError as error:
                raise FormatError(f"Field `{section.name}` of {shown(text)} was not written by a format.") from error
            values[section.name] = value
        return values


def unquoted(text: str) -> str:
    """Return the value of a JSON string, and any other text unchanged."""
    if text.startswith('"') and text.endswith('"'):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return text
        return value if isinstance(value, str) else text
    return text


def called(labels: Mapping[str, str]) -> Callable[[str], str | None]:
    """Return a function that maps a label or name in a reply to its field, ignoring case if that is unambiguous."""
    exact = {label: name for name, label in labels.items()}
    loose: dict[str, str | None] = {}
    for name, label in labels.items():
        for text in {label.casefold(), name.casefold()}:
            loose[text] = name if text not in loose else None
    return lambda head: exact.get(head) or loose.get(head.casefold())


def unfenced(text: str) -> str:
    """Return a reply without the Markdown fence around all of it."""
    inside = text.strip()
    if not inside.startswith("```") or not inside.endswith("```") or "\n" not in inside:
        return text
    return inside[inside.index("\n") + 1 : -3]
