"""What the form of a reply costs: a root value that ends at a newline, against an object.

The same sentences are labelled in the formats `bare` (a root schema with the newline as a stop) and `json` (an
object), on the embedded model behind the protocol server, that is, by JSON Schemas as on Ollama. Only sentences that
get the same label in both are counted. Output tokens are those that the server reports.
"""

import sys
from pathlib import Path
from typing import Literal

import dspy
from measure import Row, main

sys.path.insert(0, str(Path(__file__).parents[1]))
import tunesmith as ts
from tests.protocol import FakeModel, ProtocolServer, embedded_backend
from tunesmith.lm import LM, Meter, metered
from tunesmith.modules import bind

SENTENCES = 40
THINGS = ("soup", "train", "song", "hotel", "lamp", "film", "walk", "bread", "game", "phone")
WORDS = ("was a joy", "was a mess", "came too late", "is so well made")


class Mood(ts.Signature):
    """Say whether the text is positive or negative."""

    text: str = ts.InputField()
    label: Literal["positive", "negative"] = ts.OutputField()


def labelled(name: str, lm: LM) -> list[tuple[str, int]]:
    """Return label and output tokens of each sentence in one format."""
    program = ts.Predict(Mood)
    bind(program, name)
    found = []
    for number in range(SENTENCES):
        meter = Meter()
        with dspy.context(lm=lm), metered(meter):
            said = program(text=f"The {THINGS[number % 10]} {WORDS[number // 10]}.")
        found.append((said.label, meter.charged.output_tokens))
    return found


def rows() -> list[Row]:
    with ProtocolServer([FakeModel("m", embedded_backend(), weights="embedded")], slots=1) as server:
        lm = ts.lm("ollama/m", host=server.url, num_ctx=2048, cache=False, max_tokens=64)
        pairs = list(zip(labelled("bare", lm), labelled("json", lm), strict=True))
    same = [(root[1], whole[1]) for root, whole in pairs if root[0] == whole[0]]
    root, whole = (sum(pair[at] for pair in same) for at in (0, 1))
    return [
        Row(
            "root_values",
            "output tokens of a label, root value with newline stop / object",
            root / whole,
            0.5,
            details={"root": root / len(same), "object": whole / len(same), "same labels": len(same), "of": SENTENCES},
        )
    ]


if __name__ == "__main__":
    main(rows)
