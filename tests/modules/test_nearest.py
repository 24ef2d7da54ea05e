"""A predictor chooses its demos for each call, in every way that a program is called, copied and kept."""

import asyncio
import copy
import json
import threading
import warnings
from datetime import date
from pathlib import Path
from typing import Any

import dspy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tunesmith as ts
from tests.each import each
from tests.protocol import FakeModel, ProtocolServer
from tests.scale import scaled
from tunesmith.errors import UsageError
from tunesmith.evaluation import evaluate
from tunesmith.evaluation.job import job_json, subject_of
from tunesmith.evaluation.subject import Subject
from tunesmith.lm import FunctionLM, Seen, lm
from tunesmith.modules import (
    Candidate,
    Finished,
    Nearest,
    bind,
    bind_nearest,
    choices_of,
    nearest_of,
    static_demos,
    stream,
)
from tunesmith.signatures import Demo

ROWS = {
    "My card was stolen.": "card",
    "Close my account, please.": "account",
    "Where is my new card?": "card",
    "What is the rate of the euro?": "rate",
    "I forgot my pin.": "pin",
}
DEMOS = [Demo({"text": text}, {"label": label}) for text, label in ROWS.items()]
STOLEN, CLOSE, NEW, RATE, PIN = ROWS


class Inner(dspy.Module):
    """A user's program: a plain predictor somewhere inside."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = [dspy.Predict("text -> label")]

    def forward(self, text: str) -> dspy.Prediction:
        return self.steps[0](text=text)


def compiled(program: Any = None, nearest: Nearest | None = None, demos: Any = DEMOS) -> Any:
    program = ts.Predict("text -> label") if program is None else program
    (path,) = (path for path, _ in program.named_predictors())
    return Candidate.of(program).with_demos(path, demos, nearest or Nearest(k=2)).apply(program)


def texts(seen: Seen) -> list[str]:
    """Return the inputs of the demos in a request, in order."""
    users = [content for role, content in seen.messages[:-1] if role == "user"]
    return [content.partition(": ")[2].partition("\n")[0] for content in users]


def shown(program: Any, text: str, **options: Any) -> list[str]:
    """Return the inputs of the demos that a call shows, in order."""
    asked: list[Seen] = []
    with dspy.context(lm=FunctionLM(lambda seen: asked.append(seen) or "x")):
        program(text=text, **options)
    return texts(asked[0])


def test_a_call_shows_the_nearest_demos_the_nearest_last() -> None:
    program = compiled()

    assert shown(program, "Was a card stolen?") == [NEW, STOLEN]
    assert shown(program, "A new pin, forgot it") == [NEW, PIN]


@each(
    ("nearest", "expected"),
    [
        (Nearest(k=1), [STOLEN]),
        (Nearest(k=2, order="nearest-first"), [STOLEN, NEW]),
        (Nearest(k=9), [PIN, RATE, CLOSE, NEW, STOLEN]),
    ],
)
def test_k_and_order_say_which_and_where(nearest: Nearest, expected: list[str]) -> None:
    assert shown(compiled(nearest=nearest), "A card was stolen") == expected


def test_where_too_few_are_similar_the_first_of_the_pool_fill_up() -> None:
    assert shown(compiled(), "euro") == [STOLEN, RATE]
    assert shown(compiled(), "???") == [CLOSE, STOLEN]


def test_an_example_is_never_its_own_demo() -> None:
    program = compiled(nearest=Nearest(k=9))
    for text in ROWS:
        assert text not in shown(program, text)
        assert len(shown(program, text)) == len(ROWS) - 1


def test_inputs_are_compared_as_what_they_stand_for() -> None:
    signature = ts.Signature("text, day: date -> label", custom_types={"date": date})
    demos = [Demo.of(signature, {"text": "a", "day": f"2024-05-0{n}", "label": "x"}) for n in (1, 2, 3)]
    program = compiled(ts.Predict(signature), Nearest(k=3), demos)

    for day in (date(2024, 5, 2), "2024-05-02"):
        messages = ts.render(program, text="a", day=day).messages
        assert len(messages) == 1 + 2 * 2 + 1, day
        assert not any("2024-05-02" in message["content"] for message in messages[:-1])


def test_no_demo_of_an_empty_pool_is_shown() -> None:
    assert shown(compiled(demos=[]), "A card") == []


@settings(max_examples=scaled(200))
@given(st.lists(st.text(max_size=12), max_size=8), st.text(max_size=12), st.integers(1, 9))
def test_any_call_shows_k_demos_of_other_inputs_or_all_there_are(pool: list[str], text: str, k: int) -> None:
    predictor = ts.Predict("text -> label")
    predictor.demos = [Demo({"text": one}, {"label": "x"}).as_example() for one in pool]
    found = Nearest(k=k).shown(predictor, {"text": text})

    assert len(found) == min(k, sum(one != text for one in pool))
    assert all(demo.text != text for demo in found)


# In every way that programs are called ------------------------------------------------------------------------


@each("make", [lambda: dspy.Predict("text -> label"), Inner, lambda: dspy.ChainOfThought("text -> label")])
def test_plain_programs_choose_too_and_keep_their_paths_and_classes(make: Any) -> None:
    program, plain = compiled(make()), make()
    seen = ts.render(program, text="Was a card stolen?").messages

    assert [(p, type(x)) for p, x in program.named_predictors()] == [(p, type(x)) for p, x in plain.named_predictors()]
    assert STOLEN in seen[3]["content"]
    assert len(seen) == 1 + 2 * 2 + 1


def test_async_streamed_and_threaded_calls_choose_alike() -> None:
    program, lm = compiled(Inner()), FunctionLM(lambda seen: texts(seen)[-1])
    with dspy.context(lm=lm):
        assert (
            asyncio.run(program.acall(text="a stolen card")).label == STOLEN if hasattr(program, "aforward") else True
        )
        predictor = program.steps[0]
        assert asyncio.run(predictor.acall(text="a stolen card")).label == STOLEN
    finished = [event for event in stream(program, lm=lm, text="my pin") if isinstance(event, Finished)]
    assert finished[0].prediction.label == PIN

    found: dict[str, str] = {}

    def call(text: str) -> None:
        with dspy.context(lm=lm):
            found[text] = program(text=text).label

    threads = [threading.Thread(target=call, args=(text,)) for text in ("a rate", "my pin", "close it", "was stolen")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(map(found.get, ("a rate", "my pin", "close it", "was stolen"))) == [RATE, PIN, CLOSE, STOLEN]


@each("make", [lambda: ts.Predict("text -> label"), lambda: dspy.Predict("text -> label"), Inner])
def test_a_trace_names_the_predictor_and_its_inputs_alone(make: Any) -> None:
    program = compiled(make())
    for adapter in (None, dspy.ChatAdapter()):
        trace: list[Any] = []
        reply = "x" if adapter is None else "[[ ## label ## ]]\nx\n\n[[ ## completed ## ]]"
        with dspy.context(lm=FunctionLM(lambda seen, reply=reply: reply), trace=trace):
            bind(program.named_predictors()[0][1], "bare" if adapter is None else None)
            with dspy.context(adapter=adapter):
                program(text="a card")
        assert [(step[0], step[1]) for step in trace] == [(program.named_predictors()[0][1], {"text": "a card"})]


def test_demos_of_the_call_itself_are_shown_as_they_are() -> None:
    assert shown(compiled(), "a card", demos=[DEMOS[3].as_example()]) == [RATE]


def test_under_the_callers_own_adapter_demos_are_chosen_too() -> None:
    program, asked = Inner(), []
    lm = FunctionLM(lambda seen: asked.append(seen) or "[[ ## label ## ]]\nx\n\n[[ ## completed ## ]]")
    with dspy.context(lm=lm, adapter=dspy.ChatAdapter()):
        chosen = compiled(program)
        assert Candidate.of(chosen).parts["steps[0]"].format is None
        assert evaluate(chosen, [dspy.Example(text="my pin", label="x").with_inputs("text")], exact, lm=lm).mean == 1
    assert len(asked[0].messages) == 5
    assert PIN not in str(asked[0].messages[:2])
    assert PIN in asked[0].messages[2][1]


def exact(example: Any, prediction: Any, trace: Any = None) -> bool:
    return bool(example.label == prediction.label)


def test_an_evaluation_scores_what_the_program_shows() -> None:
    rows = [dspy.Example(text=text, label=label).with_inputs("text") for text, label in ROWS.items()]
    lm = FunctionLM(lambda seen: ROWS[texts(seen)[-1]])

    report = evaluate(compiled(), rows, exact, lm=lm)

    assert [row.score for row in report.rows] == [1.0, 0.0, 1.0, 0.0, 0.0]


# Copied, changed, kept ----------------------------------------------------------------------------------------


@each("copied", [copy.deepcopy, copy.copy, lambda p: p.deepcopy()])
def test_a_copy_chooses_like_the_original_and_apart_from_it(copied: Any) -> None:
    program = compiled(ts.Predict("text -> label"))
    assert shown(program, "stolen") == [CLOSE, STOLEN]
    other = copied(program)
    other.demos = other.demos[3:]

    assert shown(other, "a card was stolen") == [PIN, RATE]
    assert shown(program, "stolen") == [CLOSE, STOLEN]


def test_demos_that_are_changed_in_place_are_seen() -> None:
    program = compiled()
    assert shown(program, "a euro")[-1] == RATE
    program.demos[0] = Demo({"text": "euro euro"}, {"label": "rate"}).as_example()
    assert shown(program, "a euro") == [RATE, "euro euro"]


def test_a_candidate_holds_pool_and_choice_and_comes_back_from_json() -> None:
    program = Inner()
    static = Candidate.of(program).with_demos("steps[0]", DEMOS)
    candidate = static.with_demos("steps[0]", DEMOS, Nearest(k=2))
    signatures = {path: p.signature for path, p in program.named_predictors()}
    again = Candidate.from_json(json.loads(json.dumps(candidate.to_json())), signatures)

    assert again == candidate == Candidate.of(candidate.apply(program))
    assert len({static.key, candidate.key, candidate.with_setting("steps[0].nearest", "k", 4).key}) == 3
    assert "settings" not in static.to_json(), "keys of candidates without a choice stay as they were"
    assert shown(again.apply(program), "my pin")[-1] == PIN
    assert candidate.with_demos("steps[0]", DEMOS) == static


def test_a_static_candidate_ends_the_choice() -> None:
    program = compiled(nearest=Nearest(k=1))
    static = Candidate.of(program).with_demos("self", DEMOS[:3]).apply(program)

    assert nearest_of(static) is None
    assert shown(static, "my pin") == [STOLEN, CLOSE, NEW]


def test_k_and_order_are_settings_with_choices() -> None:
    program = compiled(Inner())

    assert choices_of(program) == {
        ("steps[0].nearest", "k"): (2, 4, 8),
        ("steps[0].nearest", "order"): ("nearest-last", "nearest-first"),
    }
    changed = Candidate.of(program).with_setting("steps[0].nearest", "order", "nearest-first").apply(program)
    assert shown(changed, "A card was stolen") == [STOLEN, NEW]


def test_a_difference_is_said_in_words() -> None:
    given = Candidate.of(ts.Predict("text -> label"))
    candidate = given.with_demos("self", DEMOS, Nearest(k=2))

    assert candidate.differences(given) == "nearest 2 of 5 demos (nearest-last, bm25)"
    assert given.differences(candidate) == "0 demos"
    assert "self.nearest.k: 2" in given.diff(candidate)


@each(
    ("values", "why"),
    [
        ({"k": 0}, "at least 1"),
        ({"k": 2.0}, "type int"),
        ({"order": "last"}, "one of: nearest-last"),
        ({"similarity": "tf-idf"}, "one of: bm25, embedding"),
    ],
)
def test_a_choice_that_cannot_be_made_is_refused(values: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        Nearest(**values)
    candidate = Candidate.of(compiled())
    changed = Candidate(candidate.parts, settings={"self.nearest": {**candidate.settings["self.nearest"], **values}})
    with pytest.raises(UsageError, match=why):
        changed.apply(ts.Predict("text -> label"))


def test_only_a_predictor_can_choose() -> None:
    with pytest.raises(UsageError, match="Bind its predictors: steps"):
        bind_nearest(Inner(), Nearest())  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="must be a `Nearest`"):
        bind_nearest(ts.Predict("text -> label"), 4)  # type: ignore[arg-type]


def test_another_format_leaves_the_choice_and_another_choice_the_format() -> None:
    program = compiled()
    bind(program, "json")
    assert Candidate.of(program).shown_demos("self") == 2
    bind_nearest(program, Nearest(k=1))
    assert Candidate.of(program).parts["self"].format == "json"
    bind_nearest(program, None)
    bind(program, None)
    assert vars(program).keys() == vars(ts.Predict("text -> label")).keys()


@each("make", [lambda: ts.Predict("text -> label"), lambda: ts.ChainOfThought("text -> label"), Inner])
def test_an_artifact_keeps_pool_and_choice_and_plain_dspy_gets_the_first(make: Any, tmp_path: Path) -> None:
    program = compiled(make())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        artifact = ts.save(tmp_path / "a", program)
    loaded = ts.load(tmp_path / "a", program=make())

    assert ts.render(loaded, text="my pin").messages == ts.render(program, text="my pin").messages
    assert Candidate.of(loaded).key == Candidate.of(program).key
    assert any("`state.json` has the first 2" in note for note in artifact.manifest["notes"])
    plain = make()
    plain.load(tmp_path / "a" / "state.json")
    assert [demo["text"] for demo in plain.named_predictors()[0][1].demos] == [STOLEN, CLOSE]
    assert nearest_of(plain.named_predictors()[0][1]) is None


@each("make", [lambda: ts.Predict("text -> label"), Inner])
def test_a_state_file_of_dspy_has_the_first_demos_and_saving_says_so(make: Any, tmp_path: Path) -> None:
    program = compiled(make())
    with pytest.warns(UserWarning, match="the first 2 are saved, as fixed demos"):
        program.save(tmp_path / "state.json")
    predictor = program.named_predictors()[0][1]
    assert [demo.text for demo in static_demos(predictor)] == [STOLEN, CLOSE]

    program.load(tmp_path / "state.json")

    assert [demo["text"] for demo in predictor.demos] == [STOLEN, CLOSE]
    assert nearest_of(predictor) is None


def test_a_worker_process_gets_pool_and_choice() -> None:
    program = ts.Predict("text -> label")
    candidate = Candidate.of(program).with_demos("self", DEMOS, Nearest(k=2))
    with ProtocolServer([FakeModel("chat")]) as server:
        model = lm("ollama/chat", host=server.url, cache=False)
        for subject in (
            Subject(program, ts.metrics.exact_match("label"), lm=model, candidate=candidate),
            Subject(candidate.apply(program), ts.metrics.exact_match("label"), lm=model),
        ):
            made = subject_of(json.loads(json.dumps(job_json(subject))))
            assert Candidate.of(made.program).key == candidate.key
            assert shown(made.program, "my pin")[-1] == PIN


def test_dspys_reset_leaves_nothing_to_choose_from() -> None:
    assert shown(compiled().reset_copy(), "a card") == []


# By vectors ---------------------------------------------------------------------------------------------------


def test_vectors_of_the_predictors_model_may_say_what_is_near() -> None:
    program = compiled(nearest=Nearest(k=1, similarity="embedding"))
    program.lm = FunctionLM(lambda seen: texts(seen)[-1])
    vectors = program.lm.embed(list(ROWS)[1:])

    near = program(text=STOLEN).label

    own = program.lm.embed([STOLEN])[0]
    assert near == max(zip(vectors, list(ROWS)[1:], strict=True), key=lambda pair: cosine(own, pair[0]))[1]
    assert ts.render(program, text=STOLEN).messages[1]["content"].startswith(f"Text: {near}")


def cosine(one: list[float], other: list[float]) -> float:
    lengths = [sum(x * x for x in vector) ** 0.5 for vector in (one, other)]
    return sum(x * y for x, y in zip(one, other, strict=True)) / (lengths[0] * lengths[1])


def test_a_model_without_vectors_is_an_error_that_says_what_to_do() -> None:
    program = compiled(nearest=Nearest(similarity="embedding"))
    with dspy.context(lm=dspy.LM("openai/x", api_key="no")), pytest.raises(UsageError, match="`bm25`"):
        program(text="a")
    with pytest.raises(UsageError, match="needs a model that gives vectors"):
        ts.render(program, text="a")
