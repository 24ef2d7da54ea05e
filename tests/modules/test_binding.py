"""A predictor's format and request options come through everything that DSPy does with programs."""

import asyncio
import contextlib
import copy
import json
import threading
import warnings
from datetime import date
from pathlib import Path
from typing import Any, Literal

import dspy
import pytest

import tunesmith as ts
from tests.each import each
from tunesmith.errors import UsageError
from tunesmith.lm import FunctionLM, Seen
from tunesmith.modules import bind, bound_format, copy_program, with_default_formats

pytestmark = pytest.mark.filterwarnings("ignore:The format .* is saved:UserWarning")


class Mood(dspy.Signature):
    """Say whether the text is good or bad."""

    text: str = dspy.InputField()
    mood: Literal["good", "bad"] = dspy.OutputField()


class Dated(dspy.Signature):
    """Find the day."""

    text: str = dspy.InputField()
    day: date = dspy.OutputField()


class Pair(dspy.Module):
    def __init__(self, predict: Any = dspy.Predict) -> None:
        super().__init__()
        self.first = predict(Mood)
        self.steps = [predict("text -> note")]

    def forward(self, text: str) -> Any:
        self.steps[0](text=text)
        return self.first(text=text)


class Outer(dspy.Module):
    def __init__(self, predict: Any = dspy.Predict) -> None:
        super().__init__()
        self.inner = Pair(predict)

    def forward(self, text: str) -> Any:
        return self.inner(text=text)


def by_format(seen: Seen) -> str:
    """Answer in tunesmith's formats only: what DSPy's own format asks for gets no answer."""
    if "[[ ##" in seen.system:
        return "I do not know that format."
    label = "good" if "nice" in seen.text else "bad"
    return json.dumps({"mood": label}) if "JSON" in seen.system else label


DATA = [
    dspy.Example(text=f"{word} {i}", mood=mood).with_inputs("text")
    for i in range(8)
    for word, mood in (("nice", "good"), ("poor", "bad"))
]


def right(program: dspy.Module) -> int:
    """Return how many of 16 a program gets right when it is called as DSPy calls it."""
    found = 0
    with dspy.context(lm=FunctionLM(by_format)):
        for example in DATA:
            with contextlib.suppress(dspy.utils.exceptions.AdapterParseError):
                found += program(text=example.text).mood == example.mood
    return found


def compiled(program: dspy.Module) -> dspy.Module:
    metric = ts.metrics.exact_match("mood")
    compiler = ts.RandomSearch(metric=metric, budget=60, formats=["bare", "json"])
    with dspy.context(lm=FunctionLM(by_format)):
        return compiler.compile(program, trainset=DATA[:8], valset=DATA[8:])


def test_a_compiled_dspy_program_saved_by_dspy_is_right_again_in_a_predictor_of_tunesmiths(tmp_path: Path) -> None:
    program = compiled(dspy.Predict(Mood))
    assert right(program) == 16
    with pytest.warns(UserWarning, match=r"ts\.save\(folder, program\)"):
        program.save(tmp_path / "x.json")

    loaded = ts.Predict(Mood)
    loaded.load(tmp_path / "x.json")

    assert right(loaded) == 16
    assert bound_format(loaded) == bound_format(program)


def test_the_format_that_plain_dspy_sends_is_saved_without_a_warning(tmp_path: Path) -> None:
    program = dspy.Predict(Mood)
    bind(program, "chat")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        program.save(tmp_path / "x.json")


def test_a_plain_predictor_that_loads_it_is_right_in_everything_of_tunesmiths(tmp_path: Path) -> None:
    program = compiled(dspy.Predict(Mood))
    program.save(tmp_path / "x.json")
    plain = dspy.Predict(Mood)
    plain.load(tmp_path / "x.json")

    report = ts.evaluate(plain, DATA, ts.metrics.exact_match("mood"), lm=FunctionLM(by_format))

    assert report.mean == 1.0
    assert right(with_default_formats(plain)) == 16


