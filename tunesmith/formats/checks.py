"""Check that a call passes the inputs of its signature."""

from collections.abc import Mapping
from typing import Any

from tunesmith.errors import FormatError
from tunesmith.signatures import Signature, field_names, note, takes_none

__all__ = ["check_inputs"]


def check_inputs(signature: type[Signature], inputs: Mapping[str, Any]) -> None:
    """Refuse a call without any input, and add a note if some inputs are missing.

    Raises:
        FormatError: none of the signature's inputs is given. DSPy drops names that the signature does not have.
    """
    wanted = field_names(signature).inputs
    if all(name in inputs for name in wanted):
        return
    if not any(name in inputs for name in wanted):
        raise FormatError(
            f"None of the inputs {', '.join(wanted)} was given, so there is nothing to ask. Given: "
            f"{', '.join(inputs) or 'nothing'}. Call the program with the inputs that its signature names."
        )
    lacking = [name for name in wanted if name not in inputs and not takes_none(signature, name)]
    if lacking:
        step = f"{', '.join(wanted)} -> {', '.join(field_names(signature).outputs)}"
        # Not logged here: DSPy logs it.
        note(f"A predictor `{step}` was called without its input {', '.join(lacking)}.", logged=False)
