"""A tool validates and converts its arguments, and one with side effects does not run in a trial."""

import asyncio
import copy
import threading
from typing import Annotated, Any, Literal

import dspy
import pytest
from pydantic import BaseModel, Field

import tunesmith as ts
from tests.each import each
from tunesmith.errors import UsageError
from tunesmith.modules.agents.tool import as_tool, result_text


class Place(BaseModel):
    city: str


def book(place: Place, nights: int, smoking: bool = False, kind: Literal["single", "double"] = "single") -> Any:
    """Book a room.

    The rest of the docstring is not for the model.
    """
    return place, nights, smoking, kind


@each(
    "given, expected",
    [
        ({"place": {"city": "Oslo"}, "nights": "2"}, (Place(city="Oslo"), 2, False, "single")),
        ({"place": {"city": 5}, "nights": 2.0, "kind": "double"}, None),
        ({"place": {"city": "Oslo"}, "nights": 2, "smoking": "true"}, (Place(city="Oslo"), 2, True, "single")),
    ],
)
def test_arguments_are_converted_to_the_types_of_the_function(given: dict[str, Any], expected: Any) -> None:
    tool = ts.Tool(book)
    if expected is None:
        with pytest.raises(UsageError, match=r"`place.city`"):
            tool(**given)
    else:
        assert tool(**given) == expected


def test_a_number_is_a_text_where_a_text_is_asked_for() -> None:
    def echo(text: str) -> str:
        return text

    assert ts.Tool(echo)(text=5) == "5"


@each(
    "given, said", [({"nights": 1}, "`place`"), ({"place": {"city": "x"}, "nights": 1, "days": 3}, "no such argument")]
)
def test_arguments_that_do_not_fit_are_named_with_what_fits(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said) as error:
        ts.Tool(book)(**given)
    assert "book(place: Place, nights: int, smoking?: bool" in str(error.value)


def test_the_words_are_the_first_paragraph_and_the_descriptions_of_arguments() -> None:
    def find(query: Annotated[str, Field(description="a few words")], k: Annotated[int, "how many"] = 3) -> str:
        """Find a page."""
        return query * k

    tool = ts.Tool(find)
    assert (tool.name, tool.form) == ("find", "find(query: str, k?: int)")
    assert tool.words == "Find a page. `query`: a few words `k`: how many"
    assert ts.Tool(book).words == "Book a room."


def test_an_argument_may_have_any_name() -> None:
    def odd(self: int, config: str, signature: str = "x") -> str:
        return f"{self} {config} {signature}"

    assert ts.Tool(odd)(self="1", config="c") == "1 c x"


