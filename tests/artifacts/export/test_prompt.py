from typing import Any

import dspy

import tunesmith as ts
from tests.artifacts.export.prompts import FORMATS, check_texts, program, sent
from tests.each import each
from tunesmith.artifacts.export._prompt import Prompt
from tunesmith.artifacts.export._source import Source
from tunesmith.modules import bind, bound_offsets


def prompt(made: Any) -> Prompt:
    return Source(made).prompts[0]


def filled(found: Prompt, **inputs: str) -> list[dict[str, str]]:
    return [
        {"role": one.role, "content": one.text(lambda blank: blank.written(inputs[blank.name]))}
        for one in found.messages
    ]


@each("name", FORMATS)
def test_with_the_blanks_filled_the_messages_are_those_that_are_sent(name: str) -> None:
    def check(instruction: str, demo: str, text: str, more: str) -> None:
        made = program(name, instruction, demo)
        assert filled(prompt(made), text=text, count="7", more=more) == sent(made, text=text, count=7, more=more)

    check_texts(name, check)


def test_the_messages_of_a_calibrated_predictor_are_those_that_are_sent() -> None:
    made = ts.Predict("text -> label: Literal['good', 'bad']")
    bind(made, "scored", {"good": 0.5, "bad": -0.5})
    assert filled(prompt(made), text="Cold soup.") == sent(made, text="Cold soup.")
    assert bound_offsets(made) == {"good": 0.5, "bad": -0.5}, "the predictor itself keeps them"
    found = ts.export(made, to="messages")
    assert any("calibration is not carried" in note for note in found.notes)


def test_a_mark_is_found_though_the_instruction_and_a_label_look_like_one() -> None:
    made = ts.Predict(ts.Signature("blank0e, blankk -> label", "blank0e blank1e"))
    assert [one.name for one in prompt(made).blanks] == ["blank0e", "blankk"]
    assert filled(prompt(made), blank0e="a", blankk="b") == sent(made, blank0e="a", blankk="b")


def test_an_own_adapter_is_exported_as_it_sends() -> None:
    made = ts.Predict("text -> label")
    with dspy.context(adapter=dspy.JSONAdapter()):
        found = prompt(made)
        assert filled(found, text="a b") == sent(made, text="a b")
    assert found.format.endswith(":JSONAdapter")


def test_the_options_are_those_of_the_request() -> None:
    made = ts.Predict("text -> label", temperature=0.5, stop=["END"])
    assert prompt(made).options == {"max_tokens": 512, "temperature": 0.5, "stop": ("END",), "seed": 0}


def test_a_placeholder_stands_nowhere_else() -> None:
    made = program("bare", "Of {text} and {more_}.", "{more}")
    assert prompt(made).placeholders() == {"text": "{text_}", "count": "{count}", "more": "{more__}"}
