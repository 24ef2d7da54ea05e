"""Formats that write inputs and reply alike: one section per field."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from tunesmith.errors import ParseError
from tunesmith.formats.cut import cut_error, is_whole
from tunesmith.formats.fields import json_text, spelled
from tunesmith.formats.format import Format, field_notes
from tunesmith.formats.layout import Section, unquoted
from tunesmith.formats.options import Constraint
from tunesmith.formats.streaming import FieldReader, GrowingReader
from tunesmith.formats.thoughts import is_around
from tunesmith.lm import Capabilities
from tunesmith.signatures import (
    MOST_CHOICES,
    Signature,
    absent_output,
    choice_body,
    field_schema,
    gbnf_literal,
    grammar_rules,
    is_plain,
    is_text,
    labels,
    open_end,
    output_types,
    parse_json,
    parse_text,
    render_json,
    render_text,
    shape_lines,
    shape_words,
    text_bounds,
    text_rules,
    type_text,
)

__all__ = ["SectionFormat"]

_MOST_LISTED = 50


class SectionFormat(Format):
    """Inputs and outputs as sections of the same kind. A subclass sets `name` and `layout`.

    An output of a plain type is written as text, any other as one line of JSON. If the engine takes a grammar, it
    forces the sections in order. Otherwise the reply is not constrained, and the reader accepts field names in any
    case, a fence around the whole, and quotes around a text. If a section is repeated, the first one counts.
    """

    def check_outputs(self, signature: type[Signature]) -> None:
        """Refuse output types that no reply can carry."""
        for name in output_types(signature):
            field_schema(signature, name)

    def mode(self, signature: type[Signature], capabilities: Capabilities, *, shown: bool = False) -> str:
        """Use a grammar if the engine takes one; a JSON Schema cannot describe sections."""
        return "grammar" if "grammar" in capabilities.constraints else "none"

    def system_text(self, signature: type[Signature]) -> str:
        """Return instruction, notes and what the reply looks like."""
        titles = self.layout.labels(signature)
        shape = self.layout.between.join(
            self.layout.section(titles[name], f"{{{_meant(signature, name, annotation)}}}")
            for name, annotation in output_types(signature).items()
        )
        texts = any(_is_text(signature, name) for name in output_types(signature))
        parts = (
            signature.instructions,
            field_notes(signature),
            f"Reply in this form:\n{shape}",
            *shape_lines(signature),
            self.layout.advice if texts else "",
        )
        return "\n".join(part for part in parts if part)

    def demo_reply(self, signature: type[Signature], values: Mapping[str, Any]) -> str:
        """Return the sections of these outputs as a reply shows them."""
        titles = self.layout.labels(signature)
        return self.layout.between.join(
            self.layout.section(titles[name], _spelled(signature, name, value)) for name, value in values.items()
        )

    def constraint(self, signature: type[Signature], mode: str) -> Constraint:
        """Return the grammar of all sections."""
        if mode != "grammar":
            return Constraint()
        titles, parts, rules = self.layout.labels(signature), list[str](), list[str]()
        before = ""
        for at, name in enumerate(output_types(signature)):
            parts.append(f"{gbnf_literal(before + self.layout.opening(titles[name]))} v{at}")
            before = self.layout.closing(titles[name]) + self.layout.between
            rules.append(self._value_rules(signature, name, f"v{at}"))
        end = before.removesuffix(self.layout.between)
        last = next(reversed(output_types(signature)))
        ending = gbnf_literal(end) if end else open_end(signature, last)
        root = " ".join([*parts, *([ending] if ending else [])])
        return Constraint(grammar="\n".join([f"root ::= {root}", *rules]))

    def _value_rules(self, signature: type[Signature], name: str, rule: str) -> str:
        choices = labels(signature, name)
        if choices is not None and len(choices) <= MOST_CHOICES:
            texts = [self.layout.write_text(spelled(text, text_field=True, name=name)) for text in choices]
            return f"{rule} ::= {choice_body(texts)}"
        body = grammar_rules(signature, name, f"{rule}-value", avoid=self.layout.avoid)
        if body is not None:
            return f"{rule} ::= {self._inline()}{rule}-value\n{body}"
        held = text_rules(signature, name, f"{rule}-text", avoid=f"\n{self.layout.avoid}", edge_avoid='"')
        if held is not None:
            return f"{rule} ::= {self._inline()}{rule}-text\n{held}"
        return f"{rule} ::= {self.layout.text_rule(*text_bounds(signature, name))}"

    def _inline(self) -> str:
        return f"{gbnf_literal(self.layout.inline)} " if self.layout.inline else ""

    def read(self, signature: type[Signature], text: str, mode: str, *, cut: bool) -> dict[str, Any]:
        """Return all outputs."""
        try:
            return self._read(signature, text, cut=cut)
        except ParseError as error:
            if not cut or error.reason == "truncated":
                raise
            raise cut_error(text, error.field) from error

    def _read(self, signature: type[Signature], text: str, *, cut: bool) -> dict[str, Any]:
        first: dict[str, Section] = {}
        for section in self.layout.sections(self.layout.labels(signature), text):
            first.setdefault(section.name, section)
        values: dict[str, Any] = {}
        for name in output_types(signature):
            if name not in first:
                values[name] = absent_output(signature, name, raw=text)
                if cut:
                    raise cut_error(text, name)
                continue
            value = self.layout.read_text(first[name].body)
            values[name] = _typed(signature, name, value, text)
            if cut and not first[name].closed and not (self._open_ends() and _is_complete(signature, name, value)):
                raise cut_error(text, name)
        return values

    def disproves(self, signature: type[Signature], text: str, mode: str, *, cut: bool) -> bool:
        """Return whether sections of the grammar are missing, or thoughts or a fence come before them."""
        if mode != "grammar":
            return False
        if cut or is_around(text):
            return is_around(text)
        try:
            self.read(signature, text, mode, cut=False)
        except ParseError as error:
            return error.reason == "missing"
        return False

    def reader(self, signature: type[Signature], mode: str) -> FieldReader:
        """Return a reader of the sections."""
        titles = self.layout.labels(signature)
        return GrowingReader(lambda text: self._partial(signature, titles, text), self.layout.certain)

    def _partial(self, signature: type[Signature], titles: Mapping[str, str], text: str) -> dict[str, str]:
        """Return the texts of the outputs in a partial reply."""
        texts: dict[str, str] = {}
        for section in self.layout.sections(titles, text):
            if section.name in signature.output_fields and section.name not in texts:
                value = self.layout.read_text(section.body).strip()
                if value.startswith('"'):  # quotes can be removed only when the closing one has arrived
                    value = unquoted(value) if section.closed else ""
                texts[section.name] = value
        return texts

    def _open_ends(self) -> bool:
        return not self.layout.closing("x")


def _is_text(signature: type[Signature], name: str) -> bool:
    return labels(signature, name) is None and grammar_rules(signature, name, "v") is None


def _meant(signature: type[Signature], name: str, annotation: Any) -> str:
    choices = labels(signature, name)
    if choices is not None and len(choices) <= _MOST_LISTED:
        return f"one of: {', '.join(choices)}"
    if not is_plain(signature, name):
        return f"JSON of {shape_words(signature, name) or type_text(annotation)}"
    return "text" if _is_text(signature, name) else type_text(annotation)


def _spelled(signature: type[Signature], name: str, value: Any) -> str:
    if is_plain(signature, name):
        return spelled(render_text(signature, name, value), text_field=True, name=name)
    return json_text(render_json(signature, name, value), name)


def _typed(signature: type[Signature], name: str, text: str, raw: str) -> Any:
    text = unquoted(text.strip()) if is_plain(signature, name) else text
    try:
        return parse_text(signature, name, text, raw=raw)
    except ParseError as error:
        if is_text(signature, name):
            raise
        from tunesmith.formats.unheld import lone_value  # here, since few replies need it

        return lone_value(signature, name, text, error, raw=raw)


def _is_complete(signature: type[Signature], name: str, text: str) -> bool:
    """Return whether the value at the end of a cut reply is complete."""
    if is_plain(signature, name):
        return is_whole(signature, name, unquoted(text.strip()))
    return type(parse_json(text)) not in (int, float, Decimal)
