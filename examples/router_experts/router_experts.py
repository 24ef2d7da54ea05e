"""Send texts to one of two experts: one sorts comments of hotel guests, the other tickets of a web shop.

The router decides by examples and asks the model only if none is near. The model is named by TUNESMITH_LM
(`embedded`, `ollama/qwen3:4b`, ...).
"""

import os
from pathlib import Path
from typing import Literal

import dspy

import tunesmith as ts


class Hotel(ts.Signature):
    """Sort the hotel guest's comment by topic: room, food, staff, location or price."""

    text: str = ts.InputField()
    label: Literal["room", "food", "staff", "location", "price"] = ts.OutputField()


class Shop(ts.Signature):
    """Sort the ticket of a web shop into a queue: billing, delivery, account (login and data) or product."""

    text: str = ts.InputField()
    label: Literal["billing", "delivery", "account", "product"] = ts.OutputField()


def rows(file: str, text: str, label: str, count: int) -> list[dspy.Example]:
    """Return examples of one expert."""
    loaded = ts.Dataset.load(Path(__file__).parents[1] / file, inputs=[text])
    return [dspy.Example(text=row[text], label=row[label]).with_inputs("text") for row in list(loaded)[:count]]


comments = rows("guest_comments/comments.jsonl", "comment", "topic", 60)
tickets = rows("ticket_triage/tickets.jsonl", "ticket", "queue", 60)
known = {row.text: "hotel" for row in comments[:20]} | {row.text: "shop" for row in tickets[:20]}
mixed = [row for pair in zip(comments[20:], tickets[20:], strict=True) for row in pair]

router = ts.Router(
    "text",
    descriptions={"hotel": "what a guest says of a hotel", "shop": "what a customer asks a web shop"},
    examples=known,
    default="shop",
    hotel=ts.Predict(Hotel),
    shop=ts.Predict(Shop),
)
result = ts.compile(
    router,
    metric=ts.metrics.exact_match("label"),
    trainset=mixed[:24],
    valset=mixed[24:40],
    testset=mixed[40:64],
    compiler=ts.BootstrapFewShot(),
    lm=ts.lm(os.environ.get("TUNESMITH_LM", "embedded")),
)
print(ts.tree(result.program))
print(result.baseline, "->", result.compiled)
print(result.verdict)
