"""The types of a program's inputs and outputs, and how its endpoint reads and writes them."""

import json
from collections.abc import Callable, Iterable
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from tunesmith.modules import Contract, typed_object
from tunesmith.serve.problem import Refusal

__all__ = ["Contract", "reader_of", "typed_object", "written"]

_PROBLEMS = 3  # named in a refusal


def reader_of(kind: Any) -> Callable[[bytes | str], Any]:
    """Return what reads JSON text as `kind`, or raises a `Refusal` with status 422.

    Nothing is converted: the documented schema says what is taken.
    """
    validate = TypeAdapter(kind).validate_json

    def read(raw: bytes | str) -> Any:
        try:
            return validate(raw, strict=True)
        except ValidationError as error:
            whole = _with_whole_numbers(raw)
            if whole is None:
                raise _invalid(error) from None
            return read(whole)
        except Exception as error:  # a user's validator may raise anything
            raise Refusal(422, "InvalidInput", "A value was refused by its type. See /openapi.json.") from error

    return read


def _with_whole_numbers(raw: bytes | str) -> str | None:
    """Return the JSON text with `1.0` as `1`, which is an integer for JSON Schema too; `None` if it has none."""
    changed = False

    def number(text: str) -> float | int:
        nonlocal changed
        value = float(text)
        if not value.is_integer():
            return value
        changed = True
        return int(value)

    text = json.dumps(json.loads(raw, parse_float=number))
    return text if changed else None


def written(outputs: Iterable[tuple[str, Any]]) -> bytes:
    """Return a prediction's outputs as JSON; what has no JSON form as text, NaN and infinity as null."""
    return to_json(dict(outputs), fallback=str, inf_nan_mode="null", by_alias=True)


def _invalid(error: ValidationError) -> Refusal:
    listed = error.errors(include_url=False, include_context=False, include_input=False)
    found = [(_field(one["loc"]), one["msg"].removeprefix("Value error, ").rstrip(".")) for one in listed]
    texts = [f"`{field}`: {problem}" if field else problem for field, problem in found[:_PROBLEMS]]
    more = f"; and {len(found) - _PROBLEMS} more" if len(found) > _PROBLEMS else ""
    return Refusal(422, "InvalidInput", f"{'; '.join(texts)}{more}. See /openapi.json.", field=found[0][0] or None)


def _field(steps: tuple[int | str, ...]) -> str:
    return ".".join(str(step) for step in steps if not str(step).startswith("function-"))