@each(
    "function, said",
    [
        (lambda x: x, "name"),
        (lambda *given: given, "name"),
        (5, "made from a function"),
        (print, "name and a type"),
    ],
)
def test_a_function_without_types_is_refused(function: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        ts.Tool(function)


def test_a_parameter_without_a_type_is_named() -> None:
    def f(a: int, b) -> int:  # type: ignore[no-untyped-def]
        return a + int(b)

    with pytest.raises(UsageError, match="`b` of `f`"):
        ts.Tool(f)


def test_an_async_function_runs_sync_too_also_inside_a_loop() -> None:
    async def slow(n: int) -> int:
        await asyncio.sleep(0)
        return n + 1

    tool = ts.Tool(slow)

    async def inside() -> tuple[int, int]:
        return tool(n=1), await tool.acall(n=2)

    assert (tool(n=0), asyncio.run(inside())) == (1, (2, 3))


def test_a_tool_of_dspy_and_a_copy_work() -> None:
    def double(x: int) -> int:
        """Double it."""
        return 2 * x

    tool = as_tool(dspy.Tool(double, name="twice", desc="Two times."))
    assert (tool.name, tool.description, tool(x="4")) == ("twice", "Two times.", 8)
    assert copy.deepcopy(tool) is tool


@each("value, text", [("a\nb", "a\nb"), (Place(city="Oslo"), '{"city": "Oslo"}'), ([1, None], "[1, null]"), ("é", "é")])
def test_results_are_read_as_text(value: Any, text: str) -> None:
    assert result_text(value) == text


# Side effects -----------------------------------------------------------------------------------------------


class Desk(dspy.Module):
    """A program whose tool pays."""

    def __init__(self, tool: ts.Tool, in_thread: bool = False) -> None:
        super().__init__()
        self.step = ts.Predict("question -> answer")
        self.tool, self.in_thread = tool, in_thread

    def forward(self, question: str) -> dspy.Prediction:
        found = self.step(question=question)
        said: list[str] = []

        def work() -> None:
            try:
                said.append(self.tool(amount=1))
            except UsageError as error:
                said.append(str(error))

        if self.in_thread:
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        else:
            work()
        return dspy.Prediction(answer=f"{found.answer}: {said[0]}")


def paying(paid: list[int], **options: Any) -> ts.Tool:
    def pay(amount: int) -> str:
        paid.append(amount)
        return "paid"

    return ts.Tool(pay, side_effects=True, **options)


ROWS = [dspy.Example(question=f"q{n}", answer="x").with_inputs("question") for n in range(3)]


def score(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> float:
    return float("did not run" in prediction.answer)


@each("in_thread", [False, True])
def test_a_tool_with_side_effects_does_not_run_in_an_evaluation(in_thread: bool) -> None:
    paid: list[int] = []
    program = Desk(paying(paid), in_thread)
    report = ts.evaluate(program, ROWS, score, lm=ts.FunctionLM(lambda seen: "x"))
    assert (paid, report.mean) == ([], 1.0)
    with dspy.context(lm=ts.FunctionLM(lambda seen: "x")):
        assert program(question="q").answer == "x: paid"
    assert paid == [1]


def test_a_tool_with_side_effects_does_not_run_in_a_compile() -> None:
    paid: list[int] = []
    ts.compile(
        Desk(paying(paid)),
        metric=score,
        trainset=ROWS[:2],
        valset=ROWS[2:],
        compiler=ts.BootstrapFewShot(),
        lm=ts.FunctionLM(lambda seen: "x"),
    )
    assert paid == []


def test_what_is_given_instead_runs_in_an_evaluation() -> None:
    paid: list[int] = []
    program = Desk(paying(paid, instead=lambda amount: f"would pay {amount}"))
    report = ts.evaluate(program, ROWS[:1], score, lm=ts.FunctionLM(lambda seen: "x"))
    assert paid == []
    assert dict(report.rows[0].outputs or {}) == {"answer": "x: would pay 1"}


def test_a_call_that_takes_too_long_is_an_error_and_one_in_time_is_none() -> None:
    late = threading.Event()

    def hang(x: int) -> str:
        late.wait(30)
        return "late"

    async def sleep(x: int) -> str:
        await asyncio.sleep(30)
        return "late"

    try:
        for function in (hang, sleep):
            tool = ts.Tool(function, seconds=0.05)
            with pytest.raises(UsageError, match=r"did not answer within 0\.05 seconds"):
                tool(x=1)
            with pytest.raises(UsageError, match=r"did not answer within 0\.05 seconds"):
                asyncio.run(tool.acall(x=1))
    finally:
        late.set()

    class Caller:
        async def __call__(self, x: int) -> int:
            return 2 * x

    assert ts.Tool(Caller(), seconds=30)(x=2) == 4

    def fail(x: int) -> int:
        raise TimeoutError("own")

    assert ts.Tool(double, seconds=30)(x=2) == asyncio.run(ts.Tool(double, seconds=30).acall(x=2)) == 4
    with pytest.raises(TimeoutError, match="own"):
        ts.Tool(fail, seconds=30)(x=1)
    with pytest.raises(UsageError, match="`seconds` must be a number"):
        ts.Tool(fail, seconds=-1)


def double(x: int) -> int:
    return 2 * x


def test_a_tool_of_dspy_whose_function_takes_anything_has_the_arguments_that_it_declares() -> None:
    async def any_(**given: Any) -> str:
        return str(given)

    made = dspy.Tool(
        any_,
        name="find",
        desc="Find.",
        args={"query": {"type": "string"}, "k": {"type": "integer", "default": 5}},
        arg_types={"query": str, "k": int},
        arg_desc={"query": "what to find"},
    )
    tool = as_tool(made)
    assert (tool.form, tool.words) == ("find(query: str, k?: int)", "Find. `query`: what to find")
    assert tool(query="a", k="2") == "{'query': 'a', 'k': 2}"
    with pytest.raises(UsageError, match="`other`: no such argument"):
        tool(query="a", other=1)
