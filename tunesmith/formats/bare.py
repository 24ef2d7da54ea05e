"""`bare`: the single output alone, as plain text if it can be, else as its JSON value."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar

from tunesmith.errors import FormatError, ParseError
from tunesmith.formats.cut import cut_error, is_whole
from tunesmith.formats.fields import field_titles, json_text
from tunesmith.formats.format import Format, field_notes
from tunesmith.formats.incremental import FieldReader, TextReader
from tunesmith.formats.incremental_json import JsonReader
from tunesmith.formats.layout import OUTER
from tunesmith.formats.likeliest import likeliest_label
from tunesmith.formats.options import Constraint
from tunesmith.formats.registry import register
from tunesmith.formats.thoughts import is_around
from tunesmith.lm import Capabilities, TokenLogprob
from tunesmith.signatures import (
    Signature,
    could_hold,
    field_names,
    field_schema,
    is_any_text,
    is_plain,
    is_text,
    labels,
    parse_json,
    parse_text,
    render_json,
    render_text,
    validate_output,
)

__all__ = ["BareFormat", "BareFree", "BareLikeliest", "BareNearest", "BareSchema"]

_MOST_LISTED = 50
_ALTERNATIVES = 20  # per token; what Ollama reports at most
_AROUND = 16  # tokens for quotes and the like around a label, which has at most one token per byte
_CHARACTER = "[^\\x00-\\x08\\x0B-\\x1F\\x7F]"
_EDGE = f"[^{OUTER}]"
_FENCED = re.compile(r"```\w*[ \t]*\n(.*?)```", re.DOTALL)
_QUOTES = "\"'`*"


class BareFormat(Format):
    """Inputs as labelled lines, then the output's name as a cue; the reply is the value and nothing else.

    Measured on small models this beats every format that asks for markers or keys, for single outputs.

    The messages are the same for every engine. How the reply is held to its shape depends on what the engine takes:

    - `grammar`: the value and nothing else, if the engine takes a grammar.
    - `schema`: the value as JSON, if the engine takes a JSON Schema only. No stop goes with it: a server may allow
      white space first, and a stop at the line end would end the reply before it begins.
    - `likeliest`: a stop at the line end, and the label that the model found likeliest by the log-probabilities of the
      reply, which is what a grammar would have left. Labels are read so if the engine takes a schema only, reports 20
      alternatives per token, and demos show how labels look: in JSON quotes small models then choose worse. Without
      demos they do not know what is wanted, and a schema has to hold them (measured: `docs/formats.md`).
    - `none`: nothing at all.
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
        field_schema(signature, names[0])  # refuses types that no reply can carry

    def mode(self, signature: type[Signature], capabilities: Capabilities, *, shown: bool = False) -> str:
        """Return the way of holding that keeps the value's plain text if there is one, and its bounds."""
        name = _output(signature)
        if "grammar" in capabilities.constraints and _has_grammar(signature, name):
            return "grammar"
        if is_any_text(signature, name) or not capabilities.holds(field_schema(signature, name)):
            return "none"
        likeliest = shown and capabilities.logprobs >= _ALTERNATIVES and _is_quoted_label(signature, name)
        return "likeliest" if likeliest else "schema"

    def system_text(self, signature: type[Signature]) -> str:
        """Return instruction, notes and, for a closed set, its labels."""
        name = _output(signature)
        parts = [signature.instructions, field_notes(signature)]
        found = labels(signature, name)
        if found is not None and len(found) <= _MOST_LISTED:
            parts.append(f"{field_titles(signature)[name]} is one of: {', '.join(found)}.")
        if not is_plain(signature, name):
            parts.append("Reply with the JSON value only.")
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
            return Constraint(schema=field_schema(signature, name))
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
                return {name: _json_inside(signature, name, text, error)}
        if not cut or is_whole(signature, name, text):
            try:
                return {name: parse_text(signature, name, text, raw=text)}
            except ParseError as error:
                problem = error
        else:
            problem = cut_error(text, name)
        if is_text(signature, name):
            raise problem
        return {name: self.patient(signature, text, problem, cut=cut)}

    def patient(self, signature: type[Signature], text: str, problem: ParseError, *, cut: bool) -> Any:
        """Return the value of a reply that nothing held, and that is more than the value.

        A fence, quotes, bold marks and a full stop around the value are taken off, and so is what stands below it.
        It is never looked for inside of a sentence.

        Raises:
            ParseError: `problem`, if none of these is the value.
        """
        name = _output(signature)
        for said in _spoken(text, cut=cut):
            try:
                return parse_text(signature, name, said, raw=text)
            except ParseError:
                continue
        raise problem

    def likeliest(self, signature: type[Signature], mode: str, tokens: Sequence[TokenLogprob]) -> dict[str, Any] | None:
        """Return the label whose tokens the model found likeliest, as far as its log-probabilities tell."""
        found = labels(signature, _output(signature)) if mode == "likeliest" else None
        label = None if found is None else likeliest_label(found, tokens)
        return (
            None if label is None else {_output(signature): parse_text(signature, _output(signature), label, raw=label)}
        )

    def disproves(self, signature: type[Signature], text: str, mode: str, *, cut: bool) -> bool:
        """Return whether the value's grammar or schema cannot have allowed the reply."""
        name = _output(signature)
        if mode != "grammar":
            return super().disproves(signature, text, mode, cut=cut)
        if not is_plain(signature, name):
            return not could_hold(field_schema(signature, name), text, cut=cut)
        if is_text(signature, name) or self.constraint(signature, mode).grammar is None:
            return False
        found = labels(signature, name)
        if found is None:
            return is_around(text)
        return not any(label.startswith(text) if cut else label == text for label in found)

    def reader(self, signature: type[Signature], mode: str) -> FieldReader:
        """Return a reader of the value."""
        name = _output(signature)
        is_json = mode == "schema" or not is_plain(signature, name)
        return JsonReader((), root=name) if is_json else TextReader(name)


