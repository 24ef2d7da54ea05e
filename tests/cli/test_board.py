"""The table of candidates that a compile shows on a terminal."""

import io
import os
import pty

import pytest
from rich.console import Console

import tunesmith as ts
from tunesmith.cli.board import Board
from tunesmith.compilers import Standing
from tunesmith.evaluation import Report, Row
from tunesmith.experiments import ProgressLine
from tunesmith.modules import Candidate

GIVEN = Candidate.of(ts.Predict("text -> label"))


def standing(number: int, right: int, n: int, *, of: int = 20, instruction: str = "Sort it.") -> Standing:
    rows = tuple(Row(str(k), {"label": "a"}, float(k < right), calls=1, tokens=50, cached=k % 2 == 0) for k in range(n))
    candidate = GIVEN.with_part("self", instruction=instruction) if number else GIVEN
    return Standing(number, candidate, "draws [/b]", Report(rows), of)


def drawn(board: Board, width: int = 110, height: int = 30) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, height=height).print(board.shown(width, height))
    return [line.rstrip() for line in out.getvalue().splitlines()]


@pytest.fixture
def board() -> Board:
    found = Board(lambda: "ETA 2 min, 60 of 90 calls charged")
    for one in (
        standing(0, 8, 20),
        standing(1, 4, 4),
        standing(2, 15, 20, instruction="Name the [red]topic[/red].\n\nOne word."),
        standing(3, 5, 10),
    ):
        found.take(one)
    return found


def test_the_best_that_was_seen_on_every_example_leads_with_its_prompt(board: Board) -> None:
    header, best, *rest = drawn(board)
    assert header.split() == ["candidate", "score", "95", "%", "examples", "calls", "tokens", "cached", "from"]
    assert best.split() == [
        "*",
        "candidate",
        "2",
        "0.750",
        "0.531-0.888",
        "20/20",
        "20",
        "1,000",
        "10",
        "draws",
        "[/b]",
    ]
    assert [line[2:18].strip() for line in rest[:3]] == ["program as given", "candidate 3", "candidate 1"]
    assert rest[1].startswith(">"), "it is evaluated now"
    assert rest[3:] == [
        "Best prompt so far: candidate 2, 0 demos, format bare",
        "  Name the [red]topic[/red].",
        "  One word.",
        "ETA 2 min, 60 of 90 calls charged",
    ]


def test_a_small_terminal_shows_the_leaders_and_what_is_evaluated_now(board: Board) -> None:
    for number in range(4, 40):
        board.take(standing(number, 1, 4))
    lines = drawn(board, 80, 12)
    assert len(lines) <= 11
    assert max(map(len, lines)) <= 80
    assert any("candidate 39" in line for line in lines)
    assert any(line.strip().startswith("and ") for line in lines)


def test_a_candidate_is_told_of_once_when_it_was_seen_on_every_example(board: Board) -> None:
    assert board.take(standing(3, 6, 12)) is None
    assert str(board.take(standing(3, 12, 20))).startswith("candidate 3 (draws [/b]): 0.600 [")
    assert board.take(standing(3, 12, 20)) is None


def test_on_a_terminal_the_table_is_above_the_line_and_gone_afterwards(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("LINES", "30")
    reader, writer = pty.openpty()
    with os.fdopen(writer, "w", encoding="utf-8") as terminal:
        with ProgressLine(terminal, above=board.shown) as line:
            line.tell("candidate 3 of 4", 5, 10)
            line.say("not here")
        shown = os.read(reader, 100_000).decode()
    os.close(reader)
    assert "candidate 2" in shown
    assert "Best prompt so far" in shown
    assert "not here" not in shown
    assert shown.count("\x1b[2K") >= 8, "its lines are erased"
