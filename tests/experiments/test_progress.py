"""The progress line: live on a terminal, few plain lines elsewhere."""

import io
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tunesmith.experiments import ProgressLine


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_without_a_terminal_steps_that_are_soon_over_give_no_line_and_other_things_do() -> None:
    out, clock = io.StringIO(), Clock()

    with ProgressLine(out, clock=clock) as line:
        for done in range(1, 101):
            line.tell("program as given", done, 100)
        line.tell("candidate 1", 1, 10)
        line.tell("saving")

    assert out.getvalue().splitlines() == ["program as given 1/100", "saving"]


def test_without_a_terminal_a_long_thing_is_told_again_every_five_seconds() -> None:
    out, clock = io.StringIO(), Clock()

    with ProgressLine(out, clock=clock, note=lambda: "12 calls left") as line:
        for done in range(1, 12):
            line.tell("testing", done, 11)
            clock.now += 1

    assert out.getvalue().splitlines() == [f"testing {done}/11  12 calls left" for done in (1, 6, 11)]


@pytest.fixture
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")  # the tests themselves may run where nobody watches
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.mark.usefixtures("_terminal")
def test_on_a_terminal_the_line_is_live_and_gone_afterwards() -> None:
    out = Terminal()

    with ProgressLine(out, note=lambda: "3 calls left") as line:
        line.tell("program as given", 3, 10)
        line.tell("candidate 1", 10, 10)
        line.tell("bootstrapping")

    text = out.getvalue()
    assert "program as given" in text or "candidate 1" in text or "bootstrapping" in text
    assert "3 calls left" in text
    assert "\x1b[2K" in text, "the line is erased"


@pytest.mark.usefixtures("_terminal")
def test_an_error_inside_still_ends_the_live_line() -> None:
    out = Terminal()
    with pytest.raises(ZeroDivisionError), ProgressLine(out) as line:
        line.tell("testing", 1, 2)
        1 / 0  # noqa: B018
    assert "\x1b[?25h" in out.getvalue(), "the cursor is shown again"


@pytest.mark.usefixtures("_terminal")
@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_a_narrow_terminal_cuts_the_end_of_the_note_first(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    out = Terminal()

    with ProgressLine(out, note=lambda: "ETA 3 min, 120 of 400 calls charged (280 left), 12,345 tokens") as line:
        line.tell("candidate 12 of 16 on 88 examples", 30, 88)

    for part in ("candidate 12 of 16 on 88 examples", "30/88", "ETA 3 min"):
        assert part in out.getvalue()
    assert ("tokens" in out.getvalue()) == (columns > 110)
    assert out.getvalue().count("\n") == 1, "one line"


@pytest.mark.usefixtures("_terminal")
def test_threads_share_one_line() -> None:
    out = Terminal()
    with ProgressLine(out) as line, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda done: line.tell("testing", done, 40), range(40)))
    assert out.getvalue().count("\n") == 1


def test_it_writes_to_stderr_so_that_results_stay_clean(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressLine() as line:
        line.tell("testing", 1, 2)

    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "testing 1/2\n"
    assert not sys.stderr.isatty()
