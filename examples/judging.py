"""Let a model judge answers, and measure how far it can be trusted; the model is named by TUNESMITH_LM."""

import os

import dspy

import tunesmith as ts
from tunesmith.evaluation import agreement

polite = ts.metrics.judge("It is polite.")
labelled = [
    polite.labelled(dspy.Example(question="Where is the key?").with_inputs("question"), answer, verdict=verdict)
    for answer, verdict in (
        ("It is at the reception. Have a nice day!", "good"),
        ("Look for it yourself.", "bad"),
        ("With pleasure: in the top drawer.", "good"),
        ("Not my problem.", "bad"),
    )
]
print(agreement(polite, labelled, lm=ts.lm(os.environ.get("TUNESMITH_LM", "embedded"))))
