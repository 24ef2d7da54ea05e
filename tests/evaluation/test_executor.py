"""An executor is one class that registers where it is defined, and is found by its name everywhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import dspy
import pytest

import tunesmith as ts
from tunesmith.errors import UsageError
from tunesmith.evaluation import Executor, executor_names, register_executor
from tunesmith.evaluation.executor import current_executor
from tunesmith.experiments import Project
from tunesmith.lm import FunctionLM


@register_executor
class Counting(Executor):
    """Threads that count what they evaluate."""

    name: ClassVar[str] = "counting"
    events: ClassVar[list[str]] = []

    @contextmanager
    def seat(self, subject: Any) -> Iterator[Any]:
        def evaluate(*given: Any) -> Any:
            self.events.append("evaluated")
            return subject.evaluate(*given)

        yield evaluate

    def close(self) -> None:
        self.events.append("closed")


def right(example: Any, prediction: Any, trace: object = None) -> bool:
    return True


def examples(count: int, start: int = 0) -> list[dspy.Example]:
    return [dspy.Example(q=f"q{n}", a="x").with_inputs("q") for n in range(start, start + count)]


def test_it_is_found_by_evaluate_and_closed_afterwards() -> None:
    Counting.events.clear()

    ts.evaluate(ts.Predict("q -> a"), examples(3), right, lm=FunctionLM(lambda seen: "x"), executor="counting")

    assert Counting.events == ["evaluated"] * 3 + ["closed"]
    assert current_executor().name == "threads"


def test_it_is_found_by_compile_and_by_the_projects_file(tmp_path: Path) -> None:
    Counting.events.clear()
    (tmp_path / "tunesmith.toml").write_text('[compile]\nexecutor = "counting"\n')

    ts.compile(
        ts.Predict("q -> a"),
        metric=right,
        trainset=examples(4),
        valset=examples(3, 10),
        compiler=ts.LabeledFewShot(k=1, metric=right),
        lm=FunctionLM(lambda seen: "x"),
        executor=Project.load(tmp_path).settings.compile.executor,
    )

    assert Counting.events == ["evaluated"] * 6 + ["closed"]


def test_the_default_is_named_first() -> None:
    assert executor_names()[0] == "threads"
    assert {"counting", "processes"} <= set(executor_names())


@pytest.mark.parametrize("name", ["elsewhere", "", 3])
def test_another_name_is_refused_with_those_there_are(name: Any) -> None:
    with pytest.raises(UsageError, match=r"There is no executor .*threads.*processes"):
        ts.evaluate(ts.Predict("q -> a"), examples(1), right, lm=FunctionLM(lambda seen: "x"), executor=name)
