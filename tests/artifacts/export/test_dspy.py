import ast
import datetime as calendar
import runpy
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import dspy
import pytest
from pydantic import BaseModel

import tunesmith as ts
from tests.artifacts.export.prompts import FORMATS, check_texts, program, sent
from tests.each import each
from tunesmith.errors import UsageError


def loaded(made: Any, folder: Path) -> Any:
    """Run the Python file, and return its program."""
    written = ts.export(made, to="dspy")
    written.write(folder)
    names = {
        alias.asname or alias.name
        for node in ast.walk(ast.parse(written.files["program.py"]))
        for alias in getattr(node, "names", [])
    }
    standard = {"_datetime", "_decimal", "_typing", "_uuid"}
    assert names - standard == {"Path", "Literal", "dspy"}  # plain DSPy alone
    return runpy.run_path(str(folder / "program.py"))["program"]


def sends(predictor: Any, **inputs: Any) -> Any:
    """Return what plain DSPy sends."""
    return dspy.ChatAdapter().format(predictor.signature, predictor.demos, inputs)


@each("name", FORMATS)
def test_plain_dspy_sends_what_tunesmith_sends_in_dspys_format(name: str, tmp_path: Path) -> None:
    def check(instruction: str, demo: str, text: str, more: str) -> None:
        instruction = instruction.strip() or "Sort."  # DSPy puts its own in place of an empty one
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        found = loaded(program(name, instruction, demo), folder)
        assert type(found) is dspy.Predict
        wanted = sent(program("chat", instruction, demo), text=text, count=7, more=more)
        assert sends(found, text=text, count=7, more=more) == wanted

    if name in ("bare", "chat"):
        check_texts(name, check)


def test_a_chain_of_thought_stays_one_and_fields_keep_types_and_descriptions(tmp_path: Path) -> None:
    class Rate(dspy.Signature):
        """Rate "it" in the '90s.\\"""

        text: str = dspy.InputField(desc='what {is} "said"')
        tags: list[str] = dspy.InputField()
        stars: int = dspy.OutputField(ge=1, le=5)
        mood: Literal["it's", 'a "b"', 3] | None = dspy.OutputField()

    made = ts.ChainOfThought(Rate)
    found = loaded(made, tmp_path)
    assert type(found) is dspy.ChainOfThought
    wanted = ts.export(made, to="dspy").files["state.json"]
    assert sends(found.predict, text="a", tags=[]) == sends(made.predict, text="a", tags=[])
    assert '"reasoning"' in wanted or "Reasoning" in wanted


class Booking(dspy.Signature):
    """Read the booking."""

    date: calendar.date = dspy.InputField()
    datetime: calendar.datetime | None = dspy.InputField()
    photo: dspy.Image = dspy.InputField()
    prices: list[tuple[str, Decimal]] = dspy.OutputField()
    rest: dict[str, Any] = dspy.OutputField()


def test_dates_and_pictures_stay_what_they_are_whatever_a_field_is_called(tmp_path: Path) -> None:
    found = loaded(ts.Predict(Booking), tmp_path)
    kinds = {name: info.annotation for name, info in found.signature.fields.items()}
    assert kinds == {name: info.annotation for name, info in Booking.fields.items()}


def test_it_answers_through_any_lm(tmp_path: Path) -> None:
    found = loaded(program("chat", "Sort.", "a"), tmp_path)
    with dspy.context(lm=ts.ScriptedLM("[[ ## kind ## ]]\nbad\n\n[[ ## completed ## ]]")):
        assert found(text="a", count=1, more="b").kind == "bad"


def test_the_notes_say_that_the_format_is_another() -> None:
    assert "Plain DSPy sends its own format instead of `bare`" in ts.export(program("bare"), to="dspy").notes[0]
    assert ts.export(program("chat"), to="dspy").notes == ()


class Own(BaseModel):
    x: int


def test_what_plain_dspy_lacks_is_refused() -> None:
    with pytest.raises(UsageError, match="Plain DSPy has no `SelfConsistency`"):
        ts.export(ts.SelfConsistency(ts.Predict("text -> label")), to="dspy")
    signature: Any = dspy.Signature({"text": (str, dspy.InputField()), "found": (Own, dspy.OutputField())})
    with pytest.raises(UsageError, match="The field `found` has the type"):
        ts.export(ts.Predict(signature), to="dspy")
