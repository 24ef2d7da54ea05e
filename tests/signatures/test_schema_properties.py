"""Whatever the signature, what is sent is safe; and what is rendered is read back."""

import json
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter

from tests.each import each
from tests.scale import FULL, scaled
from tests.signatures.safe_subset import is_safe
from tests.signatures.strategies import Color, Mixed, Tree, Typed, any_types, signature_of, typed_values
from tunesmith.errors import ParseError, SignatureError
from tunesmith.signatures import (
    Signature,
    field_schema,
    left_out,
    output_schema,
    parse_json,
    parse_text,
    render_json,
    render_text,
    server_schema,
    validate_output,
    validate_outputs,
)

_quick = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@settings(max_examples=scaled(2_000), **_quick)
@given(st.lists(any_types, min_size=1, max_size=2))
def test_every_schema_of_every_signature_is_safe_or_refused(kinds: list[Any]) -> None:
    try:
        signature = signature_of(*kinds)
    except Exception:
        return
    for name in signature.output_fields:
        try:
            schema = field_schema(signature, name)
        except SignatureError:
            continue
        assert is_safe(schema), schema
        assert server_schema(schema) is not None, schema
        assert json.loads(json.dumps(schema)) == schema
    try:
        whole = output_schema(signature)
        left_out(signature)
    except SignatureError:
        return
    assert is_safe(whole), whole
    assert server_schema(whole) is not None, whole
    assert list(whole["properties"]) == list(signature.output_fields) == whole["required"]


def _same(back: Any, value: Any) -> bool:
    if isinstance(value, BaseModel):
        return type(back) is type(value) and back.__dict__ == value.__dict__
    return bool(back == value)


@settings(max_examples=scaled(1_000), **_quick)
@given(typed_values, st.data())
def test_a_value_is_read_back_from_its_text_and_from_its_json(typed: Typed, data: st.DataObject) -> None:
    kind, strategy = typed
    signature = signature_of(kind)
    value = TypeAdapter(kind).validate_python(data.draw(strategy))
    text = render_text(signature, "o0", value)
    written = render_json(signature, "o0", value)
    back = json.loads(json.dumps(written))
    assert _same(parse_text(signature, "o0", text, raw=text), value)
    assert _same(validate_output(signature, "o0", back, raw=text), value)


_keys = st.text(max_size=5)
_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
# Levels written out are drawn in half the time that `st.recursive` needs.
_flat = _scalars | st.lists(_scalars, max_size=4) | st.dictionaries(_keys, _scalars, max_size=3)
_json_values = _flat | st.lists(_flat, max_size=3) | st.dictionaries(_keys, _flat, max_size=4)
_junk = (
    st.text(st.characters(), max_size=60)
    | _json_values.map(json.dumps)
    | st.text('{}[]",:truefalsn0123456789.eE-+\\ `')
)


_TYPES = [
    str,
    int,
    float,
    bool,
    date,
    Decimal,
    Color,
    Literal["a", 1],
    Literal["a", None],
    Annotated[str, Field(pattern="^a$")],
]
_TYPES += [list[int], dict[str, float], Tree, set[date], tuple[int, bool], int | str | None, Any, UUID, datetime, Mixed]
_SIGNATURES = [signature_of(kind) for kind in _TYPES]
_REASONS = {"empty", "truncated", "syntax", "missing", "invalid"}


def _failure(attempt: Callable[[], Any]) -> ParseError | None:
    """Return the error of a reading, `None` where it succeeds; any other exception goes on."""
    try:
        attempt()
    except ParseError as error:
        return error
    return None


@settings(max_examples=scaled(2_000), **_quick)
@given(st.sampled_from(_SIGNATURES), _junk, _json_values)
def test_junk_ends_in_a_parse_error_or_a_value(signature: type[Signature], junk: str, value: Any) -> None:
    for attempt in (
        lambda: parse_json(junk),
        lambda: parse_text(signature, "o0", junk, raw=junk),
        lambda: validate_output(signature, "o0", value, raw=junk),
        lambda: validate_outputs(signature, {"o0": value}, raw=junk),
    ):
        error = _failure(attempt)
        assert error is None or (error.reason in _REASONS and error.raw == junk)


_MUCH = 2**20 if FULL else 2**18
_HUGE = ["x" * _MUCH, "[" * 100_000, '{"a":' * 100_000, '"' + "a" * _MUCH, "[" * 900 + "]" * 900]
_HUGE += ["\ud800", '"\\ud800"', "9" * 5000, "1e999", "```" * (_MUCH // 4), "-" * _MUCH, "\\" * _MUCH]


@each("kind", [str, int, float, bool, Literal["a"], list[str], dict[str, Any], Any])
@each("junk", _HUGE, ids=range(len(_HUGE)))
def test_huge_and_deep_replies_never_crash(kind: Any, junk: str) -> None:
    signature = signature_of(kind)
    for attempt in (
        lambda: parse_text(signature, "o0", junk, raw=junk),
        lambda: validate_output(signature, "o0", parse_json(junk), raw=junk),
    ):
        error = _failure(attempt)
        assert error is None or len(str(error)) < 1000
