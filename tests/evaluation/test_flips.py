"""Which answers became right or wrong."""

import json

import tunesmith as ts
from tunesmith.evaluation import RIGHT, Failure, Flips, Row, Step


def row(key: str, score: float | None, *, answer: str = "?", fault: str | None = None, text: str | None = None) -> Row:
    failure = None if fault is None else Failure(fault, "ParseError", "no answer")
    steps = () if text is None else (Step("self", {"q": text}, {"a": answer}),)
    return Row(
        key, None if failure else {"a": answer}, score, failure, "expected 4" if score == 0 else None, steps=steps
    )


def test_answers_that_became_right_or_wrong_are_found_by_example() -> None:
    before = [row("a", 1.0, answer="4", text="2 + 2"), row("b", 0.0), row("c", 1.0), row("d", 0.0)]
    after = [row("d", 0.0), row("c", 1.0), row("b", RIGHT), row("a", 0.0, answer="5", text="2 + 2"), row("e", 1.0)]
    found = Flips.of(before, after)

    assert [flip.key for flip in found.wrong_now] == ["a"]
    assert [flip.key for flip in found.right_now] == ["b"]
    assert (found.compared, bool(found)) == (4, True)
    assert found.sentence == "1 of 4 examples is right now, and 1 is wrong now."
    assert str(found).splitlines()[1:6] == [
        "Wrong now:",
        "q: 2 + 2",
        "  before: a: 4",
        "  after:  a: 5",
        "  metric: expected 4",
    ]
    assert found.right_now[0].inputs is None
    assert json.loads(json.dumps(found.to_json()))["wrong_now"][0]["inputs"] == {"q": "2 + 2"}


def test_an_answer_is_shown_without_the_numbers_of_its_labels() -> None:
    scored = Row("a", {"a": "4", "label_logprobs": {"4": -0.1}}, 1.0, None, None)
    assert "  before: a: 4\n" in str(Flips.of([scored], [row("a", 0.0)]))


def test_a_program_that_fails_is_wrong_and_a_metric_that_fails_says_nothing() -> None:
    before = [row("a", 1.0), row("b", 1.0)]
    after = [row("a", None, fault="program"), row("b", None, fault="metric")]
    found = Flips.of(before, after)

    assert ([flip.key for flip in found.wrong_now], found.compared) == (["a"], 1)
    assert "  after:  ParseError: no answer" in str(found)


def test_the_inputs_are_those_of_the_examples_that_are_given() -> None:
    data = ts.Dataset.load([{"q": "2 + 2", "a": "4"}, {"q": "1", "a": "1"}], signature=ts.Signature("q -> a"))
    before, after = (
        ts.evaluate(ts.Predict("q -> a"), data, ts.metrics.exact_match("a"), lm=ts.FunctionLM(answer))
        for answer in (lambda seen: "1", lambda seen: "4" if "2 + 2" in str(seen) else "1")
    )
    (flip,) = Flips.of(before, after, data).right_now

    assert flip.inputs == {"q": "2 + 2"}


def test_of_many_flips_the_text_shows_a_few() -> None:
    found = Flips.of([row(str(n), 0.0) for n in range(9)], [row(str(n), 1.0) for n in range(9)])
    assert str(found).splitlines()[-1] == "and 4 more"
    assert len(found.to_json()["right_now"]) == 9
