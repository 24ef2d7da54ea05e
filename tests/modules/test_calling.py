"""The short way of a call gives what DSPy's own way gives, and steps aside where it could not."""

from typing import Any

import dspy
import pytest

import tunesmith as ts
from tunesmith.formats import get_format
from tunesmith.lm import FunctionLM
from tunesmith.modules.module import prediction_of


class Wrapped:
    """An adapter that is not one of tunesmith's formats, though it does what one does: calls take DSPy's own way."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._inner(*args, **kwargs)


def called(program: dspy.Module, adapter: Any, inputs: dict[str, Any]) -> Any:
    """Return outputs, trace and the model's history of one call, or its error."""
    lm, trace = FunctionLM(lambda seen: f"answer to {seen.messages[-1][1][:60]!r}"), list[Any]()
    with dspy.context(lm=lm, trace=trace, adapter=adapter):
        try:
            found = program(**inputs)
        except ts.errors.TunesmithError as error:
            return type(error).__name__, str(error)
    history = [{name: entry[name] for name in ("messages", "outputs", "usage", "kwargs")} for entry in lm.history]
    return dict(found.items()), [(dict(given), dict(made.items())) for _, given, made in trace], history


@pytest.mark.parametrize(
    ("signature", "inputs"),
    [
        ("question -> answer", {"question": "why?"}),
        ("question, context -> answer, source", {"question": "why?", "context": "because"}),
        ("question -> answer", {"question": ""}),
        ("question, context -> answer", {"question": "an input is missing"}),
        ("question -> answer", {"question": "one too many", "other": "x"}),
        ("question: int -> answer", {"question": 3}),
        ("question -> answer", {"question": "more", "config": {"temperature": 0.5}}),
        ("question -> answer", {"question": "demos", "demos": [dspy.Example(question="a", answer="b")]}),
        ("question -> answer", {"question": "another", "signature": dspy.Signature("question -> reply")}),
    ],
)
def test_both_ways_give_the_same_prediction_trace_and_history(signature: str, inputs: dict[str, Any]) -> None:
    chosen = get_format("lines" if "," in signature.partition("->")[2] else "bare")

    assert called(ts.Predict(signature), chosen, inputs) == called(ts.Predict(signature), Wrapped(chosen), inputs)


class Shouting(type(get_format("bare"))):  # type: ignore[misc]
    """A format that does something of its own in every call."""

    def __call__(self, *args: Any, **kwargs: Any) -> list[dict[str, Any]]:
        return [{"answer": found["answer"].upper()} for found in super().__call__(*args, **kwargs)]


def test_a_format_that_overrides_the_call_is_asked_in_its_own_way() -> None:
    with dspy.context(lm=FunctionLM(lambda seen: "loud"), adapter=Shouting()):
        assert ts.Predict("question -> answer")(question="q").answer == "LOUD"


def test_demos_that_change_between_two_calls_are_sent() -> None:
    program, sent = ts.Predict("question -> answer"), list[str]()
    lm = FunctionLM(lambda seen: sent.append(str(seen.messages)) or "x")
    program.demos = [dspy.Example(question="a", answer="first")]

    with dspy.context(lm=lm):
        program(question="1")
        program.demos[0].answer = "second"
        program(question="2")

    assert "first" in sent[0]
    assert "second" in sent[1]
    assert "first" not in sent[1]


@pytest.mark.parametrize(("before", "after"), [(1, True), (1, 1.0), (0, False)])
def test_an_equal_demo_of_another_type_is_another_demo(before: Any, after: Any) -> None:
    program, sent = ts.Predict("question, number -> answer"), list[str]()
    lm = FunctionLM(lambda seen: sent.append(str(seen.messages[:-1])) or "x")
    program.demos = [dspy.Example(question="a", number=before, answer="b")]

    with dspy.context(lm=lm):
        program(question="q", number="2")
        program.demos[0].number = after
        program(question="q", number="2")

    assert sent[0] != sent[1]


def test_a_changed_option_is_sent_though_its_value_is_equal() -> None:
    program, sent = ts.Predict("question -> answer", temperature=1), list[Any]()
    lm = FunctionLM(lambda seen: sent.append(seen.request.config.temperature) or "x")

    with dspy.context(lm=lm):
        program(question="q")
        program.config["temperature"] = 0.5
        program(question="q")

    assert sent == [1, 0.5]


def test_a_callback_hears_every_call() -> None:
    heard = list[str]()

    class Listener(dspy.utils.callback.BaseCallback):
        def on_lm_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
            heard.append("lm")

        def on_adapter_format_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
            heard.append("format")

    with dspy.context(lm=FunctionLM(lambda seen: "x"), callbacks=[Listener()]):
        ts.Predict("question -> answer")(question="q")

    assert heard == ["format", "lm"]


@pytest.mark.parametrize("completions", [[{"a": "x", "logprobs": None}], [{"a": "x"}, {"a": "y"}]])
def test_a_prediction_is_the_one_that_dspy_makes(completions: list[dict[str, Any]]) -> None:
    signature = ts.Signature("q -> a")
    made = prediction_of(completions, signature)
    wanted = dspy.Prediction.from_completions(completions, signature=signature)

    ours, theirs = vars(made.completions), vars(wanted.completions)
    assert {**vars(made), "_completions": ours} == {**vars(wanted), "_completions": theirs}
    assert type(made) is type(wanted)
