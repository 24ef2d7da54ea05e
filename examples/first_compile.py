"""Compile a small program: which topic is a hotel guest's comment about?

The model is named by TUNESMITH_LM (`embedded`, `ollama/qwen3:4b`, ...); nothing else changes.
"""

import os
from pathlib import Path
from typing import Literal

import tunesmith as ts


class GuestComment(ts.Signature):
    """Sort the hotel guest's comment by topic: room, food, staff, location or price."""

    comment: str = ts.InputField()
    topic: Literal["room", "food", "staff", "location", "price"] = ts.OutputField()


comments = Path(__file__).parent / "guest_comments" / "comments.jsonl"
data = ts.Dataset.load(comments, signature=GuestComment)
splits = data.split(train=20, val=10, test=10, stratify="topic")
result = ts.compile(
    ts.Predict(GuestComment),
    metric=ts.metrics.exact_match("topic"),
    trainset=splits.train,
    valset=splits.val,
    testset=splits.test,
    lm=ts.lm(os.environ.get("TUNESMITH_LM", "embedded")),
    budget=60,
    run="first-compile",
)
print(result.baseline, "->", result.compiled)
print(result.verdict, result.artifact.path)