class BareSchema(BareFormat):
    """`bare`, held by a JSON Schema wherever the engine takes one."""

    name: ClassVar[str] = "bare-schema"

    def mode(self, signature: type[Signature], capabilities: Capabilities, *, shown: bool = False) -> str:
        """Use the schema, unless the value may be any text: then there is nothing to hold."""
        name = _output(signature)
        able = not is_any_text(signature, name) and capabilities.holds(field_schema(signature, name))
        return "schema" if able else "none"


class BareFree(BareFormat):
    """`bare`, held by nothing but a stop at the line end, and checked in the reply."""

    name: ClassVar[str] = "bare-free"

    def mode(self, signature: type[Signature], capabilities: Capabilities, *, shown: bool = False) -> str:
        """Leave the reply free; it stops at the line end if the value has one line."""
        name = _output(signature)
        one_line = is_plain(signature, name) and not is_text(signature, name)
        return "free" if one_line and capabilities.constraints else "none"


class BareLikeliest(BareFree):
    """`bare-free`, and a reply that is not one of the labels is read as the label that the model found likeliest.

    The log-probabilities of the reply's tokens say which label the model would have written, had it been held to the
    labels: what a grammar gives, for engines without grammars that report alternatives (Ollama from 0.12.11). It stays
    unreadable if no label is among the 20 likeliest beginnings.
    """

    name: ClassVar[str] = "bare-likeliest"

    def mode(self, signature: type[Signature], capabilities: Capabilities, *, shown: bool = False) -> str:
        """Ask for alternatives if the output has labels and the engine reports enough of them."""
        found = super().mode(signature, capabilities, shown=shown)
        is_label = labels(signature, _output(signature)) is not None
        return "likeliest" if found == "free" and is_label and capabilities.logprobs >= _ALTERNATIVES else found


class BareNearest(BareFree):
    """`bare-free`, and a reply that is not one of the labels is read as the label that is nearest to it.

    Nearest is the one label that stands in the reply as words, else the one with the most characters in common
    (`difflib`). A reply is then never unreadable, and may be a guess: choose it if that serves better than an error.
    """

    name: ClassVar[str] = "bare-nearest"

    def patient(self, signature: type[Signature], text: str, problem: ParseError, *, cut: bool) -> Any:
        """Return the label nearest to the reply, if the output has labels."""
        name = _output(signature)
        try:
            return super().patient(signature, text, problem, cut=cut)
        except ParseError:
            found = labels(signature, name)
            if found is None or cut:
                raise
            return parse_text(signature, name, _nearest(text, found), raw=text)


def _output(signature: type[Signature]) -> str:
    return field_names(signature).outputs[0]


