"""Inputs from the command line."""

from datetime import date
from typing import Any

import dspy
import pytest

from tunesmith.cli.fields import pairs_of, row_of, typed_pairs
from tunesmith.errors import RowError, UsageError
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


class Typed(dspy.Module):
    """A program of its own class, with types and defaults."""

    def forward(
        self,
        text: str,
        loud: bool = False,
        since: "date | None" = None,
        tags: set["Missing"] | None = None,  # type: ignore[name-defined]  # noqa: F821
    ) -> Any:
        raise NotImplementedError


def test_a_parameter_with_a_default_may_be_left_out_and_a_text_is_read_as_its_type() -> None:
    inputs = program_inputs(Typed())
    assert dict(typed_pairs(pairs_of(["text=5"], inputs), inputs)) == {"text": "5"}
    given = ["text=hello", "loud=false", "since=2024-01-02", "tags=a"]
    assert dict(typed_pairs(pairs_of(given, inputs), inputs)) == {
        "text": "hello",
        "loud": False,
        "since": date(2024, 1, 2),
        "tags": "a",
    }
    with pytest.raises(RowError, match="`loud`: Input should be a valid boolean"):
        typed_pairs(pairs_of(["text=hello", "loud=maybe"], inputs), inputs)
    with pytest.raises(UsageError, match="The input `text` is missing"):
        pairs_of(["loud=true"], inputs)
    assert dict(row_of({"text": "a"}, inputs, "stdin")) == {"text": "a"}
