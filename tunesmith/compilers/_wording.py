"""How a proposal is told of a task: few words, because a small model writes from them."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith.compilers._outcome import Outcome
from tunesmith.lazy import lazy_pattern
from tunesmith.signatures import Demo, Signature, describe, labels, to_json_value

__all__ = ["cleaned", "fields_in_words", "outcome_texts", "pair_texts", "role_in_words", "values_in_words"]

_MOST = 400  # characters of one value
_MOST_LABELS = 20
_LEAD = lazy_pattern(
    r"^\W*(?:(?:here is|here's) [^\n:]{0,60}:|(?:(?:new|improved|better|revised|final|rewritten) )?"
    r"(?:instructions?|prompt)\W{0,2}:)(?:\*\*|__)?\s*",
    re.IGNORECASE,
)
_FENCE = lazy_pattern(r"^```\w*\n(.*?)\n?```$", re.DOTALL)
_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "«": "»", "`": "`"}


def fields_in_words(signature: type[Signature]) -> str:
    """Return what goes in and what comes out: `text -> label (one of: good, bad)`."""
    sides = (signature.input_fields, signature.output_fields)
    return " -> ".join(", ".join(_field(signature, name) for name in side) for side in sides)


def role_in_words(path: str, signatures: Mapping[str, type[Signature]]) -> str:
    """Return what the predictor at `path` does, and, if there are several, what the others do."""
    own = fields_in_words(signatures[path])
    if len(signatures) == 1:
        return own
    others = "; ".join(f"{name}: {fields_in_words(one)}" for name, one in signatures.items() if name != path)
    return f"{own}. It is the step `{path}` of a program with the other steps {others}"


def pair_texts(demos: Sequence[Demo]) -> list[str]:
    """Return a line per demo: `text: a dull film -> label: bad`."""
    return [_pair(demo.inputs, demo.outputs) for demo in demos]


def outcome_texts(outcomes: Sequence[Outcome], path: str) -> list[str]:
    """Return a line per outcome: inputs and outputs of the predictor at `path`, what was expected, and the remark.

    Args:
        outcomes: runs on training examples.
        path: of the predictor. If it did not run, or the program has no other, the program's own inputs and outputs.
    """
    return [_outcome(outcome, path) for outcome in outcomes]


def cleaned(text: str) -> str:
    """Return a proposed instruction without what a model writes around it: fence, quotes, `Instruction:`."""
    found = text.strip()
    while True:
        before = found
        fenced = _FENCE.match(found)
        found = (fenced[1] if fenced else _LEAD.sub("", found)).strip()
        if len(found) > 1 and _QUOTES.get(found[0]) == found[-1] and found[-1] not in found[1:-1]:
            found = found[1:-1].strip()
        if found == before:
            return found


def _field(signature: type[Signature], name: str) -> str:
    known = labels(signature, name)
    if known:
        more = ", ..." if len(known) > _MOST_LABELS else ""
        return f"{name} (one of: {', '.join(known[:_MOST_LABELS])}{more})"
    field = next(field for field in describe(signature)["fields"] if field["name"] == name)
    said = [text for text in (field["type"], field["desc"]) if text and text != "str"]
    return f"{name} ({', '.join(said)})" if said else name


def _pair(inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> str:
    return f"{values_in_words(inputs)} -> {values_in_words(outputs)}"


def _outcome(outcome: Outcome, path: str) -> str:
    step = next((step for step in reversed(outcome.steps) if step.predictor == path), None)
    inputs = outcome.example.inputs() if step is None else step.inputs
    outputs = outcome.outputs if step is None else step.outputs
    text = f"{values_in_words(dict(inputs))} -> {'no answer' if outputs is None else values_in_words(outputs)}"
    labels = values_in_words(dict(outcome.example.labels()))
    text += f" | right: {labels}" if labels else ""
    said = " ".join(outcome.feedback.split())
    return f"{text} | {said[:_MOST]}" if said else text


def values_in_words(values: Mapping[str, Any]) -> str:
    """Return values by name in one line, each cut: `text: a dull film, label: bad`."""
    return ", ".join(f"{name}: {_value(value)}" for name, value in values.items())


def _value(value: Any) -> str:
    if not isinstance(value, str):
        try:
            value = json.dumps(to_json_value(value), ensure_ascii=False)
        except (ValueError, TypeError, RecursionError):  # an input of any class, such as a retriever
            value = type(value).__name__
    text = " ".join(value.split())
    return text if len(text) <= _MOST else f"{text[:_MOST]}..."
