"""`render` shows what would be sent and sends nothing."""

import contextlib
from typing import Any

import dspy
import pytest
from dspy.utils.exceptions import AdapterParseError

from tests.contracts.format import CustomEngine, OldLM
from tests.contracts.module import answering, run, state_of
from tests.each import each
from tests.modules.plain_programs import Frozen, Listed, Pipeline, Route
from tunesmith.errors import FormatError, UsageError
from tunesmith.lm import Capabilities, ScriptedLM
from tunesmith.modules import ChainOfThought, Predict, bind, render, reply_text

BILL = {"message": "my bill"}


class Never(dspy.Module):
    """Calls no model."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = dspy.Predict(Route)

    def forward(self, **inputs: Any) -> Any:
        return dspy.Prediction(**inputs)


class Careful(dspy.Module):
    """Catches every exception, as users' programs do."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = [dspy.Predict(Route)]

    def forward(self, message: str) -> Any:
        try:
            return self.steps[0](message=message)
        except Exception:
            return dspy.Prediction(queue="other")


def test_a_bare_label_is_shown_with_its_grammar() -> None:
    found = render(Predict(Route), lm=answering(temperature=0.5), **BILL)

    assert found.messages == (
        {
            "role": "system",
            "content": (
                "Route the message to a queue.\nmessage: as the customer wrote it\nQueue is one of: billing, cards, other."
            ),
        },
        {"role": "user", "content": "Message: my bill\nQueue:"},
    )
    assert found.constraint == {"grammar": 'root ::= "billing" | "cards" | "other"'}
    assert found.options == {"temperature": 0.5, "max_tokens": 512, "seed": 0}


def test_what_the_model_cannot_take_is_not_shown() -> None:
    lm = answering(capabilities=Capabilities())

    assert render(Predict(Route), lm=lm, **BILL).constraint is None


def test_the_configured_model_is_the_default_one() -> None:
    lm = answering(top_p=0.5)
    with dspy.context(lm=lm):
        assert render(Predict(Route), **BILL).options["top_p"] == 0.5
    assert lm.requests == []


def test_the_configured_adapter_is_shown() -> None:
    lm, program = answering(), dspy.Predict(Route)
    with dspy.context(adapter=dspy.ChatAdapter()):
        shown = render(program, lm=lm, **BILL)
        run(program, lm, BILL)

    assert shown.request == lm.requests[0]


def test_an_unbound_predictor_is_shown_as_it_is_compiled() -> None:
    assert render(dspy.Predict(Route), lm=answering(), **BILL) == render(Predict(Route), lm=answering(), **BILL)


@pytest.mark.parametrize("name", ["bare", "json", "chat"])
def test_a_model_made_elsewhere_is_shown_what_it_gets(name: str) -> None:
    engine = CustomEngine('{"queue": "billing"}')
    lm = dspy.LM("mine", engine=engine, cache=False, temperature=0.3, max_tokens=20)
    program = Predict(Route)
    bind(program, name)
    shown = render(program, lm=lm, **BILL)
    assert engine.requests == []
    with contextlib.suppress(AdapterParseError):
        run(program, lm, BILL)

    assert shown.request == engine.requests[0]
    assert shown.options == {"temperature": 0.3, "max_tokens": 20}


def test_a_models_key_is_neither_needed_nor_shown() -> None:
    lm = dspy.LM("openai/gpt-4o-mini", api_key="secret", api_base="http://localhost:1/v1")
    found = render(Predict(Route), lm=lm, **BILL)

    assert found.messages[-1]["content"] == "Message: my bill\nQueue:"
    assert "secret" not in repr(found)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_model_of_the_old_kind_is_not_called() -> None:
    lm = OldLM("billing")

    assert render(Predict(Route), lm=lm, **BILL).messages[-1]["content"] == "Message: my bill\nQueue:"
    assert lm.seen == []


def test_models_of_the_programs_own_are_not_called() -> None:
    class Own(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.big = answering(top_p=0.1)
            self.step = dspy.Predict(Route)

        def forward(self, message: str) -> Any:
            with dspy.context(lm=self.big):
                return self.step(message=message)

    frozen, pipeline, own, outer = Frozen(), Pipeline(), Own(), answering()
    frozen.before.steps[0].lm = answering(top_p=0.2)
    pipeline.route.predict.lm = answering(top_p=0.3)

    assert render(own, lm=outer, **BILL).options["top_p"] == 0.1
    assert render(frozen, lm=outer, **BILL).options["top_p"] == 0.2
    assert render(pipeline, lm=outer, **BILL).options["top_p"] == 0.3
    for lm in (outer, own.big, frozen.before.steps[0].lm, pipeline.route.predict.lm):
        assert lm.requests == []
        assert lm.history == []


def test_a_program_that_catches_everything_is_shown_all_the_same() -> None:
    program = Careful()
    before = state_of(program)

    assert render(program, lm=answering(), **BILL).messages[-1]["content"] == "Message: my bill\nQueue:"
    assert state_of(program) == before


def test_a_program_that_asks_nobody_is_an_error() -> None:
    with pytest.raises(UsageError, match="Never ended without calling a model"):
        render(Never(), lm=answering(), **BILL)
    with pytest.raises(UsageError, match="Listed ended"):
        render(Listed(), lm=answering(), message=" ")


def test_an_input_that_cannot_be_carried_is_an_error() -> None:
    with pytest.raises(FormatError, match="message"):
        render(Predict(Route), lm=answering(), message=object())


def test_what_is_no_lm_is_refused() -> None:
    with pytest.raises(UsageError, match="must be an LM"):
        render(Predict(Route), lm="embedded", message="x")  # type: ignore[arg-type]


def test_an_error_of_the_program_is_raised_as_it_is() -> None:
    with pytest.raises(TypeError):
        render(Listed(), lm=answering(), nonsense=1)


def test_rendering_uses_no_reply_and_no_trace() -> None:
    lm = ScriptedLM("billing")
    with dspy.context(trace=[]):
        render(Predict(Route), lm=lm, **BILL)
        assert dspy.settings.trace == []

    assert run(Predict(Route), lm, BILL).queue == "billing"


@each("name", ["json", "lines", "xml", "markdown", "chat"])
def test_the_reply_that_gives_outputs_is_the_one_that_a_demo_shows(name: str) -> None:
    predictor = ChainOfThought("question -> answer, count: int")
    bind(predictor.predict, name)
    outputs = {"reasoning": "Two and two.", "answer": "four", "count": 4}
    predictor.predict.demos = [{"question": "2 + 2", **outputs}]
    assert render(predictor, question="?").messages[-2]["content"] == reply_text(predictor.predict, outputs)


def test_the_reply_of_some_outputs_does_not_name_the_others() -> None:
    assert reply_text(Predict("question -> reasoning, answer"), {"answer": "4"}) == '{"answer": "4"}'
