"""A chain passes on what each step returned; what it takes and gives is known before it runs."""

import asyncio
from pathlib import Path
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tests.each import each
from tunesmith.errors import UsageError
from tunesmith.lm import FunctionLM, Seen
from tunesmith.modules import Candidate, calls_of, program_inputs
from tunesmith.signatures import output_types


class Clean(dspy.Module):
    """Plain Python between steps."""

    def forward(self, text: str, most: int = 20) -> dspy.Prediction:
        return dspy.Prediction(clean=" ".join(text.split())[:most])


def chain() -> ts.Chain:
    return ts.Chain(words=ts.Predict("text -> keywords"), count=ts.Predict("keywords, text -> number: int"))


def ask(program: dspy.Module, *replies: str, **inputs: Any) -> tuple[dspy.Prediction, list[Any]]:
    lm = ts.ScriptedLM(*replies)
    with dspy.context(lm=lm):
        return program(**inputs), lm.requests


def test_each_step_gets_what_it_takes_of_all_that_is_known() -> None:
    found, requests = ask(chain(), "snow, ski", "2", text="We ski.")
    assert (found.keywords, found.number, len(requests)) == ("snow, ski", 2, 2)
    assert "snow, ski" in requests[1].messages[-1].text
    assert "We ski." in requests[1].messages[-1].text


def test_a_later_step_replaces_a_field_of_an_earlier_one() -> None:
    program = ts.Chain(draft=ts.Predict("text -> title"), better=ts.ChainOfThought("text, title -> title2"))
    again = ts.Chain(first=program, last=ts.Predict("title2 -> reasoning"))
    found, _ = ask(again, "a", '{"reasoning": "r", "title2": "b"}', "c", text="x")
    assert (found.title, found.title2, found.reasoning) == ("a", "b", "c")


def test_its_inputs_are_those_that_no_earlier_step_gives() -> None:
    known = program_inputs(chain())
    assert known.names == ("text",)
    assert known.signature is not None
    assert output_types(known.signature) == {"keywords": str, "number": int}
    assert calls_of(chain()) == (2, True)


def test_plain_python_is_a_step() -> None:
    program = ts.Chain(clean=Clean(), title=ts.Predict("clean -> title"))
    found, requests = ask(program, "Snow", text="so   much\nsnow")
    assert (found.clean, found.title) == ("so much snow", "Snow")
    assert "so much snow" in requests[0].messages[-1].text
    with pytest.raises(UsageError, match="inputs of Chain are unknown"):
        program_inputs(program)


def test_a_step_without_its_input_says_what_there_is() -> None:
    with pytest.raises(UsageError, match=r"step `words` needs `text`\. There are: body"):
        ask(chain(), body="x")
    with pytest.raises(UsageError, match="step `clean` needs `text`"):
        ask(ts.Chain(clean=Clean()), most=5)


def test_an_artifact_keeps_the_order_of_the_steps(tmp_path: Path) -> None:
    program = ts.Chain(second=ts.Predict("text -> keywords"), first=ts.Predict("keywords -> title"))
    ts.save(tmp_path / "chain", program)
    loaded = ts.load(tmp_path / "chain")
    assert Candidate.of(loaded) == Candidate.of(program)
    found, _ = ask(loaded, "snow", "Winter", text="x")
    assert (found.keywords, found.title) == ("snow", "Winter")


def test_bootstrap_makes_demos_of_every_step() -> None:
    def reply(seen: Seen) -> str:
        if "Number:" not in seen.request.messages[-1].text:
            return "ski"
        return "7" if len(seen.request.messages) > 1 or "text 1" in seen.text else "8"

    rows = [dspy.Example(text=f"text {n}", number=7).with_inputs("text") for n in range(8)]
    found = ts.compile(
        chain(),
        metric=ts.metrics.exact_match("number"),
        trainset=rows[:4],
        valset=rows[4:],
        compiler=ts.BootstrapFewShot(),
        lm=FunctionLM(reply),
    )
    demos = {path: len(part.demos) for path, part in Candidate.of(found.program).parts.items()}
    assert set(demos) == {"words", "count"}
    assert all(demos.values())


@each(
    "make, said",
    [
        (lambda: ts.Chain(), "needs 1 or more parts"),
        (lambda: ts.Chain(a=5), "must be a module"),  # type: ignore[arg-type]
        (lambda: ts.Chain(forward=ts.Predict("a -> b")), "uses itself"),
        (lambda: ts.Chain(history=ts.Predict("a -> b")), "uses itself"),
        (lambda: ts.Chain(order=["b"], a=ts.Predict("a -> b")), "names of all parts"),
        (lambda: ask(ts.Chain(a=Wrong()), text="x"), "must return a prediction"),
    ],
)
def test_a_chain_that_cannot_work_is_refused(make: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make()


class Wrong(dspy.Module):
    def forward(self, text: str) -> str:
        return text


def test_steps_without_names_are_refused() -> None:
    for given in (ts.Predict("text -> title"), "first", 3):
        with pytest.raises(UsageError, match=r"takes its parts by name, as in `ts.Chain\(first=..., second=...\)`"):
            ts.Chain(given)  # type: ignore[arg-type]
    first, second = ts.Predict("text -> title"), ts.Predict("title -> note")
    for kind in (ts.Chain, ts.Parallel):
        with pytest.raises(UsageError, match=rf"as in `ts.{kind.__name__}\(first=..., second=...\)`"):
            kind(first, second)  # type: ignore[arg-type]


def test_an_input_without_a_name_is_refused_with_what_to_write() -> None:
    program = ts.Chain(title=ts.Predict("text -> title"))
    for call in (program, lambda text: asyncio.run(program.acall(text))):
        with pytest.raises(UsageError, match=r"by name, as in `program\(question=...\)`. Given: 'We went skiing.'"):
            call("We went skiing.")
