"""The columns and checksum that a finished evaluation is written with; `ledger_entry` reads them."""

import json
from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from pydantic_core import to_json

from tunesmith.evaluation.ledger_entry import KEY, Entry, checksum_of
from tunesmith.signatures import to_json_value

__all__ = ["columns_of"]

_KEY_OF = attrgetter(*KEY)
_PLAIN = frozenset({str, bool, type(None)})  # JSON values as they are


def columns_of(entry: Entry, seq: int, *, private: bool = False) -> tuple[Any, ...]:
    """Return the values of `COLUMNS`; `private` leaves out outputs, traces and every text made of them."""
    row, failure = entry.row, entry.row.failure
    values = (
        seq,
        *_KEY_OF(entry.key),
        None if row.score is None else float(row.score) + 0.0,  # SQLite has no negative zero
        None if failure is None else failure.fault,
        None if failure is None else failure.kind,
        row.calls,
        row.tokens,
        float(row.seconds),
        int(row.cached),
        float(entry.time),
        _json(_body(entry, private=private)),
    )
    return (*values, checksum_of(values))


def _body(entry: Entry, *, private: bool) -> dict[str, Any]:
    row = entry.row
    body: dict[str, Any] = {
        "calls": [[c.key, c.role, c.input_tokens, c.output_tokens, c.seconds, c.usd] for c in entry.calls],
        "notes": list(entry.notes),
    }
    if private:
        # What a budget's stop says holds nothing of the data, and is part of the result.
        stop = entry.key.kind == "stop" and row.failure is not None
        return {**body, "whole": False, "message": row.failure.message if stop and row.failure is not None else ""}
    outputs, exact = _json_values(row.outputs)
    steps = []
    for step in row.steps:
        (inputs, one), (found, other) = _json_values(step.inputs), _json_values(step.outputs)
        exact = exact and one and other
        steps.append([step.predictor, inputs, found])
    return {
        **body,
        "feedback": row.feedback,
        "message": "" if row.failure is None else row.failure.message,
        "outputs": outputs,
        "steps": steps,
        "whole": exact and entry.whole,
        "bare": entry.bare,
    }


def _json_values(values: Mapping[str, Any] | None) -> tuple[dict[str, Any] | None, bool]:
    """Return `values` as JSON values, and whether each of them has such a form; one that has not is left out."""
    if values is None:
        return None, True
    if _PLAIN.issuperset(map(type, values.values())):  # nearly always
        return dict(values), True
    found: dict[str, Any] = {}
    for name, value in values.items():
        if type(value) in _PLAIN:
            found[name] = value
            continue
        try:
            plain = to_json_value(value)
            json.dumps(plain, allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            continue
        found[name] = plain
    return found, len(found) == len(values)


def _json(body: dict[str, Any]) -> str:
    try:
        return to_json(body).decode()
    except ValueError:  # a lone surrogate has no UTF-8
        return json.dumps(body)
