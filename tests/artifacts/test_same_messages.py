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
