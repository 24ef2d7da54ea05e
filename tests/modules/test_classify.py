"""`Classify`: probabilities, confidence, abstention."""

import asyncio
import math
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import dspy
import pytest

import tunesmith as ts
from tests.each import each
from tests.evaluation.replies import likely, number
from tests.protocol import FakeModel, ProtocolServer
from tunesmith.errors import UsageError
from tunesmith.evaluation.job import job_json, subject_of
from tunesmith.evaluation.subject import Subject
from tunesmith.lm import Capabilities, FunctionLM, Response, Seen
from tunesmith.modules import Candidate, bind, bound_format, calls_of


class Mood(dspy.Signature):
    """Sort."""

    text: str = dspy.InputField()
    mood: Literal["good", "bad"] = dspy.OutputField()


def doubtful(seen: Seen) -> Response:
    """Answer `good`, three times as likely as `bad`."""
    return likely(seen, {"good": math.log(0.3), "bad": math.log(0.1)})


def ask(program: Any, function: Any = doubtful, **options: Any) -> Any:
    with dspy.context(lm=FunctionLM(function, **options)):
        return program(text="x")


def test_probabilities_are_those_among_the_labels_and_the_highest_is_the_confidence() -> None:
    found = ask(ts.Classify(Mood))

    assert found.mood == "good"
    assert found.probabilities == pytest.approx({"good": 0.75, "bad": 0.25})
    assert found.confidence == pytest.approx(0.75)
    assert found.abstained is False


def test_offsets_change_answer_probabilities_and_confidence() -> None:
    program = ts.Classify(Mood)
    offsets = {"good": -math.log(9), "bad": 0.0}

    found = ask(Candidate.of(program).with_part("step", offsets=offsets).apply(program))

    assert found.mood == "bad"
    assert found.probabilities == pytest.approx({"good": 0.25, "bad": 0.75})
    assert found.label_logprobs == pytest.approx({"good": math.log(0.3), "bad": math.log(0.1)})


@each(
    ("threshold", "fallback", "mood", "abstained"),
    [(0.0, None, "good", False), (0.7, None, "good", False), (0.8, None, None, True), (0.8, "bad", "bad", True)],
)
def test_below_the_threshold_the_answer_is_the_fallback(
    threshold: float, fallback: Any, mood: Any, abstained: bool
) -> None:
    found = ask(ts.Classify(Mood, fallback=fallback, threshold=threshold))

    assert (found.mood, found.abstained) == (mood, abstained)
    assert found.confidence == pytest.approx(0.75)


def test_one_call_is_made_also_asynchronously() -> None:
    lm, program = FunctionLM(doubtful), ts.Classify(Mood, threshold=0.8)
    with dspy.context(lm=lm):
        first, second = program(text="x"), asyncio.run(program.acall(text="x"))

    assert len(lm.requests) == 2
    assert first.toDict() == second.toDict()
    assert calls_of(program) == (1, True)


def test_a_reply_without_log_probabilities_has_no_confidence_and_no_threshold_is_met() -> None:
    for threshold, mood in ((0.0, "good"), (0.1, None)):
        found = ask(ts.Classify(Mood, threshold=threshold), lambda seen: "good")
        assert (found.mood, found.probabilities, found.confidence) == (mood, None, None)


def test_a_model_without_log_probabilities_is_an_error_before_the_call() -> None:
    calls: list[Seen] = []
    with pytest.raises(UsageError, match=r"'function' reports none\. Use `embedded`"):
        ask(ts.Classify(Mood), lambda seen: calls.append(seen) or "good", capabilities=Capabilities())
    with (
        pytest.raises(UsageError, match=r"made with `ts\.lm`"),
        dspy.context(lm=dspy.utils.DummyLM([{"mood": "good"}])),
    ):
        ts.Classify(Mood)(text="x")
    assert calls == []


