"""The live line: what is spent and left, and how long the rest takes at the speed of paid calls."""

import threading
import time

import pytest

from tunesmith.cli.progress import Spending, shown_progress
from tunesmith.lm import Budget, Call, FunctionLM, Meter, metered


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Run:
    """A meter that is charged by hand, a clock that is set by hand, and what is said of both."""

    def __init__(self, expected: int | None = None, **limits: float) -> None:
        self.meter, self.clock, self._made = Meter(), Clock(), 0
        self.spending = Spending(self.meter, Budget(**limits), expected_calls=expected, clock=self.clock)  # type: ignore[arg-type]

    def call(self, *, paid: bool = True) -> None:
        self._made += 1
        key = f"call {self._made}"
        self.meter.reserve(key)
        self.meter.settle(Call(key, "task", 90, 10, 0.5, paid))

    def evaluate(self, text: str, done: int, total: int, *, seconds: float = 1.0, calls: int = 1) -> str:
        for _ in range(calls):
            self.call()
        self.clock.now += seconds
        self.spending.see(text, done, total)
        return self.spending.note()


def test_before_the_first_call_nothing_is_said() -> None:
    assert Run(calls=100).spending.note() == ""


def test_spent_and_left_of_every_limit_are_said() -> None:
    run = Run(calls=1200, tokens=2000, seconds=60)
    for done in (1, 2, 3):
        note = run.evaluate("testing", done, 40)

    words = "3 of 1,200 calls charged (1,197 left), 3 paid, 300 of 2,000 tokens (1,700 left)"
    assert note == f"ETA at most 17 s, {words}, 1 of 60 s of the model (59 left)"
    assert _after_three(Run()) == "ETA 37 s, 3 calls charged, 3 paid, 300 tokens"


def test_a_small_budget_of_seconds_is_said_with_decimals() -> None:
    run = Run(seconds=0.75)
    note = [run.evaluate("testing", done, 40) for done in (1, 2, 3)][-1]
    assert note.endswith(", 1.5 of 0.75 s of the model (0 left)")


def _after_three(run: Run) -> str:
    return [run.evaluate("testing", done, 40) for done in (1, 2, 3)][-1]


def test_with_a_plan_the_time_is_up_to_what_it_expects_within_the_budget() -> None:
    assert "ETA 47 s," in _after_three(Run(expected=50))
    assert "ETA 47 s," in _after_three(Run(expected=50, calls=400))
    assert "ETA 17 s," in _after_three(Run(expected=50, calls=20))
    assert "ETA at most 17 s," in _after_three(Run(expected=2, calls=20)), "beyond the plan the budget is the bound"
    assert "ETA 37 s," in _after_three(Run(expected=2)), "and without one what is going on"


def test_without_either_the_calls_of_one_example_count() -> None:
    run = Run()
    run.evaluate("program as given", 1, 1, calls=3, seconds=3)
    assert "ETA 18 s," in run.evaluate("candidate 1", 1, 10, calls=2, seconds=2)


def test_only_paid_calls_say_how_fast_the_model_is() -> None:
    run = Run(expected=110)
    for done in range(1, 101):
        run.call(paid=False)
        run.clock.now += 0.001
        run.spending.see("program as given", done, 100)
    assert run.spending.note() == "100 calls charged, 0 paid, 10,000 tokens", "of the cache alone nothing is known"

    run.evaluate("candidate 1", 1, 10, seconds=20)
    assert "ETA 16 s," in run.evaluate("candidate 1", 2, 10, seconds=2), "the model was loaded before"


def test_calls_at_once_are_as_fast_as_they_are_together() -> None:
    run = Run(expected=108)
    run.evaluate("program as given", 8, 100, calls=8, seconds=1)
    assert "ETA 12 s," in run.evaluate("program as given", 16, 100, calls=8, seconds=1)


@pytest.mark.parametrize("cold", [6.0, 60.0, 600.0])
def test_the_time_that_loading_takes_is_not_taken_for_every_calls(cold: float) -> None:
    run = Run(expected=234)
    assert "ETA" not in run.evaluate("program as given", 1, 60, seconds=cold)
    for done in (2, 3):
        note = run.evaluate("program as given", done, 60, seconds=1.2)
    assert "ETA 4 min 40 s," in note, "231 calls of 1.2 s"


class Answer:
    """Tells when something was written to stderr."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys, self._text = capsys, ""

    def wait(self, words: str) -> None:
        end = time.monotonic() + 20
        while words not in self._text:
            assert time.monotonic() < end, self._text
            self._text += self._capsys.readouterr().err


def test_a_single_call_that_takes_long_gives_a_sign_of_life(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress(quiet=False, silent=0.0, waiting="waiting for embedded"):
        Answer(capsys).wait("waiting for embedded")


def test_what_was_told_in_time_is_no_silence(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress(quiet=False, silent=1000.0) as tell:
        tell("program as given", 1, 2)
    with shown_progress(quiet=True, silent=0.0):
        pass
    assert "waiting" not in capsys.readouterr().err


def test_the_speed_follows_the_model() -> None:
    run = Run(expected=1000)
    for done in range(200):
        run.evaluate("program as given", done, 200, seconds=1)
    for done in range(300):
        note = run.evaluate("candidate 1", done, 500, seconds=3)
    assert "ETA 25 min," in note


@pytest.mark.parametrize(
    ("expected", "said"),
    [(61, "59 s"), (62, "1 min"), (63, "1 min 10 s"), (92, "1 min 30 s"), (602, "10 min"), (7403, "2 h 4 min")],
)
def test_times_are_in_words(expected: int, said: str) -> None:
    run = Run(expected=expected)
    run.evaluate("testing", 1, 9)
    assert run.evaluate("testing", 2, 9).startswith(f"ETA {said},")


def test_at_the_end_there_is_no_time_left() -> None:
    assert "ETA" not in Run(calls=1).evaluate("testing", 1, 1)
    assert "(0 left)" in Run(tokens=50).evaluate("testing", 1, 1)


def test_many_threads_may_tell_at_once() -> None:
    run = Run(expected=10_000)
    workers = [
        threading.Thread(target=lambda: [run.evaluate("testing", n, 50, seconds=0.0) for n in range(50)])
        for _ in range(8)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert run.meter.charged.calls > 0
    assert "calls charged" in run.spending.note()


def test_calls_inside_are_counted_and_told_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    clock, model = Clock(), FunctionLM(lambda seen: "red")

    with shown_progress(quiet=False, budget=Budget(calls=20), expected_calls=9, clock=clock) as tell:
        tell("program as given", 0, 10)
        for done in (1, 2, 3):
            with metered():
                model(f"thing {done}")
            clock.now += 6
            tell("program as given", done, 10)

    said = capsys.readouterr()
    assert said.out == ""
    first, *_, last = said.err.splitlines()
    assert first == "program as given 0/10"
    assert last.startswith("program as given 3/10  ETA 36 s, 3 of 20 calls charged (17 left), 3 paid, ")


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress(quiet=True, budget=Budget(calls=3)) as tell:
        tell("program as given", 1, 10)
    assert capsys.readouterr() == ("", "")
