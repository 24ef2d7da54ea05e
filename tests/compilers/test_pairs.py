"""Pairs of a good and a bad answer: where they come from, and how they are written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dspy

from tests.compilers.worlds import TRAIN, VAL, Colour, TwoSteps, colour_of, right
from tests.evaluation.replies import number, written
from tunesmith.compilers import BPO, Search, job_of
from tunesmith.compilers._pairs import Pair, harvest, write_pairs
from tunesmith.errors import RequestRefused
from tunesmith.lm import FunctionLM, Seen


def pairs_of(reply: Callable[[Seen], str], *, student: Any = None, runs: int = 3, gap: float = 0.5) -> Any:
    """Return the pairs of a model with a program, and the search."""
    program = dspy.Predict(Colour) if student is None else student
    search = Search(job_of(program, BPO(metric=right), trainset=TRAIN[:6], valset=VAL, lm=FunctionLM(reply)))
    return harvest(search, search.base, examples=6, runs=runs, gap=gap), search


def test_a_good_and_a_bad_draw_of_one_example_are_a_pair() -> None:
    def reply(seen: Seen) -> str:
        return written(seen, colour=colour_of(number(seen.text)) if seen.request.config.seed else "red")

    found, _ = pairs_of(reply)
    wrong = [example for example in TRAIN[:6] if example.colour != "red"]
    assert {pair.inputs["thing"]: pair.good["colour"] for pair in found["self"]} == {e.thing: e.colour for e in wrong}
    assert all(pair.bad == {"colour": "red"} and pair.gap == 1 for pair in found["self"])


def test_the_first_step_in_which_two_runs_part_gives_the_pair() -> None:
    def reply(seen: Seen) -> str:
        if seen.text.startswith("Guess"):
            return written(seen, colour=seen.text.split()[1])
        return written(seen, guess=colour_of(number(seen.text)) if seen.request.config.seed else "grey")

    found, _ = pairs_of(reply, student=TwoSteps())
    assert set(found) == {"first"}
    assert {pair.bad["guess"] for pair in found["first"] if pair.bad} == {"grey"}


def test_where_no_run_scores_the_label_is_the_good_answer() -> None:
    other = {"red": "green", "green": "blue", "blue": "red"}
    found, _ = pairs_of(lambda seen: written(seen, colour=other[colour_of(number(seen.text))]))
    assert [pair.good["colour"] for pair in found["self"]] == [other[other[p.bad["colour"]]] for p in found["self"]]
    assert len(found["self"]) == 6


def test_a_reply_that_cannot_be_read_is_a_bad_answer_without_text() -> None:
    def reply(seen: Seen) -> str:
        if not seen.request.config.seed:
            raise RequestRefused("not now")
        return written(seen, colour=colour_of(number(seen.text)))

    found, _ = pairs_of(reply)
    assert len(found["self"]) == 6
    assert all(pair.bad is None and "not now" in pair.feedback for pair in found["self"])


def test_a_gap_that_is_too_small_gives_no_pair() -> None:
    def half(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> float:
        return 0.6 if prediction.colour == "red" else 0.4

    model = FunctionLM(lambda seen: written(seen, colour="red" if seen.request.config.seed else "blue"))
    search = Search(job_of(dspy.Predict(Colour), BPO(metric=half), trainset=TRAIN[:6], valset=VAL, lm=model))
    assert harvest(search, search.base, examples=6, runs=2, gap=0.5) == {}
    assert len(harvest(search, search.base, examples=6, runs=2, gap=0.1)["self"]) == 6


def test_pairs_are_written_as_rows_of_bpo_and_of_dpo(tmp_path: Path) -> None:
    _, search = pairs_of(lambda seen: written(seen, colour="red"))
    pairs = [
        Pair("self", {"thing": "thing 1 ü\n"}, {"colour": "green"}, {"colour": "red"}, 1.0, "", TRAIN[0]),
        Pair("self", {"thing": "thing 2"}, {"colour": "blue"}, None, 1.0, "no answer", TRAIN[1]),
    ]
    write_pairs(tmp_path / "out", search, pairs, search.base.with_part("self", instruction="Name its colour."))

    (dpo,) = rows(tmp_path / "out" / "dpo.jsonl")
    assert (dpo["chosen"], dpo["rejected"]) == ("green", "red")
    assert "Say which colour the thing has." in dpo["prompt"]
    assert "thing 1 ü" in dpo["prompt"]
    (rewrite,) = rows(tmp_path / "out" / "rewrites.jsonl")
    assert list(rewrite) == ["prompt", "optimized_prompt", "good_res", "bad_res"]
    assert "Name its colour." in rewrite["optimized_prompt"]

    write_pairs(tmp_path / "out", search, pairs, search.base)
    assert rows(tmp_path / "out" / "rewrites.jsonl") == [], "no prompt was changed"


def rows(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
