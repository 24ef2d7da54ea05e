"""Sort support tickets into queues, and leave to a person what the model is not sure of.

The model is named by TUNESMITH_LM (`embedded`, `ollama/qwen3:4b`, ...); it needs log-probabilities.
"""

import os
from pathlib import Path
from typing import Literal

import tunesmith as ts


class Ticket(ts.Signature):
    """Sort the ticket of a web shop into a queue: billing, delivery, account (login and data) or product."""

    ticket: str = ts.InputField()
    queue: Literal["billing", "delivery", "account", "product"] = ts.OutputField()


tickets = Path(__file__).parent / "tickets.jsonl"
splits = ts.Dataset.load(tickets, signature=Ticket).split(train=24, val=24, test=32, stratify="queue")
lm = ts.lm(os.environ.get("TUNESMITH_LM", "embedded"))
exact = ts.metrics.exact_match("queue")
result = ts.compile(
    ts.Classify(Ticket),
    metric=exact,
    trainset=splits.train,
    valset=splits.val,
    testset=splits.test,
    compiler=ts.Calibrate(),
    lm=lm,
)
print(result.baseline, "->", result.compiled)
print(result.verdict)

triage = result.program
triage.threshold = 0.5
sorted_ = [row for row in ts.evaluate(triage, splits.test, exact, lm=lm).rows if (row.outputs or {}).get("queue")]
right = sum(row.score for row in sorted_)
print(f"sure of {len(sorted_)} of {len(splits.test)} tickets, {right:.0f} of them right; a person reads the others")
