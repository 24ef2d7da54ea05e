"""How fields stand in a message: where one begins, what its text looks like, and how both are read back."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from tunesmith.errors import FormatError, shown
from tunesmith.formats.fields import field_titles, read_spelled, spelled
from tunesmith.signatures import Signature

__all__ = ["OUTER", "Layout", "Section", "Writer", "called", "unfenced", "unquoted"]

OUTER = "\\x00-\\x20\\x7F-\\xA0\\u1680\\u2000-\\u200B\\u2028\\u2029\\u202F\\u205F\\u3000"
"""What no text begins or ends with, as it stands in a class of a grammar: outer white space is not part of a text."""

Writer = Callable[[Mapping[str, Any]], str]


@dataclass(frozen=True, slots=True)
class Section:
    """One field found in a message.

    Attributes:
        name: the field.
        body: what stands in it, as it was written.
        closed: whether it is certain that nothing of it is missing.
    """

    name: str
    body: str
    closed: bool


class Layout:
    """Fields as sections of a text. A subclass says how one section looks and how sections are told apart.

    No text may pose as the beginning or the end of a section: `write_text` sees to that.

    Attributes:
        between: what stands between two sections.
        inline: what `write_text` puts before a text of one line without anything to escape.
        avoid: characters that `write_text` may have to escape.
        advice: how a text of several lines is written, for the model; empty where it is as one expects.
    """

    between: ClassVar[str] = "\n"
    inline: ClassVar[str] = ""
    avoid: ClassVar[str] = ""
    advice: ClassVar[str] = ""

    def labels(self, signature: type[Signature]) -> dict[str, str]:
        """Return how each field is called in a message."""
        return field_titles(signature)

    def opening(self, label: str) -> str:
        """Return what begins the section of the field that is called so."""
        raise NotImplementedError

    def closing(self, label: str) -> str:
        """Return what ends the section of the field that is called so."""
        return ""

    def write_text(self, text: str) -> str:
        """Return a text as it stands in a section; it has no outer white space and no control characters."""
        raise NotImplementedError

    def read_text(self, body: str) -> str:
        """Return the text that `write_text` wrote, also where outer white space was added."""
        raise NotImplementedError

    def sections(self, labels: Mapping[str, str], text: str) -> list[Section]:
        """Return the sections of these fields in a text, in order of appearance. Takes time linear in the text."""
        raise NotImplementedError

    def certain(self, text: str) -> int:
        """Return how many characters of the beginning of a reply cannot come to mean something else."""
        return text.rfind("\n") + 1

    def text_rule(self, least: int, most: int | None) -> str:
        """Return the body of a GBNF rule for a text of so many characters, as `write_text` writes it.

        With `most` a line break counts as one character; without it, what could go on for ever does not: at most one
        blank line and eight spaces in a row at the beginning of a line.
        """
        raise NotImplementedError

    # What every layout shares -------------------------------------------------------------------------------

    def section(self, label: str, text: str) -> str:
        """Return a whole section."""
        return f"{self.opening(label)}{self.write_text(text)}{self.closing(label)}"

    def writer(self, signature: type[Signature], types: Mapping[str, Any]) -> Writer:
        """Return a function that writes values of these fields; absent ones are left out."""
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
        """Return the fields and values that `writer` wrote: its inverse.

        Raises:
            FormatError: the text was not written by it.
        """
        labels = self.labels(signature)
        found: dict[str, Any] = {}
        for section in self.sections({name: labels[name] for name in types}, text):
            if section.name in found:
                raise FormatError(f"Field `{section.name}` stands twice in the message {shown(text)}.")
            try:
                value = read_spelled(self.read_text(section.body), text_field=types[section.name] is str)
            except ValueError as error:
                raise FormatError(f"Field `{section.name}` of {shown(text)} was not written by a format.") from error
            found[section.name] = value
        return found


def unquoted(text: str) -> str:
    """Return the text that a JSON string stands for, and every other text as it is."""
    if text.startswith('"') and text.endswith('"'):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return text
        return value if isinstance(value, str) else text
    return text


def called(labels: Mapping[str, str]) -> Callable[[str], str | None]:
    """Return a function that tells which field a model means: by label or name, in any case where that is clear."""
    exact = {label: name for name, label in labels.items()}
    loose: dict[str, str | None] = {}
    for name, label in labels.items():
        for text in {label.casefold(), name.casefold()}:
            loose[text] = name if text not in loose else None
    return lambda said: exact.get(said) or loose.get(said.casefold())


def unfenced(text: str) -> str:
    """Return a reply without the Markdown fence around all of it."""
    inside = text.strip()
    if not inside.startswith("```") or not inside.endswith("```") or "\n" not in inside:
        return text
    return inside[inside.index("\n") + 1 : -3]
