"""An artifact sends the same messages to every engine; only what holds the reply depends on the engine."""

from pathlib import Path
from typing import Literal

import dspy

import tunesmith as ts
from tests.contracts.format import MODES
from tests.each import each
from tests.protocol import FakeModel, ProtocolServer
from tunesmith.formats import format_names
from tunesmith.lm import LM, FunctionLM, lm
from tunesmith.modules import Candidate, render
from tunesmith.signatures import Demo


class Mood(dspy.Signature):
    """Judge the mood."""

    text: str = dspy.InputField()
    mood: Literal["good", "bad"] = dspy.OutputField()


DEMOS = tuple(Demo.of(Mood, {"text": f"text {mood}", "mood": mood}) for mood in ("good", "bad"))


def messages(program: dspy.Module, model: LM) -> tuple[dict[str, str], ...]:
    return render(program, lm=model, text="new").messages


@each("name", [name for name in format_names() if name not in ("chat", "tools")])
def test_what_was_compiled_on_one_engine_is_sent_to_all(name: str, tmp_path: Path) -> None:
    candidate = Candidate.of(ts.Predict(Mood)).with_part("self", format=name, demos=DEMOS)
    ts.save(tmp_path / "a", candidate.apply(ts.Predict(Mood)))
    program = ts.load(tmp_path / "a")

    sent = [messages(program, FunctionLM(lambda seen: "good", capabilities=able)) for able in MODES.values()]
    for version in ("0.24.0", "0.32.15"):
        with ProtocolServer([FakeModel("m")], version=version) as server:
            sent.append(messages(program, lm("ollama/m", host=server.url, cache=False)))

    assert len(sent[0]) == 2 + 2 * len(DEMOS)
    assert all(one == sent[0] for one in sent)


def test_values_of_demos_keep_the_order_of_their_keys(tmp_path: Path) -> None:
    made = ts.Predict("record: dict[str, int] -> answer: dict[str, int]")
    demo = Demo({"record": {"z": 1, "a": 2}}, {"answer": {"y": 1, "b": 2}})
    program = Candidate.of(made).with_part("self", format="json", demos=(demo,)).apply(made)
    ts.save(tmp_path / "a", program)

    sent = [render(one, record={"k": 1, "b": 2}).messages for one in (program, ts.load(tmp_path / "a"))]
    assert sent[0] == sent[1]
    assert '"z": 1, "a": 2' in sent[0][1]["content"]


def test_a_router_keeps_the_order_of_its_rules(tmp_path: Path) -> None:
    routes = {name: ts.Predict("text -> answer") for name in ("animals", "cards")}
    router = ts.Router("text", rules={"zebra": "animals", "card": "cards"}, **routes)
    ts.save(tmp_path / "a", router)

    with dspy.context(lm=ts.ScriptedLM("words", "words")):
        assert [one(text="a card with a zebra").route for one in (router, ts.load(tmp_path / "a"))] == ["animals"] * 2
