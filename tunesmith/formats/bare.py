"""`bare`: the reply is the single output, as plain text if possible, else as JSON."""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

from tunesmith import signatures  # as a whole: few engines take a schema
from tunesmith.errors import FormatError, ParseError
from tunesmith.formats.fields import field_titles, json_text
from tunesmith.formats.format import Format, field_notes
from tunesmith.formats.layout import OUTER
from tunesmith.formats.options import Constraint
from tunesmith.formats.registry import register
from tunesmith.formats.thoughts import is_around
from tunesmith.lazy import lazy_module
from tunesmith.lm import Capabilities, TokenLogprob
from tunesmith.signatures import (
    Signature,
    could_hold,
    field_names,
    is_any_text,
    is_plain,
    is_simple,
    is_text,
    labels,
    parse_json,
    parse_text,
    render_json,
    render_text,
    shape_lines,
    shape_words,
    validate_output,
)

if TYPE_CHECKING:
    from tunesmith.formats import cut as cuts
    from tunesmith.formats import streaming
    from tunesmith.formats.streaming import FieldReader
else:
    cuts = lazy_module("tunesmith.formats.cut")  # most replies end by themselves
    streaming = lazy_module("tunesmith.formats.streaming")  # most calls are not streamed

__all__ = ["BareFormat", "BareFree", "BareLikeliest", "BareNearest", "BareSchema"]

_MOST_LISTED = 50
_ALTERNATIVES = 20  # per token; Ollama reports no more
_AROUND = 16  # tokens for quotes and the like around a label, which has at most one token per byte
_CHARACTER = "[^\\x00-\\x08\\x0B-\\x1F\\x7F]"
_EDGE = f"[^{OUTER}]"


