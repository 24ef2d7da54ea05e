"""Which formats there are, and which one a predictor gets."""

from typing import Any, Literal

import dspy
import pytest
from pydantic import BaseModel, Json

from tests.contracts.format import ask
from tests.each import each
from tests.strategies import CASES
from tunesmith.errors import SignatureError, UsageError
from tunesmith.evaluation import evaluate
from tunesmith.formats import Format, carries, default_format, format_names, get_format
from tunesmith.lm import FunctionLM
from tunesmith.metrics import exact_match
from tunesmith.modules import Predict


class Pictured(dspy.Signature):
    """What is on the picture?"""

    picture: dspy.Image = dspy.InputField()
    answer: str = dspy.OutputField()


class Pictures(dspy.Signature):
    """What is on the pictures?"""

    pictures: list[dspy.Image] | None = dspy.InputField()
    answer: str = dspy.OutputField()


class Talk(dspy.Signature):
    """Go on."""

    history: dspy.History = dspy.InputField()
    answer: str = dspy.OutputField()


class Called(dspy.Signature):
    """Call a tool."""

    tools: list[dspy.Tool] = dspy.InputField()
    calls: dspy.ToolCalls = dspy.OutputField()


class Programmed(dspy.Signature):
    """Explain."""

    program: dspy.Code["python"] = dspy.InputField()  # noqa: F821 - the language is a text
    tools: list[dspy.Tool] = dspy.InputField()
    answer: str = dspy.OutputField()


class Thought(dspy.Signature):
    """Think."""

    question: str = dspy.InputField()
    reasoning: dspy.Reasoning = dspy.OutputField()
    answer: str = dspy.OutputField()


class Calling(dspy.Signature):
    """No type that JSON has."""

    question: str = dspy.InputField()
    answer: type = dspy.OutputField()


def test_every_format_has_its_name() -> None:
    assert {name: get_format(name).name for name in format_names()} == {name: name for name in format_names()}
    assert format_names() == (
        *("bare", "bare-free", "bare-likeliest", "bare-nearest", "bare-schema"),
        *("chat", "json", "lines", "markdown", "scored", "scored-letters", "tools", "xml"),
    )


@each("name", ["", "Json", "json ", "yaml", ["json"], None])
def test_an_unknown_format_is_an_error_that_lists_the_known_ones(name: str) -> None:
    with pytest.raises(
        UsageError, match="bare-schema, chat, json, lines, markdown, scored, scored-letters, tools, xml"
    ):
        get_format(name)
    with pytest.raises(UsageError):
        carries(name, Pictured)


@each("case", CASES, ids=lambda case: case.name)
def test_one_output_gets_bare_and_several_get_json(case: Any) -> None:
    assert default_format(case.signature) == ("bare" if case.single else "json")
    assert default_format(case.signature) == ("bare" if case.single else "json"), "also when asked again"


@each(
    ("signature", "name"),
    [
        (Pictured, "chat"),
        (Pictures, "chat"),
        (Talk, "bare"),
        (Called, "chat"),
        (Calling, "chat"),
        (Programmed, "bare"),
        (Thought, "json"),
        (dspy.Signature("picture: dspy.Image, question -> answer, reason"), "chat"),
        (dspy.Signature("question -> answer"), "bare"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_what_other_formats_cannot_carry_gets_chat(signature: Any, name: str) -> None:
    assert default_format(signature) == name
    assert carries("chat", signature)
    assert carries("json", signature) is (name != "chat")


def test_a_signature_without_outputs_is_refused_before_a_call() -> None:
    with pytest.raises(SignatureError, match="no output"):
        ask(FunctionLM(lambda seen: "{}"), Predict("question ->"), question="?")


@pytest.mark.parametrize("n", [-1, 2.5])
def test_a_number_of_draws_that_cannot_be_is_refused(n: Any) -> None:
    with pytest.raises(UsageError, match="whole number"):
        ask(FunctionLM(lambda seen: "yes"), Predict("question -> answer", n=n), question="?")


def test_a_label_set_is_listed_up_to_fifty() -> None:
    few = dspy.Signature(f"q -> a: Literal[{', '.join(repr(f'label{i}') for i in range(50))}]")
    many = dspy.Signature(f"q -> a: Literal[{', '.join(repr(f'label{i}') for i in range(51))}]")
    for name in ("bare", "json"):
        found = get_format(name)
        assert isinstance(found, Format)
        assert "label49" in found.system_text(few)
        assert "one of" not in found.system_text(many)


def test_the_system_text_names_what_the_user_described_and_nothing_else() -> None:
    class Described(dspy.Signature):
        """Route."""

        text: str = dspy.InputField(desc="as the customer wrote it")
        plain: str = dspy.InputField()
        queue: Literal["a", "b"] = dspy.OutputField(desc="where it goes")

    assert get_format("bare").system_text(Described) == (
        "Route.\ntext: as the customer wrote it\nqueue: where it goes\nQueue is one of: a, b."
    )
    assert (
        get_format("json").system_text(Described).endswith('Reply with one JSON object: {"queue": <one of "a", "b">}')
    )


def test_a_refine_of_dspy_can_make_its_own_copy_of_a_format() -> None:
    for name in format_names():
        kind = type(get_format(name))
        assert type("Wrapper", (kind,), {})().name == name


class Boxed(BaseModel):
    """A model with JSON in a text."""

    inside: Json[list[int]]


@pytest.mark.parametrize("kind", [Json, Json[list[int]], Json[int] | None, list[Json], dict[str, Json[int]], Boxed])
def test_an_output_that_no_reply_can_be_right_for_is_refused_before_a_call(kind: Any) -> None:
    signature = dspy.Signature({"text": (str, dspy.InputField()), "found": (kind, dspy.OutputField())})
    asked: list[Any] = []
    data = [dspy.Example(text="x", found=[1]).with_inputs("text")]
    model = FunctionLM(lambda messages: asked.append(messages) or "[1]")
    with pytest.raises(SignatureError, match=r"Use the type that it holds, such as `list\[int\]`, or `Any`"):
        evaluate(Predict(signature), data, exact_match("found"), lm=model)
    with pytest.raises(SignatureError, match="`Json` is a text with JSON inside"), dspy.context(lm=model):
        Predict(signature)(text="x")
    assert asked == []


def test_an_output_whose_type_has_no_schema_is_refused_before_a_call() -> None:
    signature = dspy.Signature({"text": (str, dspy.InputField()), "found": (type, dspy.OutputField())})
    model = FunctionLM(lambda _: "int")
    with (
        dspy.context(lm=model),
        pytest.warns(UserWarning, match="cannot be asked for as JSON"),
        pytest.raises(SignatureError, match="has a type without a JSON schema"),
    ):
        Predict(signature)(text="x")
    assert model.requests == []


def test_an_input_may_be_json_in_a_text() -> None:
    signature = dspy.Signature({"data": (Json[list[int]], dspy.InputField()), "sum": (int, dspy.OutputField())})
    with dspy.context(lm=FunctionLM(lambda _: "3")):
        assert Predict(signature)(data="[1, 2]").sum == 3
