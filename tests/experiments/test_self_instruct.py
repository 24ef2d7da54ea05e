"""Self-Instruct on doubles: what is shown, what is left out, what a row says."""

import json
from typing import Any

import pytest

import tunesmith as ts
from tests.each import each
from tunesmith.errors import RowError, UsageError
from tunesmith.experiments import SeedTask, Synthesis, SynthSettings, new_tasks, seed_tasks
from tunesmith.lm import Budget, ReplyCache, Seen

VERBS = ("describe", "explain", "translate", "rewrite", "summarise", "compare", "list", "rank", "name", "invent")
SEEDS = tuple(
    SeedTask(f"Please {verb} the {verb}able thing of number {place}.", (("in", "out"),), bool(place % 2))
    for place, verb in enumerate(VERBS)
)
GOOD = "Tell which of both animals is larger."


class Teacher:
    """Proposes the given tasks, calls a task a classification if it says "which", and gives the examples."""

    def __init__(self, *rounds: list[str], examples: Any = None, **lm: Any) -> None:
        self.rounds, self.examples = list(rounds), examples
        self.asked: list[tuple[str, str]] = []
        self.lm = ts.FunctionLM(self.reply, **lm)

    def reply(self, seen: Seen) -> str:
        kinds = {"series of new tasks": "tasks", "regarded as": "kind", "each of its class labels": "labelled"}
        kind = next((kind for text, kind in kinds.items() if text in seen.system), "examples")
        self.asked.append((kind, seen.text))
        if kind == "tasks":
            return json.dumps(self.rounds.pop(0) if self.rounds else [])
        if kind == "kind":
            return "true" if "which" in seen.text else "false"
        if self.examples is not None:
            return json.dumps(self.examples)
        if kind == "labelled":
            return json.dumps(
                [{"class_label": "cow", "input": "cow or hen"}, {"class_label": "ox", "input": "ox or cat"}]
            )
        return json.dumps([{"input": "", "output": "A text."}])

    def count(self, kind: str) -> int:
        return sum(asked == kind for asked, _ in self.asked)


def made(teacher: Teacher, budget: int = 100, seeds: tuple[SeedTask, ...] = SEEDS, **settings: Any) -> Synthesis:
    chosen = SynthSettings(**{"count": 1, **settings})
    return new_tasks(seeds, lm=teacher.lm, budget=Budget(calls=budget), settings=chosen)


def test_a_classification_gets_its_labels_first_and_another_task_its_inputs_first() -> None:
    teacher = Teacher([GOOD, "Write a short poem about the sea."])
    found = made(teacher, count=2)
    assert [(row["instruction"], row["input"], row["output"], row["is_classification"]) for row in found.rows] == [
        (GOOD, "cow or hen", "cow", True),
        (GOOD, "ox or cat", "ox", True),
        ("Write a short poem about the sea.", "", "A text.", False),
    ]
    assert [kind for kind, _ in teacher.asked] == ["tasks", "kind", "labelled", "kind", "examples"]
    assert (found.ended, found.made, found.charged.calls) == ("count", 2, 5)


def test_a_question_shows_eight_tasks_two_of_them_made() -> None:
    teacher = Teacher([GOOD], ["Sort these words by their length now."], ["Count the vowels inside this sentence."])
    made(teacher, count=3)
    shown = [text for kind, text in teacher.asked if kind == "tasks"]
    for number, text in enumerate(shown):
        seeds = sum(seed.instruction in text for seed in SEEDS)
        own = sum(task in text for task in (GOOD, "Sort these words"))
        assert (seeds, own) == (8 - number, number)


@each(
    "task, why",
    [
        ("Do this now", "a task of under 4 words"),
        (" ".join(["word"] * 151), "a task of over 150 words"),
        ("Draw a house with two windows.", "a task about what a language model cannot see or do"),
        ("Describe what the image shows.", "a task about what a language model cannot see or do"),
        ("Write a program that adds numbers.", "a task to write a program"),
        ("- Name a river of Norway.", "a task that starts with punctuation"),
        ("Écris un poème sur la mer.", "a task that starts with a character beyond ASCII"),
        (SEEDS[0].instruction.upper(), "a task like another one"),
    ],
)
def test_a_task_is_left_out_by_the_published_rules(task: str, why: str) -> None:
    found = made(Teacher([task, GOOD]))
    assert found.left_out == {why: 1}
    assert {row["instruction"] for row in found.rows} == {GOOD}


def test_the_filter_holds_against_made_tasks_too_and_lets_a_rouge_l_of_exactly_its_limit_pass() -> None:
    ten = "alpha beta gamma delta one two three four five six"
    at_limit = "alpha beta gamma delta one two three red green blue"  # ROUGE-L 0.7
    above = "alpha beta gamma delta one two three four green blue"  # 0.8
    found = made(Teacher([ten, above, at_limit]), count=2)
    assert list(dict.fromkeys(row["instruction"] for row in found.rows)) == [ten, at_limit]
    assert found.left_out == {"a task like another one": 1}
    assert found.rows[-1]["provenance"]["nearest"] == {"rouge_l": 0.7, "task": ten}


