"""Whether a call gives what its signature asks for."""

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any, get_args

from tunesmith.errors import FormatError
from tunesmith.signatures import Signature, field_names, input_types

__all__ = ["check_inputs", "inputs_watched"]

_LACKING: ContextVar[set[str] | None] = ContextVar("tunesmith_lacking", default=None)


@contextlib.contextmanager
def inputs_watched() -> Iterator[set[str]]:
    """Collect in words which calls of this context lacked an input; DSPy shows the model what is left."""
    found: set[str] = set()
    token = _LACKING.set(found)
    try:
        yield found
    finally:
        _LACKING.reset(token)


def check_inputs(signature: type[Signature], inputs: Mapping[str, Any]) -> None:
    """Refuse to ask with an empty message, and tell `inputs_watched` of a call that lacks an input.

    Raises:
        FormatError: not one input of the signature is given; names that it lacks were dropped on the way.
    """
    wanted = field_names(signature).inputs
    if all(name in inputs for name in wanted):
        return
    if not any(name in inputs for name in wanted):
        raise FormatError(
            f"None of the inputs {', '.join(wanted)} was given, so there is nothing to ask. Given: "
            f"{', '.join(inputs) or 'nothing'}. Call the program with the inputs that its signature names."
        )
    found = _LACKING.get()
    if found is not None:
        lacking = [n for n, kind in input_types(signature).items() if n not in inputs and not _takes_none(kind)]
        if lacking:
            step = f"{', '.join(wanted)} -> {', '.join(field_names(signature).outputs)}"
            found.add(f"A predictor `{step}` was called without its input {', '.join(lacking)}.")


def _takes_none(kind: Any) -> bool:
    return type(None) in get_args(kind)
