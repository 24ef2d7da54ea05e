"""A memory shows the last turns within its budget and earlier ones that matter; the conversation is a value."""

import copy
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dspy
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tunesmith as ts
from tests.each import each
from tunesmith.errors import UsageError
from tunesmith.lm import FunctionLM, Seen
from tunesmith.modules import Candidate, calls_of, program_inputs
from tunesmith.modules.agents.conversation import fitting, turn_text
from tunesmith.modules.retrieval.chunking import token_count

STEP = "memory, message -> reply"


def chat(**options: Any) -> ts.Memory:
    return ts.Memory(ts.Predict(STEP), **options)


def talk(count: int) -> list[dict[str, str]]:
    """Return small talk of that many turns, of 12 tokens each; the second one says something."""
    past = [{"message": f"And what about day {n}?", "reply": "Fine."} for n in range(count)]
    past[1] = {"message": "My cat is called Mimi.", "reply": "Nice."}
    return past


def test_a_turn_is_added_and_the_next_call_reads_it() -> None:
    lm = ts.ScriptedLM("Hello Ada!", "You are Ada.")
    with dspy.context(lm=lm):
        first = chat()(message="I am Ada.")
        second = chat()(message="Who am I?", past=first.past)
    assert second.past == [
        {"message": "I am Ada.", "reply": "Hello Ada!"},
        {"message": "Who am I?", "reply": "You are Ada."},
    ]
    assert first.past == second.past[:1]
    assert "Nothing was said before." in lm.requests[0].messages[-1].text
    assert "Last turns:\n  [1] message: I am Ada.\n    reply: Hello Ada!" in lm.requests[1].messages[-1].text


def test_what_does_not_fit_is_recalled_if_it_matters() -> None:
    text = chat(tokens=40, recalled=1).recall(talk(9), "message: What is my cat called?")
    assert text == (
        "Earlier turns that may matter:\n[2] message: My cat is called Mimi.\n  reply: Nice.\n"
        "Last turns:\n[8] message: And what about day 7?\n  reply: Fine.\n[9] message: And what about day 8?\n  reply: Fine."
    )
    assert "Mimi" not in chat(tokens=40, recalled=0).recall(talk(9), "What is my cat called?")
    assert "Earlier" not in chat(tokens=40, recalled=2).recall(talk(9), "xyz")


def test_recalled_turns_stand_in_their_order() -> None:
    past = [{"note": f"tea {'milk ' * n}"} for n in (1, 3, 2)] + talk(4)
    text = chat(tokens=30, recalled=3).recall(past, "tea with milk milk")
    assert text.index("[1]") < text.index("[2]")


def test_vectors_recall_by_meaning_and_each_turn_is_embedded_once() -> None:
    asked: list[str] = []

    def embed(texts: list[str]) -> list[list[float]]:
        asked.extend(texts)
        return [[float("cat" in text or "pet" in text), 1.0] for text in texts]

    program = chat(tokens=40, recalled=1, embed=embed)
    assert "Mimi" in program.recall(talk(9), "the name of my pet")
    assert "Mimi" in copy.deepcopy(program).recall(talk(10), "the name of my pet")
    assert len(asked) == (7 + 1) + (1 + 1)


def test_a_turn_that_is_longer_than_the_budget_is_cut() -> None:
    text = chat(tokens=20).recall([{"message": "word " * 50}], "x")
    assert text.endswith("(The rest is left out.)")
    assert token_count(text) < 35


@given(st.lists(st.text(alphabet="ab \n.[]:1", max_size=40), max_size=12), st.integers(20, 40))
def test_the_budget_holds_and_no_text_forges_a_turn(messages: list[str], tokens: int) -> None:
    text = chat(tokens=tokens, recalled=2).recall([{"message": one, "reply": "ok"} for one in messages], "a")
    assert token_count(text) <= 2 * (tokens + 15)
    turns = [line for line in text.splitlines() if line.startswith("[")]
    assert len(turns) <= len(messages)
    assert len([line for line in text.splitlines() if line.startswith("  reply: ")]) <= len(turns)


