"""The messages of a predictor, with a blank for each input."""

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith.errors import FormatError, SignatureError, UsageError
from tunesmith.formats import inputs_with_parts
from tunesmith.lm import Capabilities, FunctionLM
from tunesmith.modules import (
    DspyPredict,
    bind,
    bound_format,
    bound_offsets,
    caller_adapter,
    class_name,
    context,
    render,
    signature_of,
)
from tunesmith.signatures import Signature, describe, input_types, output_schema

__all__ = ["Blank", "Message", "Piece", "Prompt", "prompt_of"]


@dataclass(frozen=True, slots=True)
class Blank:
    r"""Where the value of an input stands.

    Attributes:
        name: of the input.
        is_text: whether the value is a text. Any other is written as JSON.
        inline: what the format writes before a text of one line, or before JSON.
        lead: what it writes before a text of several lines.
        joint: what it writes between the lines of a text, such as `"\n  "`.
    """

    name: str
    is_text: bool
    inline: str
    lead: str
    joint: str

    @property
    def is_moved(self) -> bool:
        """Whether a text of several lines is written in another way than one line."""
        return self.is_text and (self.lead != self.inline or self.joint != "\n")

    def written(self, text: str) -> str:
        """Return a plain text as the format writes it."""
        if "\n" in text and self.is_text:
            return self.lead + text.replace("\n", self.joint)
        return self.inline + text


Piece = str | Blank


@dataclass(frozen=True, slots=True)
class Message:
    """One message: its role, and its text in pieces."""

    role: str
    pieces: tuple[Piece, ...]

    @property
    def is_fixed(self) -> bool:
        """Whether it has no blank."""
        return all(isinstance(piece, str) for piece in self.pieces)

    def text(self, blank: Callable[[Blank], str], fixed: Callable[[str], str] = str) -> str:
        """Return the text.

        Args:
            blank: returns what stands for an input.
            fixed: returns a fixed text as the target writes it.
        """
        return "".join(fixed(piece) if isinstance(piece, str) else blank(piece) for piece in self.pieces)


@dataclass(frozen=True)
class Prompt:
    """The messages of one predictor, as they are sent.

    Attributes:
        path: of the predictor.
        signature: its fields.
        format: the name of its prompt format, or of the caller's adapter.
        messages: the last one has the blanks.
        options: of the request, such as `temperature`.
    """

    path: str
    signature: type[Signature]
    format: str
    messages: tuple[Message, ...]
    options: Mapping[str, Any]

    @property
    def blanks(self) -> tuple[Blank, ...]:
        """Where the inputs stand, in order."""
        return tuple(piece for message in self.messages for piece in message.pieces if isinstance(piece, Blank))

    def placeholders(self, written: str = "{{{name}}}") -> dict[str, str]:
        """Return a placeholder for each input that stands nowhere else in the messages.

        Args:
            written: how one looks, for `str.format` with `name`.
        """
        fixed = "\n".join(message.text(lambda _: "") for message in self.messages)
        found = {}
        for blank in self.blanks:
            name = blank.name
            while written.format(name=name) in fixed:
                name += "_"
            found[blank.name] = written.format(name=name)
        return found

    def fields(self, role: str) -> list[dict[str, Any]]:
        """Return name, type and description of the fields of a role, `input` or `output`."""
        fields = describe(self.signature)["fields"]
        return [{k: one[k] for k in ("name", "type", "desc")} for one in fields if one["role"] == role]

    @property
    def schema(self) -> dict[str, Any] | None:
        """The JSON Schema of the outputs, `None` if there is none."""
        try:
            return output_schema(self.signature)
        except SignatureError:
            return None

    @property
    def notes(self) -> tuple[str, ...]:
        """What stands in for an input, and what fixed text cannot do for it."""
        texts = [blank.name for blank in self.blanks if blank.is_text]
        others = [blank.name for blank in self.blanks if not blank.is_text]
        found = []
        if texts:
            found.append(
                f"Of `{self.path}`: plain texts stand in {', '.join(texts)} as they are. tunesmith writes some texts "
                "otherwise, so that no input can pass for a field or a turn: those with blanks at an end, a quote at "
                "the front, control characters, marks of chat templates or of the format."
            )
        if others:
            found.append(f"Of `{self.path}`: give {', '.join(others)} as JSON.")
        hidden = self._hidden()
        if hidden:
            found.append(
                f"Of `{self.path}`: the messages do not tell what is inside an output ({', '.join(hidden)}), which "
                "tunesmith holds a reply to by a schema. Send that too (the target 'messages' has it), or name these "
                "fields in the instruction."
            )
        return tuple(found)

    def _hidden(self) -> list[str]:
        """Return the fields inside the outputs that no message names."""
        inside = dict.fromkeys(_properties(self.schema)).keys() - self.signature.output_fields.keys()
        text = "\n".join(message.text(lambda _: "") for message in self.messages)
        return sorted(name for name in inside if re.search(rf"\b{re.escape(name)}\b", text) is None)