def _has_grammar(signature: type[Signature], name: str) -> bool:
    from tunesmith.signatures import json_grammar

    return is_plain(signature, name) or json_grammar(signature, name) is not None


def _is_quoted_label(signature: type[Signature], name: str) -> bool:
    """Return whether the output is a label that JSON writes in quotes and plain text without them."""
    if not is_plain(signature, name) or labels(signature, name) is None:
        return False
    return any(isinstance(value, str) for value in field_schema(signature, name).get("enum", ()))


def _json_value(signature: type[Signature], name: str, text: str, *, cut: bool) -> Any:
    value = parse_json(text)
    # Only a number can be cut and still be JSON; white space behind it says that it had ended.
    if cut and type(value) in (int, float, Decimal) and text == text.rstrip():
        raise cut_error(text, name)
    return validate_output(signature, name, value, raw=text)


def _json_inside(signature: type[Signature], name: str, text: str, problem: ParseError) -> Any:
    """Return the JSON value of a reply that nothing held: within a fence, quotes, bold marks or an object of its own.

    What stands below a list or an object, or behind a full stop, is left out, and a label may stand without its quotes.

    Raises:
        ParseError: `problem`, if there is no such value.
    """
    fenced = _FENCED.search(text)
    for said in (text, "" if fenced is None else fenced.group(1)):
        for value in _values_in(said, _labels_in(field_schema(signature, name))):
            for one in (value, *(value.values() if isinstance(value, dict) and set(value) == {name} else ())):
                try:
                    return validate_output(signature, name, one, raw=text)
                except ParseError:
                    continue
    raise problem


def _values_in(said: str, found: frozenset[str]) -> Iterator[Any]:
    """Yield the label, the list or the object that a text is, or begins with."""
    plain = said.strip().strip(_QUOTES).removesuffix(".").strip(_QUOTES)
    line = plain.partition("\n")[0].strip().removesuffix(".").strip(_QUOTES)
    yield from (label for label in dict.fromkeys((plain, line)) if label in found)
    begun = said.strip().lstrip(_QUOTES)
    if begun[:1] not in ("[", "{"):
        return
    try:
        _, end = json.JSONDecoder().raw_decode(begun)
        value = parse_json(begun[:end])
    except (ValueError, RecursionError, ParseError):
        return
    rest = begun[end:].lstrip(_QUOTES)
    if not rest or rest[0] in ".\r\n":
        yield value


def _labels_in(schema: Mapping[str, Any]) -> frozenset[str]:
    """Return the texts among the choices of a schema, such as those of a label that may be `None`."""
    nodes = (schema, *schema.get("anyOf", ()))
    return frozenset(label for node in nodes for label in node.get("enum", ()) if isinstance(label, str))


def _spoken(text: str, *, cut: bool) -> Iterator[str]:
    """Yield what may be the value in a reply that is more than the value, the likeliest first.

    Of a reply that was cut, only what has ended before.
    """
    fenced, line = _FENCED.search(text), text.strip().partition("\n")
    whole = [
        (text, not cut),
        (fenced.group(1) if fenced is not None else "", True),
        (line[0], line[1] != "" or not cut),
    ]
    for said, ended in ((said.strip(), ended) for said, ended in whole):
        quoted = _quoted(said)
        if quoted is not None:
            yield quoted
        if ended and said:
            yield said
            yield said.strip(_QUOTES).removesuffix(".").strip(_QUOTES)


def _quoted(said: str) -> str | None:
    """Return the text of a JSON string, or of the one value in a JSON object."""
    try:
        value = json.loads(said)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, dict) and len(value) == 1:
        value = next(iter(value.values()))
        if isinstance(value, bool | int | float):
            return json.dumps(value)
    return value if isinstance(value, str) else None


def _nearest(text: str, found: tuple[str, ...]) -> str:
    import difflib

    said = text.casefold()
    within = [label for label in found if re.search(rf"\b{re.escape(label.casefold())}\b", said)]
    if len(within) == 1:
        return within[0]

    def likeness(label: str) -> float:
        return difflib.SequenceMatcher(None, said, label.casefold()).ratio()

    return max(within or found, key=likeness)


def _bounded_text(signature: type[Signature], name: str) -> str | None:
    """Return a grammar that holds a text to the field's own bounds of its length, `None` if it has none."""
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
