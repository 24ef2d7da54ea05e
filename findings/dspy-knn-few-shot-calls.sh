#!/usr/bin/env bash
# dspy 3.4.1: each prediction of a program compiled by `KNNFewShot` runs a bootstrap, and its saved file has no examples.
#
# Guess before running it: compiling chooses nothing, a prediction looks up the k nearest examples, puts them into the
# prompt and makes one call; the saved program holds the examples.
# Seen: a prediction with k=3 makes four calls: it compiles the program with `BootstrapFewShot` on the three nearest
# examples, one call of the teacher each, then answers. The replies of the teacher, not the labels, become the demos
# (no metric looks at them). The saved file has no demos and no examples; a program that loads it answers in one call
# with none.
#
# In tunesmith: the predictor of `KNNFewShot` makes one call with the labelled examples; the artifact holds them.
# Needs a network with a Python package index. Fails if the behaviour changes.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'dspy==3.4.1' 'numpy==2.4.6'
cat > "$work/try.py" <<'PY'
import contextlib
import io
import sys

import dspy
import numpy as np
from dspy.utils import DummyLM


class Counting(DummyLM):
    def forward(self, *given, **options):
        prompts.append(options.get("messages") or given)
        return super().forward(*given, **options)


prompts = []
dspy.configure(lm=Counting([{"answer": "from the teacher"}] * 100))
train = [dspy.Example(question=f"word {i}", answer="the label").with_inputs("question") for i in range(10)]
vectors = dspy.Embedder(lambda texts: np.array([[len(text), 1.0] for text in texts], dtype=np.float32))
program = dspy.KNNFewShot(k=3, trainset=train, vectorizer=vectors).compile(dspy.Predict("question -> answer"))
for number in range(2):
    prompts.clear()
    with contextlib.redirect_stdout(io.StringIO()):
        program(question=f"new {number}")
    last = str(prompts[-1])
    print(len(prompts), "calls; in the last prompt", last.count("from the teacher"), "replies,", last.count("the label"), "labels")
program.save(sys.argv[1])
loaded = dspy.Predict("question -> answer")
loaded.load(sys.argv[1])
prompts.clear()
loaded(question="new")
print(len(loaded.demos), "demos after loading,", len(prompts), "call")
PY
found=$("$work/venv/bin/python" "$work/try.py" "$work/program.json" 2>/dev/null)
wanted="4 calls; in the last prompt 3 replies, 0 labels
4 calls; in the last prompt 3 replies, 0 labels
0 demos after loading, 1 call"
echo "$found"
[ "$found" = "$wanted" ] || { echo "The behaviour has changed." >&2; exit 1; }