class BareFormat(Format):
    """Inputs as labelled lines, then the output's name as a cue. The reply is the value and nothing else.

    For single outputs, small models score higher with this format than with any that asks for markers or keys.

    The messages are the same for every engine. The engine decides how the reply is constrained:

    - `grammar`: a grammar of the value, if the engine takes one.
    - `schema`: the value as JSON, if the engine takes a JSON Schema only. No stop is sent: a server may allow leading
      white space, and a stop at the line end would then end the reply before it begins.
    - `likeliest`: a stop at the line end. The label is the one with the highest log-probability in the reply, as under
      a grammar. Used for labels if the engine takes a schema only, reports 20 alternatives per token, and there are
      demos: small models choose worse labels in JSON quotes. Without demos a model does not know the labels, so the
      schema is used (measured: `docs/formats.md`).
    - `none`: no constraint.
    """

    name: ClassVar[str] = "bare"

    def check_outputs(self, signature: type[Signature]) -> None:
        """Refuse signatures with several outputs."""
        names = list(signature.output_fields)
        if len(names) != 1:
            raise FormatError(
                f"The format `{self.name}` carries one output. {signature.__name__} has {len(names)}: "
                f"{', '.join(names)}. Use the format `json`."
            )
        if not is_simple(signature, names[0]):
            signatures.field_schema(signature, names[0])  # refuses types that no reply can carry

    def mode(self, signature: type[Signature], capabilities: Capabilities, *, shown: bool = False) -> str:
        """Prefer the mode that constrains the value as plain text, with its bounds."""
        name = _output(signature)
        if "grammar" in capabilities.constraints and _has_grammar(signature, name):
            return "grammar"
        if not _is_held(signature, name, capabilities):
            return "none"
        likeliest = shown and capabilities.logprobs >= _ALTERNATIVES and _is_quoted_label(signature, name)
        return "likeliest" if likeliest else "schema"

    def system_text(self, signature: type[Signature]) -> str:
        """Return instruction, notes and, for a closed set, its labels."""
        name = _output(signature)
        parts = [signature.instructions, field_notes(signature)]
        choices = labels(signature, name)
        if choices is not None and len(choices) <= _MOST_LISTED:
            parts.append(f"{field_titles(signature)[name]} is one of: {', '.join(choices)}.")
        if not is_plain(signature, name):
            words = shape_words(signature, name)
            parts.append(f"Reply with the JSON value only{'.' if words is None else f': {words}'}")
            parts += shape_lines(signature)
        return "\n".join(part for part in parts if part)

    def cue(self, signature: type[Signature]) -> str:
        """Return the output's name with a colon."""
        return f"\n{field_titles(signature)[_output(signature)]}:"

    def demo_reply(self, signature: type[Signature], values: Mapping[str, Any]) -> str:
        """Return the value as a reply shows it."""
        name = _output(signature)
        if is_plain(signature, name):
            return render_text(signature, name, values[name])
        return json_text(render_json(signature, name, values[name]), name)

    def constraint(self, signature: type[Signature], mode: str) -> Constraint:
        """Return the grammar of the value, its schema, or a stop at the line end."""
        name = _output(signature)
        if mode == "grammar":
            from tunesmith.signatures import grammar, json_grammar  # here, since few engines take a grammar

            held = json_grammar(signature, name) or grammar(signature, name) or _bounded_text(signature, name)
            return Constraint(grammar=held)
        if mode == "schema":
            return Constraint(schema=signatures.field_schema(signature, name))
        if mode == "likeliest":
            longest = max(len(label.encode()) for label in labels(signature, name) or ("",))
            return Constraint(stop=("\n",), max_tokens=longest + _AROUND, alternatives=_ALTERNATIVES)
        return Constraint(stop=("\n",) if mode == "free" else ())

    def read(self, signature: type[Signature], text: str, mode: str, *, cut: bool) -> dict[str, Any]:
        """Return the one output."""
        name = _output(signature)
        if mode == "schema" or not is_plain(signature, name):
            try:
                return {name: _json_value(signature, name, text, cut=cut)}
            except ParseError as error:
                if mode in ("schema", "grammar"):
                    raise
                return {name: self.patient(signature, text, error, cut=cut)}
        if not cut or cuts.is_whole(signature, name, text):
            try:
                return {name: parse_text(signature, name, text, raw=text)}
            except ParseError as error:
                problem = error
        else:
            problem = cuts.cut_error(text, name)
        if is_text(signature, name):
            raise problem
        return {name: self.patient(signature, text, problem, cut=cut)}

    def patient(self, signature: type[Signature], text: str, problem: ParseError, *, cut: bool) -> Any:
        r"""Return the value of an unconstrained reply that holds more than the value.

        Removes a fence, quotes, bold marks and a full stop around the value, and every line below it. Else reads what
        the reply marks as its answer, as in `<answer>x</answer>`, `Answer: x` or `\boxed{x}`.

        Raises:
            ParseError: `problem`, if no value is left.
        """
        from tunesmith.formats.unheld import value_within  # here, since few replies hold more than the value

        return value_within(signature, _output(signature), text, problem, cut=cut)

    def likeliest(self, signature: type[Signature], mode: str, tokens: Sequence[TokenLogprob]) -> dict[str, Any] | None:
        """Return the label with the highest log-probability, `None` if the log-probabilities do not show it."""
        from tunesmith.formats.likeliest import likeliest_label  # here, since few replies are chosen so

        choices = labels(signature, _output(signature)) if mode == "likeliest" else None
        label = None if choices is None else likeliest_label(choices, tokens)
        return (
            None if label is None else {_output(signature): parse_text(signature, _output(signature), label, raw=label)}
        )

    def disproves(self, signature: type[Signature], text: str, mode: str, *, cut: bool) -> bool:
        """Return whether the value's grammar or schema cannot have allowed the reply."""
        name = _output(signature)
        if mode != "grammar":
            return super().disproves(signature, text, mode, cut=cut)
        if not is_plain(signature, name):
            return not could_hold(signatures.field_schema(signature, name), text, cut=cut)
        if is_text(signature, name) or self.constraint(signature, mode).grammar is None:
            return False
        choices = labels(signature, name)
        if choices is None:
            return is_around(text)
        return not any(label.startswith(text) if cut else label == text for label in choices)

    def reader(self, signature: type[Signature], mode: str) -> "FieldReader":
        """Return a reader of the value."""
        name = _output(signature)
        is_json = mode == "schema" or not is_plain(signature, name)
        return streaming.JsonReader((), root=name) if is_json else streaming.TextReader(name)


class BareSchema(BareFormat):
    """`bare`, with a JSON Schema if the engine takes one."""

    name: ClassVar[str] = "bare-schema"

    def mode(self, signature: type[Signature], capabilities: Capabilities, *, shown: bool = False) -> str:
        """Use the schema, unless the value may be any text: a schema adds nothing to that."""
        name = _output(signature)
        return "schema" if _is_held(signature, name, capabilities) else "none"


