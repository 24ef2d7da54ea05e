"""A program with an `aforward` alone works wherever tunesmith calls a program, and so do parts like that."""

import asyncio
import warnings
from pathlib import Path
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tests.cli.conftest import run
from tests.protocol.models import FakeModel
from tests.protocol.server import ProtocolServer
from tunesmith.errors import BudgetExceeded, UsageError
from tunesmith.lm import FunctionLM, Meter
from tunesmith.modules import Finished, copy_program

DATA = [dspy.Example(text=f"t{i}", mood="good").with_inputs("text") for i in range(24)]
METRIC = ts.metrics.exact_match("mood")


class Alone(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.ask = ts.Predict("text -> mood")

    async def aforward(self, text: str) -> Any:
        await asyncio.sleep(0)
        return await self.ask.acall(text=text)


class AsyncOverAsync(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Alone()

    async def aforward(self, text: str) -> Any:
        return await self.inner.acall(text=text)


class SyncOverAsync(AsyncOverAsync):
    def forward(self, text: str) -> Any:
        return self.inner(text=text)


class SyncInAList(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.steps = [Alone()]

    def forward(self, text: str) -> Any:
        return self.steps[0](text=text)


class RunsALoop(SyncOverAsync):
    def forward(self, text: str) -> Any:
        return asyncio.run(self.inner.acall(text=text))


class Gathers(Alone):
    async def aforward(self, text: str) -> Any:
        first, _ = await asyncio.gather(self.ask.acall(text=text), self.ask.acall(text=f"{text}!"))
        return first


PROGRAMS = [Alone, AsyncOverAsync, SyncOverAsync, SyncInAList, RunsALoop, Gathers]


def say(_: Any) -> str:
    return "good"


@pytest.fixture(params=PROGRAMS)
def program(request: pytest.FixtureRequest) -> dspy.Module:
    found: dspy.Module = request.param()
    return found


@pytest.mark.parametrize("slots", [1, 4])
def test_it_is_evaluated(program: dspy.Module, slots: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = ts.evaluate(program, DATA, METRIC, lm=FunctionLM(say, slots=slots))
    assert (report.mean, report.errors) == (1.0, 0)
    assert all(row.calls for row in report.rows)


def test_it_is_compiled_and_what_comes_out_can_be_called(program: dspy.Module) -> None:
    model = FunctionLM(say)
    compiler = ts.BootstrapFewShot(metric=METRIC, max_bootstrapped_demos=1, max_labeled_demos=1)
    result = ts.compile(
        program, metric=METRIC, trainset=DATA[:8], valset=DATA[8:16], testset=DATA[16:], compiler=compiler, lm=model
    )
    assert result.compiled.mean == 1.0
    with dspy.context(lm=model):
        assert result.program(text="again").mood == "good"
        assert (
            asyncio.run(result.program.acall(text="again")).mood == "good"
            if hasattr(type(program), "aforward")
            else True
        )


def test_it_is_shown_and_streamed(program: dspy.Module) -> None:
    assert "hello" in ts.render(program, text="hello").messages[-1]["content"]
    events = list(ts.stream(program, lm=FunctionLM(say), text="hello"))
    assert isinstance(events[-1], Finished)
    assert "good" in "".join(event.text for event in events[:-1])


def test_it_is_streamed_in_a_coroutine(program: dspy.Module) -> None:
    async def last() -> Any:
        return [event async for event in ts.stream(program, lm=FunctionLM(say), text="hello")][-1]

    assert asyncio.run(last()).prediction.mood == "good"


def test_it_is_called_inside_of_an_event_loop() -> None:
    copied = copy_program(Alone())

    async def call() -> Any:
        return copied(text="hello")

    with dspy.context(lm=FunctionLM(say)):
        assert asyncio.run(call()).mood == "good"


def test_what_it_raises_inside_of_an_event_loop_is_raised() -> None:
    async def call() -> Any:
        return copy_program(Alone())(nothing="hello")

    with pytest.raises(TypeError, match="nothing"):
        asyncio.run(call())


def test_the_program_itself_stays_as_it_is() -> None:
    program = Alone()
    ts.evaluate(program, DATA[:1], METRIC, lm=FunctionLM(say))
    assert "forward" not in program.__dict__


def test_its_calls_are_counted_and_stopped_by_the_budget() -> None:
    meter = Meter(ts.Budget(calls=5))
    with pytest.raises(BudgetExceeded):
        ts.evaluate(Gathers(), DATA, METRIC, lm=FunctionLM(say), meter=meter)
    assert meter.charged.calls == 5


def test_its_failures_are_its_own() -> None:
    class Broken(Alone):
        async def aforward(self, text: str) -> Any:
            raise ValueError(text)

    report = ts.evaluate(Broken(), DATA[:2], METRIC, lm=FunctionLM(say))
    assert [row.failure.message for row in report.rows if row.failure is not None] == ["t0", "t1"]


def test_the_command_line_predicts_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ts.save(tmp_path / "a", Alone())
    monkeypatch.chdir(tmp_path)
    with ProtocolServer(models=[FakeModel("m", reply="good")]) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        found = run("predict", "a", "--allow", f"{__name__}:Alone", "--lm", "ollama/m", "text=hello")
    assert (found.exit_code, found.stdout) == (0, "mood: good\n"), found.stderr


class Misnamed(Alone):
    async def forward(self, text: str) -> Any:
        return await self.ask.acall(text=text)


def test_an_asynchronous_forward_is_refused_before_the_first_call() -> None:
    """It scored 0.0 on every example: what a call returned was a coroutine."""
    lm = FunctionLM(say)

    with pytest.raises(UsageError, match="Rename it to `aforward`"):
        ts.evaluate(Misnamed(), DATA, METRIC, lm=lm)
    with pytest.raises(UsageError, match="Rename it to `aforward`"):
        ts.compile(Misnamed(), metric=METRIC, trainset=DATA[:8], valset=DATA[8:], lm=lm, budget=40)
    with pytest.raises(UsageError, match="Rename it to `aforward`"):
        ts.render(Misnamed(), text="x")

    assert lm.requests == []