@each(
    "make",
    [lambda: ts.Predict(Mood), lambda: ts.ChainOfThought(Mood), lambda: Pair(ts.Predict), lambda: Outer(ts.Predict)],
)
@each("name", ["x.json", "x.pkl"])
def test_a_state_file_brings_format_options_and_demos_back(tmp_path: Path, make: Any, name: str) -> None:
    program = make()
    for _, predictor in program.named_predictors():
        bind(predictor, "xml")
        predictor.config = {"temperature": 0.5, "stop": ["END"]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        program.save(tmp_path / name)
        loaded = make()
        loaded.load(tmp_path / name, allow_pickle=True)

    for _, predictor in loaded.named_predictors():
        assert bound_format(predictor) == "xml"
        assert predictor.config == {"temperature": 0.5, "stop": ["END"]}
    assert shown(loaded) == shown(program)


def shown(program: dspy.Module) -> Any:
    sent = ts.render(program, text="nice")
    return sent.messages, sent.options


def test_a_program_saved_whole_is_loaded_whole(tmp_path: Path) -> None:
    program = Pair(ts.Predict)
    bind(program.first, "markdown")
    program.save(tmp_path / "whole", save_program=True, modules_to_serialize=None)
    loaded = dspy.load(str(tmp_path / "whole"), allow_pickle=True)
    assert bound_format(loaded.first) == "markdown"
    assert shown(loaded) == shown(program)


def restored(program: dspy.Module) -> dspy.Module:
    found = Pair()
    found.load_state(program.dump_state())
    return found


@each(
    "copied",
    [
        lambda program: program.deepcopy(),
        lambda program: program.reset_copy(),
        copy_program,
        lambda program: with_default_formats(restored(program)),
        lambda program: compiled(compiled(program)),
    ],
)
def test_copies_keep_their_formats(copied: Any) -> None:
    program = Pair()
    bind(program.first, "json")
    bind(program.steps[0], "bare")
    found = copied(program)
    assert bound_format(found.first) in ("bare", "json")
    assert bound_format(found.steps[0]) in ("bare", "json")
    assert right(found) == 16


class Locked(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = dspy.Predict(Mood)
        self.first.lock = threading.Lock()

    def forward(self, text: str) -> Any:
        return self.first(text=text)


@pytest.mark.parametrize("copied", [lambda program: program.deepcopy().first, lambda program: copy.copy(program.first)])
def test_a_copy_that_shares_what_cannot_be_copied_sends_its_own_instruction(copied: Any) -> None:
    program = Locked()
    bind(program.first, "bare")
    found = copied(program)
    found.signature = found.signature.with_instructions("Another instruction.")
    model = FunctionLM(by_format)
    with dspy.context(lm=model):
        found(text="nice")
        asyncio.run(found.acall(text="nice"))
        program(text="nice")
    assert ["Another" in request.system for request in model.requests] == [True, True, False]


def test_typed_demos_look_the_same_after_loading(tmp_path: Path) -> None:
    program = ts.Predict(Dated)
    program.demos = [dspy.Example(text="new year", day=date(2020, 1, 1)).with_inputs("text")]
    for name in ("bare", "json", "xml", "lines", "markdown"):
        bind(program, name)
        program.save(tmp_path / "x.json")
        loaded = ts.Predict(Dated)
        loaded.load(tmp_path / "x.json")
        assert shown(loaded) == shown(program)


def test_a_state_of_plain_dspy_leaves_the_format_as_it_is(tmp_path: Path) -> None:
    dspy.Predict(Mood, temperature=0.1).save(tmp_path / "plain.json")
    program = ts.Predict(Mood, max_tokens=7)
    bind(program, "json")
    program.load(tmp_path / "plain.json")
    assert (bound_format(program), program.config) == ("json", {"max_tokens": 7})


def test_plain_dspy_has_the_request_options_again(tmp_path: Path) -> None:
    ts.Predict(Mood, temperature=0.5, cache=False).save(tmp_path / "x.json")
    plain = dspy.Predict(Mood)
    plain.load(tmp_path / "x.json")
    assert plain.config == {"temperature": 0.5, "cache": False}


def test_options_that_no_file_may_hold_are_warned_about_and_stay_with_their_program(tmp_path: Path) -> None:
    program = ts.Predict(Mood, temperature=0.5, logit_bias={"1": 2}, api_base="http://here")
    with pytest.warns(UserWarning, match="not saved: api_base, logit_bias"):
        program.save(tmp_path / "x.json")
    assert "http://here" not in (tmp_path / "x.json").read_text()
    program.config["temperature"] = 0.9
    program.load(tmp_path / "x.json")
    assert program.config == {"temperature": 0.5, "logit_bias": {"1": 2}, "api_base": "http://here"}


def test_a_file_cannot_say_where_prompts_are_sent(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    ts.Predict(Mood, temperature=0.5).save(file)
    state = json.loads(file.read_text())
    file.write_text(json.dumps({**state, "config": {"api_base": "http://elsewhere", "temperature": 1.0}}))
    program = ts.Predict(Mood)
    with pytest.warns(UserWarning, match="not loaded: api_base"):
        program.load(file)
    assert program.config == {"temperature": 1.0}


def test_a_format_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    ts.Predict(Mood).save(file)
    file.write_text(json.dumps({**json.loads(file.read_text()), "tunesmith_format": "telepathy"}))
    with pytest.raises(UsageError, match="telepathy"):
        ts.Predict(Mood).load(file)


def test_a_loaded_predictor_answers_asynchronously(tmp_path: Path) -> None:
    program = ts.Predict(Mood)
    bind(program, "json")
    program.save(tmp_path / "x.json")
    loaded = ts.Predict(Mood)
    loaded.load(tmp_path / "x.json")
    with dspy.context(lm=FunctionLM(by_format)):
        assert asyncio.run(loaded.acall(text="nice")).mood == "good"