class BareFree(BareFormat):
    """`bare` without a constraint: a stop at the line end, and a check of the reply."""

    name: ClassVar[str] = "bare-free"

    def mode(self, signature: type[Signature], capabilities: Capabilities, *, shown: bool = False) -> str:
        """Leave the reply unconstrained. It stops at the line end if the value has one line."""
        name = _output(signature)
        one_line = is_plain(signature, name) and not is_text(signature, name)
        return "free" if one_line and capabilities.constraints else "none"


class BareLikeliest(BareFree):
    """`bare-free`, but a reply that is not a label is read as the label with the highest log-probability.

    The log-probabilities of the reply's tokens show the label that the model would have written under a grammar. This
    serves engines that take no grammar and report alternatives (Ollama from 0.12.11). The reply is an error if none of
    the 20 alternatives begins a label.
    """

    name: ClassVar[str] = "bare-likeliest"

    def mode(self, signature: type[Signature], capabilities: Capabilities, *, shown: bool = False) -> str:
        """Ask for alternatives if the output has labels and the engine reports enough of them."""
        found = super().mode(signature, capabilities, shown=shown)
        is_label = labels(signature, _output(signature)) is not None
        return "likeliest" if found == "free" and is_label and capabilities.logprobs >= _ALTERNATIVES else found


class BareNearest(BareFree):
    """`bare-free`, but a reply that is not a label is read as the nearest label.

    The nearest label is the only one that the reply contains as a word, else the one with the most characters in
    common (`difflib`). Every reply gives a label, but it may be a guess. Choose this format if a guess is better than
    an error.
    """

    name: ClassVar[str] = "bare-nearest"

    def patient(self, signature: type[Signature], text: str, problem: ParseError, *, cut: bool) -> Any:
        """Return the label nearest to the reply, if the output has labels."""
        name = _output(signature)
        try:
            return super().patient(signature, text, problem, cut=cut)
        except ParseError:
            choices = labels(signature, name)
            if choices is None or cut:
                raise
            return parse_text(signature, name, _nearest(text, choices), raw=text)


def _output(signature: type[Signature]) -> str:
    return field_names(signature).outputs[0]


def _is_held(signature: type[Signature], name: str, capabilities: Capabilities) -> bool:
    """Return whether the engine can hold the reply to a schema of the value that says more than any text."""
    if "json_schema" not in capabilities.constraints or is_any_text(signature, name):
        return False
    return capabilities.holds(signatures.field_schema(signature, name))


def _has_grammar(signature: type[Signature], name: str) -> bool:
    from tunesmith.signatures import json_grammar

    return is_plain(signature, name) or json_grammar(signature, name) is not None


def _is_quoted_label(signature: type[Signature], name: str) -> bool:
    """Return whether the output is a label that JSON writes in quotes and plain text without them."""
    if not is_plain(signature, name) or labels(signature, name) is None:
        return False
    return any(isinstance(value, str) for value in signatures.field_schema(signature, name).get("enum", ()))


def _json_value(signature: type[Signature], name: str, text: str, *, cut: bool) -> Any:
    value = parse_json(text)
    # Only a number can be cut and still be JSON. White space behind it shows that it was complete.
    if cut and type(value) in (int, float, Decimal) and text == text.rstrip():
        raise cuts.cut_error(text, name)
    return validate_output(signature, name, value, raw=text)


def _nearest(text: str, choices: tuple[str, ...]) -> str:
    import difflib

    reply = text.casefold()
    within = [label for label in choices if re.search(rf"\b{re.escape(label.casefold())}\b", reply)]
    if len(within) == 1:
        return within[0]

    def likeness(label: str) -> float:
        return difflib.SequenceMatcher(None, reply, label.casefold()).ratio()

    return max(within or choices, key=likeness)


def _bounded_text(signature: type[Signature], name: str) -> str | None:
    """Return a grammar for the length bounds of a text field, `None` if the field has none."""
    from tunesmith.signatures import text_bounds

    least, most = text_bounds(signature, name)
    if (most is None and least < 2) or labels(signature, name) is not None:
        return None
    if most == 1:
        return f"root ::= {_EDGE}"
    high = "" if most is None else most - 2
    between = f"{_CHARACTER}{{{max(least - 2, 0)},{high}}}"  # outer white space is not part of a text
    return f"root ::= {_EDGE} {between} {_EDGE}" if least > 1 else f"root ::= {_EDGE} ({between} {_EDGE})?"


register(BareFormat())
register(BareSchema())
register(BareFree())
register(BareLikeliest())
register(BareNearest())