@given(st.lists(st.text(max_size=30), max_size=8), st.integers(1, 20))
def test_what_fits_is_the_beginning(texts: list[str], tokens: int) -> None:
    kept = fitting(texts, tokens)
    assert kept == texts[: len(kept)] or (len(kept) == 1 and token_count(texts[0]) > tokens)


def test_values_of_any_kind_are_kept_as_json() -> None:
    class Sized(ts.Signature):
        """Say the size."""

        memory: str = ts.InputField()
        sizes: list[int] = ts.InputField()
        size: int = ts.OutputField()

    with dspy.context(lm=ts.ScriptedLM('{"reasoning": "r", "size": 3}')):
        found = ts.Memory(ts.ChainOfThought(Sized))(sizes=[1, 2])
    assert found.past == [{"sizes": [1, 2], "size": 3}]
    assert turn_text(found.past[0], 1) == "[1] sizes: [1, 2]\n  size: 3"


def test_its_inputs_are_those_of_the_step_and_a_past_that_may_be_absent() -> None:
    known = program_inputs(chat())
    assert known.names == ("message", "past")
    assert known.signature is not None
    assert not known.signature.input_fields["past"].is_required()
    assert calls_of(chat()) == (1, True)
    program = ts.Chain(ask=ts.Predict("topic -> message"), chat=chat())
    with dspy.context(lm=ts.ScriptedLM("How are you?", "Fine.")):
        assert program(topic="mood").past == [{"message": "How are you?", "reply": "Fine."}]


def test_a_compile_tries_its_settings_on_conversations_that_the_examples_hold(tmp_path: Path) -> None:
    def reply(seen: Seen) -> str:
        return "Mimi" if "Mimi" in seen.request.messages[-1].text else "?"

    rows = [
        dspy.Example(message=f"What is my cat called, {n}?", past=talk(60), reply="Mimi").with_inputs("message", "past")
        for n in range(8)
    ]
    found = ts.compile(
        chat(tokens=200, recalled=0),
        metric=ts.metrics.exact_match("reply"),
        trainset=rows[:4],
        valset=rows[4:],
        compiler=ts.RandomSearch(),
        lm=FunctionLM(reply),
    )
    assert found.program.recalled or found.program.tokens == 1000
    ts.save(tmp_path / "chat", found.program)
    loaded = ts.load(tmp_path / "chat")
    assert Candidate.of(loaded) == Candidate.of(found.program)
    report = ts.evaluate(loaded, [dspy.Example(message="Hi", reply="?").with_inputs("message")] * 2,
                         ts.metrics.exact_match("reply"), lm=FunctionLM(reply))  # fmt: skip
    assert report.mean == 1.0


def test_many_conversations_use_one_memory() -> None:
    program = chat()

    def run(number: int) -> Any:
        with dspy.context(lm=FunctionLM(lambda seen: f"re {seen.text.count('[1]')}")):
            past: list[Any] = []
            for _ in range(3):
                past = program(message=f"I am {number}.", past=past).past
        return [turn["message"] for turn in past]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, range(8))) == [[f"I am {n}."] * 3 for n in range(8)]


@each(
    "make, said",
    [
        (lambda: ts.Memory(ts.Predict("message -> reply")), "needs an input `memory`"),
        (lambda: ts.Memory(ts.Predict("memory, past -> reply")), "has a field `past`"),
        (lambda: ts.Memory(STEP), "must be a module"),  # type: ignore[arg-type]
        (lambda: chat(embed=5), "`embed` must be"),
        (lambda: chat(tokens=0), "at least 20"),
        (lambda: chat()(message="x", past="y"), "list of turns"),
        (lambda: chat()(message="x", past=["y"]), "list of turns"),
        (lambda: chat()(past=[]), "needs `message`"),
    ],
)
def test_a_memory_that_cannot_work_is_refused(make: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make()


def test_a_history_of_dspy_is_a_conversation() -> None:
    past = dspy.History(messages=[{"message": "I am Ada.", "reply": "Hello!"}])
    with dspy.context(lm=ts.ScriptedLM("You are Ada.")):
        found = chat()(message="Who am I?", past=past)
    assert found.past == [*past.messages, {"message": "Who am I?", "reply": "You are Ada."}]