def test_characters_beyond_ascii_pass_if_the_seeds_have_them() -> None:
    seeds = (SeedTask("Übersetze den folgenden Satz."),)
    assert made(Teacher(["Äußere dich zu diesem Gedicht."]), seeds=seeds).made == 1


@each(
    "examples, kept, left",
    [
        (
            [("a", "a"), ("b", ""), ("c:", "x"), ("d", "y:"), ("e", "z")],
            [("e", "z")],
            {"an instance that is not usable": 4},
        ),
        ([("a", "x"), ("a", "x"), ("b", "y")], [("a", "x"), ("b", "y")], {}),
        ([(f"in {n}", f"out {n}") for n in range(7)], [(f"in {n}", f"out {n}") for n in range(5)], {}),
        (
            [("a", "x"), ("a", "y")],
            [],
            {"a task with two outputs for one input": 1, "a task without a usable instance": 1},
        ),
    ],
)
def test_instances_are_left_out_by_the_published_rules(examples: Any, kept: Any, left: dict[str, int]) -> None:
    pairs = [{"input": given, "output": output} for given, output in examples]
    found = made(Teacher(["Write a short poem about the sea."], examples=pairs), patience=1)
    assert [(row["input"], row["output"]) for row in found.rows] == kept
    assert found.left_out == left


def test_every_row_says_how_it_was_made() -> None:
    (row, _) = made(Teacher(["one two"], [GOOD])).rows
    told = row["provenance"]
    assert (told["method"], told["round"], told["seed"]) == ("self-instruct", 2, 0)
    assert told["model"]["name"] == "function"
    assert len(told["shown"]) == 8
    assert set(told["nearest"]) == {"rouge_l", "task"}
    json.dumps(row)


def test_it_ends_with_its_budget_and_keeps_what_was_made() -> None:
    found = made(Teacher([GOOD], ["Sort these words by their length now."]), budget=5, count=2)
    assert (found.ended, found.made, found.charged.calls, len(found.rows)) == ("budget", 1, 5, 2)


def test_it_ends_after_rounds_without_anything_new_and_counts_replies_it_cannot_read() -> None:
    lm = ts.FunctionLM(lambda seen: "no list")
    found = new_tasks(SEEDS, lm=lm, budget=Budget(calls=100), settings=SynthSettings(count=1, patience=3))
    assert (found.ended, found.rounds, found.rows) == ("patience", 3, ())
    assert sum(found.left_out.values()) == 3


def test_the_same_call_goes_on_from_the_cache(tmp_path: Any) -> None:
    rounds = ([GOOD], ["Sort these words by their length now."])
    first = made(Teacher(*rounds, cache=ReplyCache(tmp_path)), budget=4, count=2)
    second = made(Teacher(rounds[1], cache=ReplyCache(tmp_path)), budget=50, count=2)
    assert first.ended == "budget"
    assert second.rows[: len(first.rows)] == first.rows
    assert (second.made, second.charged.calls, second.paid.calls) == (2, 6, 2)


def test_a_round_draws_at_the_published_temperature_and_another_seed_draws_anew() -> None:
    teacher = Teacher([GOOD])
    made(teacher)
    first, kind, *_ = teacher.lm.requests
    assert (first.config.temperature, first.config.top_p) == (0.7, 0.5)
    assert kind.config.temperature == 0.0
    other = Teacher([GOOD])
    made(other, seed=1)
    assert other.asked[0] != teacher.asked[0]


def test_seeds_are_read_from_both_shapes_and_others_are_refused() -> None:
    own = {"instruction": "a b", "instances": [{"input": "", "output": "x"}], "is_classification": True}
    alpaca = [{"instruction": "c d", "input": "i", "output": "o"}, {"instruction": "c d", "output": "p"}]
    assert seed_tasks(enumerate([own, *alpaca], 1), "s.jsonl") == (
        SeedTask("a b", (("", "x"),), True),
        SeedTask("c d", (("i", "o"), ("", "p"))),
    )
    for row, message in (
        ({"text": "a"}, "`--signature`"),
        ({"instruction": "a", "instances": "b"}, "list of objects"),
        ({"instruction": "a", "instances": [{"input": "b"}]}, "texts"),
    ):
        with pytest.raises(RowError, match=rf"s\.jsonl:7: field `inst.*{message}"):
            seed_tasks([(7, row)], "s.jsonl")


def test_wrong_settings_are_refused() -> None:
    for settings in ({"count": 0}, {"patience": True}, {"similarity": 0}, {"shown": 1.5}):
        with pytest.raises(UsageError, match="must be"):
            SynthSettings(**settings)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="needs seeds"):
        made(Teacher(), seeds=())