def _properties(schema: Any) -> Iterator[str]:
    """Yield the names of all properties in a JSON Schema, those of its definitions too."""
    if isinstance(schema, Mapping):
        known = schema.get("properties")
        yield from known if isinstance(known, Mapping) else ()
    for one in schema.values() if isinstance(schema, Mapping) else schema if isinstance(schema, list) else ():
        yield from _properties(one)


def prompt_of(path: str, predictor: DspyPredict) -> Prompt:
    """Return the messages that `predictor` sends, with blanks.

    Raises:
        UsageError: an input is not written as text, or an input's place cannot be found.
    """
    signature = signature_of(predictor)
    odd = inputs_with_parts(signature)
    if odd:
        raise UsageError(
            f"The input `{next(iter(odd))}` of `{path}` is a conversation, a picture or the like, which no fixed "
            "message can hold a place for. Serve the artifact instead."
        )
    if any(bound_offsets(predictor).values()):
        predictor = copy.deepcopy(predictor)
        bind(predictor, bound_format(predictor))  # a model without log-probabilities gets the same messages
    names = list(input_types(signature))
    mark = "blank"
    *before, asked = _rendered(predictor, dict.fromkeys(names, "x")).messages
    while mark in asked["content"]:
        mark += "k"
    one_line = {name: f"{mark}{number}e" for number, name in enumerate(names)}
    two_lines = {name: f"{text}\n{text}s" for name, text in one_line.items()}
    rendered = _rendered(predictor, one_line)
    last = rendered.messages[-1]
    texts = {name for name, kind in input_types(signature).items() if kind is str}
    try:
        # Only texts have several lines, and their frame may be another then.
        both = {name: two_lines[name] if name in texts else one_line[name] for name in names}
        pieces = _pieces(last["content"], _rendered(predictor, both).messages[-1]["content"], one_line, texts)
    except ValueError as error:
        raise FormatError(
            f"The format of `{path}` writes an input in a way that no placeholder can stand for: {error}."
        ) from error
    fixed = tuple(Message(one["role"], (one["content"],)) for one in before)
    _check_sendable(path, [one["content"] for one in before])
    name = bound_format(predictor) or class_name(caller_adapter())
    return Prompt(path, signature, name, (*fixed, Message(last["role"], pieces)), rendered.options)


def _check_sendable(path: str, texts: list[str]) -> None:
    try:
        "".join(texts).encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"The instruction or a demo of `{path}` holds half a character (a lone surrogate), which no file and no "
            "request can hold. Repair it with `text.encode('utf-8', 'replace').decode()`."
        ) from error


def _rendered(predictor: DspyPredict, inputs: Mapping[str, str]) -> Any:
    """Return the request without any constraint: an export cannot hold a reply."""
    plain = FunctionLM(lambda _: "", capabilities=Capabilities())
    with context(warn_on_type_mismatch=False):
        return render(predictor, lm=plain, **inputs)


def _pieces(one: str, two: str, marks: Mapping[str, str], texts: set[str]) -> tuple[Piece, ...]:
    """Return the pieces of a message from its text with marks of one line and with marks of two lines."""
    for name, mark in marks.items():
        if len(re.findall(mark, one)) != 1:
            raise ValueError(f"`{name}` does not stand in the message once")
    order = sorted(marks, key=lambda name: one.index(marks[name]))
    pieces: list[Piece] = []
    for name in order:
        mark = marks[name]
        before, one = one.split(mark)
        if name in texts:
            before_two, joint, two = _halves(two, mark)
        else:
            before_two, joint = before, "\n"
            two = two.split(mark, 1)[1]
            before, one, two = _unquoted(before, one, two)
            before_two = before
        shared = _shared(before, before_two)
        pieces += [before[:shared], Blank(name, name in texts, before[shared:], before_two[shared:], joint)]
    if one != two:
        raise ValueError("a text of several lines changes what follows it")
    return tuple(piece for piece in (*pieces, one) if piece)


def _halves(two: str, mark: str) -> tuple[str, str, str]:
    before, joint, rest = two.split(mark)
    return before, joint, rest.removeprefix("s")


def _unquoted(before: str, one: str, two: str) -> tuple[str, str, str]:
    """Take the quotes of a JSON string around a mark away: the blank holds all of the JSON."""
    if before.endswith('"') and one.startswith('"'):
        return before[:-1], one[1:], two[1:]
    return before, one, two


def _shared(one: str, other: str) -> int:
    """Return how many characters two texts begin with alike."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
