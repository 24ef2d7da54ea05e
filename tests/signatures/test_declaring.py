"""Field names that DSPy takes for itself are refused where they are declared, not by DSPy at the call."""

import json
from pathlib import Path
from typing import Any, Literal

import dspy
import pytest

import tunesmith as ts
from tests.each import each
from tunesmith.errors import SignatureError
from tunesmith.lm import FunctionLM

INPUTS = [
    "base",
    "completions",
    "config",
    "demos",
    "instance",
    "lm",
    "new_signature",
    "self",
    "signature",
    "fields",
    "instructions",
    "model_dump",
]
OUTPUTS = [
    "base",
    "completions",
    "copy",
    "get",
    "inputs",
    "items",
    "keys",
    "labels",
    "self",
    "toDict",
    "values",
    "with_inputs",
    "without",
    "signature",
    "fields",
]
CASES = [*(("input", name) for name in INPUTS), *(("output", name) for name in OUTPUTS)]
FREE = [
    "program",
    "args",
    "kwargs",
    "name",
    "data",
    "type",
    "json",
    "schema",
    "prediction",
    "model",
    "history",
    "trace",
]


def declared(role: str, name: str) -> Any:
    mine, other = (ts.InputField, ts.OutputField) if role == "input" else (ts.OutputField, ts.InputField)
    fields = {name: mine(), "other": other()}
    return type(ts.Signature)(
        "Own", (ts.Signature,), {**fields, "__annotations__": dict.fromkeys(fields, str), "__module__": __name__}
    )


def text(role: str, name: str) -> str:
    return f"{name}: str -> other" if role == "input" else f"other -> {name}: list[str]"


WAYS = {
    "class": declared,
    "text": lambda role, name: ts.Signature(text(role, name)),
    "predict": lambda role, name: ts.Predict(text(role, name)),
    "chain": lambda role, name: ts.ChainOfThought(text(role, name)),
}


@each("way", WAYS)
@each(("role", "name"), CASES)
def test_a_name_that_dspy_takes_is_refused_where_it_is_declared(way: str, role: str, name: str) -> None:
    with pytest.raises(SignatureError, match=f"an {role} cannot be named `{name}`"):
        WAYS[way](role, name)


def test_the_example_of_a_class_body() -> None:
    with pytest.raises(SignatureError, match="`Ticket`: an input cannot be named `config`"):

        class Ticket(ts.Signature):
            """Find what is wrong."""

            config: str = ts.InputField()
            fault: str = ts.OutputField()


@each("name", ["completions", "config", "demos", "lm"])
def test_a_signature_of_dspys_own_is_refused_by_everything_of_tunesmiths(name: str) -> None:
    signature = dspy.Signature(f"{name} -> other")
    data = [dspy.Example({name: "x", "other": "y"}).with_inputs(name)]
    doors = [
        lambda: ts.Predict(signature),
        lambda: ts.evaluate(
            dspy.Predict(signature), data, ts.metrics.exact_match("other"), lm=FunctionLM(lambda _: "y")
        ),
        lambda: ts.save("unused", dspy.Predict(signature)),
    ]
    for door in doors:
        with pytest.raises(SignatureError, match=f"`{name}`"):
            door()
    assert not Path("unused").exists()


@pytest.mark.parametrize("name", ["items", "labels", "keys"])
def test_a_program_of_dspys_own_may_have_outputs_that_it_reads_by_key(name: str) -> None:
    data = [dspy.Example({"text": "x", name: "y"}).with_inputs("text")]
    program = dspy.Predict(f"text -> {name}")
    report = ts.evaluate(
        program, data, lambda example, found, trace=None: found[name] == example[name], lm=FunctionLM(lambda _: "y")
    )
    assert report.mean == 1.0


def test_tables_of_fields_are_checked_too() -> None:
    with pytest.raises(SignatureError, match="`items`"):
        ts.Signature({"a": (str, ts.InputField()), "items": (str, ts.OutputField())})
    with pytest.raises(SignatureError, match="`lm`"):
        ts.Signature({"lm": (str, ts.InputField()), "a": (str, ts.OutputField())})


@each("name", FREE)
@each("role", ["input", "output"])
@pytest.mark.filterwarnings("ignore:Field name:UserWarning")
def test_every_other_name_works(role: str, name: str) -> None:
    program = ts.Predict(declared(role, name))
    given, found = (name, "other") if role == "input" else ("other", name)
    example = dspy.Example({given: "x", found: "y"}).with_inputs(given)
    model = FunctionLM(lambda _: "y")
    assert ts.evaluate(program, [example], ts.metrics.exact_match(found), lm=model).mean == 1.0
    assert "x" in ts.render(program, **{given: "x"}).messages[-1]["content"]
    with dspy.context(lm=model):
        assert getattr(program(**{given: "x"}), found) == "y"


def test_outputs_that_a_call_takes_and_inputs_that_a_prediction_has_are_free() -> None:
    assert list(ts.Signature("items, keys -> config, demos").fields) == ["items", "keys", "config", "demos"]


def test_it_is_a_signature_of_dspys_in_every_other_way() -> None:
    class Mood(ts.Signature):
        text: str = ts.InputField(desc="a sentence")
        mood: Literal["good", "bad"] = ts.OutputField()

    assert issubclass(Mood, dspy.Signature)
    assert issubclass(Mood.with_instructions("Say it."), ts.Signature)
    assert issubclass(ts.Signature("question -> answer"), ts.Signature)
    assert not issubclass(ts.Signature("question -> answer"), Mood)
    assert not issubclass(dict, ts.Signature)
    assert Mood.instructions == "Given the fields `text`, produce the fields `mood`."
    assert Mood.with_instructions("Say it.").instructions == "Say it."
    assert list(Mood.append("why", ts.OutputField(), str).output_fields) == ["mood", "why"]
    assert ts.Signature("question -> answer: int").output_fields["answer"].annotation is int
    assert json.loads(json.dumps(Mood.dump_state()))["fields"][0]["description"] == "a sentence"
