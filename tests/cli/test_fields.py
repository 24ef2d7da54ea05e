"""Inputs from the command line."""

import pytest

from tunesmith.cli.fields import row_of
from tunesmith.errors import RowError
from tunesmith.modules import Predict, ProgramInputs, program_inputs


@pytest.mark.parametrize("inputs", [ProgramInputs(("text",)), program_inputs(Predict("text -> label"))])
@pytest.mark.parametrize(
    ("row", "has"),
    [
        ({"txet": "x"}, "'txet'"),
        ({"Text": "x"}, "'Text'"),
        ({"label": "good", "comment": "x"}, "'label', 'comment'"),
        ({}, "no fields"),
    ],
)
def test_a_misspelt_field_is_told_with_what_the_row_has(inputs: ProgramInputs, row: dict[str, str], has: str) -> None:
    with pytest.raises(RowError, match=f"`text`: The field is missing. The row has: {has}. The inputs are: text"):
        row_of(row, inputs, "stdin")