def test_a_step_in_another_format_answers_without_probabilities() -> None:
    program = ts.Classify(Mood)
    changed = Candidate.of(program).with_part("step", format="json").apply(program)

    found = ask(changed, lambda seen: '{"mood": "bad"}', capabilities=Capabilities(frozenset({"json_schema"})))

    assert (found.mood, found.probabilities) == ("bad", None)


def test_labels_that_begin_with_the_same_word_get_letters() -> None:
    program = ts.Classify("text -> intent: Literal['card_lost', 'card_stolen']")
    assert bound_format(program.step) == "scored-letters"
    own = ts.Predict("text -> intent: Literal['card_lost', 'card_stolen']")
    bind(own, "scored")
    assert bound_format(ts.Classify(own).step) == "scored", "a choice of the caller's stays"


def test_a_predictor_that_is_given_is_not_changed() -> None:
    own = ts.Predict(Mood, max_tokens=7)
    program = ts.Classify(own)
    assert bound_format(own) is None
    assert program.step.config == {"max_tokens": 7}


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


def test_a_fallback_is_a_value_of_the_output() -> None:
    signature = dspy.Signature({"text": (str, dspy.InputField()), "size": (Size, dspy.OutputField())}, "Find.")
    program = ts.Classify(signature, fallback=Size.SMALL, threshold=1.0)
    assert ask(program, lambda seen: likely(seen, {"small": -2.0, "large": -0.2})).size is Size.SMALL


@each(
    ("step", "options", "words"),
    [
        ("text -> mood", {}, "Literal of two labels"),
        ("text -> mood: bool, why", {}, "The outputs are: mood, why"),
        ("text -> confidence: bool", {}, "none of probabilities, confidence"),
        (dspy.ChainOfThought("text -> mood: bool"), {}, "a signature or a `ts.Predict`"),
        (Mood, {"fallback": "mixed"}, "`fallback` must be a label of `mood`"),
        (Mood, {"threshold": 1.5}, "from 0.0 to 1.0"),
    ],
)
def test_what_cannot_be_classified_is_refused(step: Any, options: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        ts.Classify(step, **options)


def test_a_compile_calibrates_it_and_an_artifact_brings_it_back_without_its_class(tmp_path: Path) -> None:
    def red(seen: Seen) -> Response:
        right = "good" if number(seen.text) % 2 else "bad"
        return likely(seen, {"good": -1.0 + 0.5 * (right == "good"), "bad": -2.0 + 0.8 * (right == "bad")})

    rows = [{"text": f"row {n} .", "mood": "good" if n % 2 else "bad"} for n in range(60)]
    train, val = (ts.Dataset.load(part, signature=Mood) for part in (rows[:30], rows[30:]))
    lm, metric = FunctionLM(red), ts.metrics.exact_match("mood")
    with dspy.context(lm=lm):
        compiler = ts.Calibrate(metric=metric, num_candidates=0)
        program = compiler.compile(ts.Classify(Mood, threshold=0.01), trainset=train, valset=val)
    report = program.compile_report

    assert (report.baseline.mean, report.compiled.mean) == (0.5, 1.0)
    assert report.charged.calls == len(lm.requests) == 30, "it is scored already, so calibrating it costs nothing"
    ts.save(tmp_path / "a", program)
    loaded = ts.load(tmp_path / "a", lm=lm)
    assert type(loaded) is ts.Classify
    with dspy.context(lm=lm):
        assert loaded(text="row 4 .").toDict() == program(text="row 4 .").toDict()
    assert Candidate.of(loaded) == Candidate.of(program)


def test_it_travels_to_another_process() -> None:
    program = ts.Classify(ts.Predict("text -> mood: Literal['good', 'bad']"), fallback="bad", threshold=0.8)
    with ProtocolServer([FakeModel("m")]) as server:
        subject = Subject(program, ts.metrics.exact_match("mood"), lm=ts.lm("ollama/m", host=server.url))
        made = subject_of(job_json(subject))

    assert Candidate.of(made.program) == Candidate.of(program)
