"""New rows of a signature."""

import json
from typing import Any, Literal

import pytest

import tunesmith as ts
from tunesmith.errors import UsageError
from tunesmith.experiments import Synthesis, SynthSettings, new_rows
from tunesmith.lm import Budget, Seen

LABELLED = [
    {"text": f"The {thing} was {how}.", "label": label}
    for thing, label in (("soup", "food"), ("bread", "food"), ("bed", "room"), ("shower", "room"))
    for how in ("cold", "good")
]


def made(signature: Any, seeds: list[dict[str, Any]], lm: Any, **settings: Any) -> Synthesis:
    kind = signature if isinstance(signature, type) else ts.Signature(signature)
    data = ts.Dataset.load(seeds, signature=kind)
    return new_rows(data, kind, lm=lm, budget=Budget(calls=50), settings=SynthSettings(**{"count": 4, **settings}))


def test_labels_come_first_each_in_turn() -> None:
    asked: list[str] = []

    def reply(seen: Seen) -> str:
        asked.append(seen.text)
        number = len(asked)
        return json.dumps([{"text": f"{word * number} and {word * (number + 1)}"} for word in ("xy", "zw")])

    found = made("text -> label", LABELLED, ts.FunctionLM(reply))
    assert [row["label"] for row in found.rows] == ["food", "food", "room", "room"]
    assert len(asked) == 2
    assert "soup" in asked[0]
    assert "bed" not in asked[0]
    assert {row["provenance"]["order"] for row in found.rows} == {"label first"}


def test_every_label_of_the_type_is_asked_for() -> None:
    class Sort(ts.Signature):
        text: str = ts.InputField()
        label: Literal["food", "room", "staff"] = ts.OutputField()

    numbers = iter(range(10))
    lm = ts.FunctionLM(lambda seen: json.dumps([{"text": f"words{next(numbers)}"}]))
    assert [row["label"] for row in made(Sort, LABELLED, lm, count=3).rows] == ["food", "room", "staff"]


def test_without_labels_inputs_come_first_and_the_teacher_answers_with_seeds_as_demos() -> None:
    seeds = [{"question": f"What is {n} plus {n}?", "answer": str(2 * n)} for n in range(6)]
    requests: list[Seen] = []

    def reply(seen: Seen) -> str:
        requests.append(seen)
        return json.dumps([{"question": "How much is one dozen?"}]) if "new inputs" in seen.system else "12"

    found = made("question -> answer", seeds, ts.FunctionLM(reply), count=1)
    (row,) = found.rows
    assert (row["question"], row["answer"]) == ("How much is one dozen?", "12")
    assert len(requests[1].messages) == 9  # four demos and the question
    assert row["provenance"]["order"] == "inputs first"


def test_what_is_empty_or_like_another_one_is_left_out() -> None:
    replies = ["  ", "the SOUP was cold", "Nobody answered the phone at night.", "Nobody answered the phone at night!"]
    lm = ts.FunctionLM(lambda seen: json.dumps([{"text": text} for text in replies]))
    found = made("text -> label", LABELLED, lm, count=2, patience=1)
    assert [row["text"] for row in found.rows] == ["Nobody answered the phone at night."]
    assert found.left_out == {"an input like another one": 5, "an empty input": 2}
    assert found.ended == "patience"


def test_several_inputs_and_types_are_kept() -> None:
    seeds = [{"place": f"city {n}", "people": n, "note": f"text {n}"} for n in range(4)]
    replies = iter([json.dumps([{"place": "Bergen", "people": "9"}]), "wet"])
    found = made("place, people: int -> note", seeds, ts.FunctionLM(lambda seen: next(replies)), count=1)
    assert {name: found.rows[0][name] for name in ("place", "people", "note")} == {
        "place": "Bergen",
        "people": 9,
        "note": "wet",
    }


def test_there_must_be_a_seed() -> None:
    data = ts.Dataset((), ("text",))
    with pytest.raises(UsageError, match="need seeds"):
        new_rows(data, ts.Signature("text -> label"), lm=ts.ScriptedLM(), budget=Budget())
