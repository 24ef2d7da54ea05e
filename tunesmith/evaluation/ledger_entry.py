"""One finished evaluation as the ledger keeps it, and how it is read; `ledger_columns` has how it is written."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii as escaped
from typing import Any, Literal

from pydantic_core import to_json

from tunesmith.errors import brief
from tunesmith.evaluation.report import Failure, Row, Step
from tunesmith.lm import Call

__all__ = [
    "COLUMNS",
    "KEY",
    "DamagedRow",
    "Entry",
    "RowKey",
    "checked_columns",
    "checksum_of",
    "entry_of",
    "key_of",
    "row_of",
]

KEY = ("kind", "program", "candidate", "lm", "metric", "mode", "example", "rollout")
"""What makes a row the only one of its kind."""

COLUMNS = (
    *("seq", *KEY),
    *("score", "fault", "error", "calls", "tokens", "seconds", "cached", "time", "body", "sha256"),
)


_TEXT, _FLAG, _COUNT, _NUMBER = frozenset({str}), frozenset({bool}), frozenset({int}), frozenset({int, float})
_LIST, _OBJECT, _NONE = frozenset({list}), frozenset({dict}), frozenset({type(None)})
_KEY_TYPES = {**dict.fromkeys(KEY, _TEXT), "rollout": _COUNT}
_ROW_TYPES = {
    **dict.fromkeys(("seq", "calls", "tokens", "cached"), _COUNT),
    **dict.fromkeys(("seconds", "time"), _NUMBER),
    **dict.fromkeys(("fault", "error"), _TEXT | _NONE),
    "score": _NUMBER | _NONE,
}
_BODY_TYPES = {
    **dict.fromkeys(("calls", "notes", "steps"), _LIST),
    **dict.fromkeys(("whole", "bare"), _FLAG),
    "message": _TEXT,
    "feedback": _TEXT | _NONE,
    "outputs": _OBJECT | _NONE,
}
# What a private ledger leaves out.
_OPTIONAL: dict[str, Any] = {"feedback": None, "outputs": None, "steps": [], "bare": False}
_CALL_TYPES = {
    **dict.fromkeys(("key", "role"), _TEXT),
    **dict.fromkeys(("input_tokens", "output_tokens"), _COUNT | _NONE),
    "seconds": _NUMBER,
    "usd": _NUMBER | _NONE,
}
_STEP_TYPES = {"predictor": _TEXT, "inputs": _OBJECT, "outputs": _OBJECT}
_BEGINNING = '{"calls":['  # of a body


class DamagedRow(Exception):
    """A row whose checksum does not match, or that cannot be read."""


@dataclass(frozen=True, slots=True)
class RowKey:
    """What one row is about; a row is used again only if all of it is equal.

    Attributes:
        program: fingerprint of the program with its sources.
        candidate: key of the candidate.
        lm: identity of the model, with the options of the requests.
        metric: fingerprint of the metric.
        mode: `eval`, or `teach` if the metric is shown the trace.
        example: content key of the example.
        rollout: which of several draws.
        kind: `row`, or `stop` for an evaluation that the budget ended on its way.
    """

    program: str
    candidate: str
    lm: str
    metric: str
    mode: str
    example: str
    rollout: int = 0
    kind: Literal["row", "stop"] = "row"

    @property
    def without_metric(self) -> "RowKey":
        """The key without its metric."""
        return RowKey(self.program, self.candidate, self.lm, "", self.mode, self.example, self.rollout, self.kind)


@dataclass(frozen=True, slots=True)
class Entry:
    """One row.

    Attributes:
        key: what it is about.
        row: the scored example; its outputs and steps are JSON values once they were read from the ledger.
        calls: the LM calls it took, as they were charged.
        notes: what a reader of the score has to know.
        whole: whether outputs and steps are all here: in a private ledger they are not, and a value without a JSON
            form is not either.
        bare: whether the program returned something other than a prediction.
        time: when it was finished, in seconds since 1970.
        seq: its place in the order of writing; 0 before it is written.
    """

    key: RowKey
    row: Row
    calls: tuple[Call, ...] = ()
    notes: tuple[str, ...] = ()
    whole: bool = True
    bare: bool = False
    time: float = 0.0
    seq: int = 0

    def at(self, seq: int) -> "Entry":
        """Return the entry at its place in the order of writing; `dataclasses.replace` takes five times as long."""
        return Entry(self.key, self.row, self.calls, self.notes, self.whole, self.bare, self.time, seq)

    def __repr__(self) -> str:
        return brief(self, self.key.kind, seq=self.seq, row=self.row, calls=len(self.calls))


def entry_of(values: Sequence[Any]) -> Entry:
    """Return the entry that `columns_of` wrote.

    Raises:
        DamagedRow: the checksum does not match, or what it covers is not what `columns_of` writes.
    """
    try:
        return _entry(_whole(values))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise DamagedRow(f"it cannot be read ({error})") from error


def key_of(values: Sequence[Any]) -> RowKey:
    """Return the key of the entry that `columns_of` wrote; see `entry_of`, which takes longer."""
    try:
        return _key(_whole(values))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise DamagedRow(f"it cannot be read ({error})") from error


def checked_columns(values: Sequence[Any]) -> Sequence[Any]:
    """Return `values` if their checksum matches and each is of a type that is written, without reading the body.

    It takes a tenth of the time of `entry_of`. A body that does not begin as it is written is read.

    Raises:
        DamagedRow: as `entry_of`.
    """
    if not _has_checksum(values):
        raise DamagedRow("its checksum does not match")
    _, kind, _, candidate, _, _, _, example, _, score, fault, _, calls, tokens, seconds, _, _, body, _ = values
    usual = (
        type(score) is float
        and fault is None
        and type(calls) is type(tokens) is int
        and type(seconds) is float
        and type(kind) is type(candidate) is type(example) is str
        and body.startswith(_BEGINNING)
    )
    if not usual:
        entry_of(values)
    return values


def row_of(values: Sequence[Any], known: dict[str, str]) -> Row:
    """Return the row of `checked_columns` without its texts: no outputs, feedback and steps.

    Args:
        values: the columns.
        known: gets the keys of examples, so that all rows of an example share one text.

    Raises:
        DamagedRow: it failed, and its body cannot be read.
    """
    _, _, _, _, _, _, _, example, _, score, fault, error, calls, tokens, seconds, cached, _, body, _ = values
    failure = None
    if fault is not None:
        try:
            failure = Failure(fault, error, _checked(json.loads(body), {"message": _TEXT})["message"])
        except (KeyError, TypeError, ValueError, RecursionError) as problem:
            raise DamagedRow(f"it cannot be read ({problem})") from problem
    example = known.setdefault(example, example)
    return Row(example, None, score, failure, None, calls, tokens, seconds, bool(cached))


def _whole(values: Sequence[Any]) -> dict[str, Any]:
    if not _has_checksum(values):
        raise DamagedRow("its checksum does not match")
    return dict(zip(COLUMNS[:-1], values, strict=False))


def _entry(found: dict[str, Any]) -> Entry:
    columns = _checked(found, _ROW_TYPES)
    body = _checked({**_OPTIONAL, **_checked(json.loads(found["body"]), {})}, _BODY_TYPES)
    failure = None
    if columns["fault"] is not None:
        if columns["error"] is None:
            raise TypeError("it has a failure without a name")
        failure = Failure(columns["fault"], columns["error"], body["message"])
    elif columns["score"] is None:
        raise TypeError("it has neither a score nor a failure")
    row = Row(
        columns["example"],
        body["outputs"],
        columns["score"],
        failure,
        body["feedback"],
        columns["calls"],
        columns["tokens"],
        columns["seconds"],
        bool(columns["cached"]),
        tuple(Step(**_checked(step, _STEP_TYPES)) for step in body["steps"]),
    )
    calls = tuple(Call(**_checked(call, _CALL_TYPES), paid=False) for call in body["calls"])
    notes = tuple(_checked([note], {"note": _TEXT})["note"] for note in body["notes"])
    return Entry(_key(found), row, calls, notes, body["whole"], body["bare"], columns["time"], columns["seq"])


def _key(found: dict[str, Any]) -> RowKey:
    if found["kind"] not in ("row", "stop"):
        raise TypeError(f"there is no row of the kind {found['kind']!r}")
    columns = _checked(found, _KEY_TYPES)
    return RowKey(**{name: columns[name] for name in KEY})


def _checked(given: Any, types: Mapping[str, frozenset[type]]) -> dict[str, Any]:
    """Return a JSON object, or a list of the same values, whose values have the types that were written.

    A checksum only says that no row was changed by accident.

    Raises:
        KeyError, TypeError, ValueError: a value is missing or of another type.
    """
    found = dict(zip(types, given, strict=True)) if isinstance(given, list) and types else given
    if not isinstance(found, dict):
        raise TypeError(f"a {type(given).__name__} stands in the place of an object")
    for name, known in types.items():
        if type(found[name]) not in known:  # not isinstance: true is not a number
            raise TypeError(f"`{name}` is a {type(found[name]).__name__}")
    return found


def _has_checksum(values: Sequence[Any]) -> bool:
    """Return whether the last of `values` is the checksum of the others.

    Nearly always `to_json` writes them as `checksum_of` does, in half the time; not text that is not ASCII, nor numbers
    such as 1e16.
    """
    checksum = values[-1]
    try:
        fast = hashlib.sha256(to_json(values[:-1])).hexdigest() == checksum
    except ValueError:  # a lone surrogate has no UTF-8
        fast = False
    return fast or checksum_of(values[:-1]) == checksum


def checksum_of(values: Sequence[Any]) -> str:
    """Return the sha256 of `values` as a JSON list without spaces, which `json.dumps` takes four times as long for."""
    parts = [escaped(value) if type(value) is str else "null" if value is None else repr(value) for value in values]
    return hashlib.sha256(f"[{','.join(parts)}]".encode("ascii", "replace")).hexdigest()
