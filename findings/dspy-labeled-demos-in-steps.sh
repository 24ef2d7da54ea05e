#!/usr/bin/env bash
# dspy 3.4.1: after LabeledFewShot every step has its demos, in memory and in the saved state, and none is sent.
#
# Guess before running it: a step whose fields the training rows lack gets no demos, or the compile says so; a
# ChainOfThought gets question and answer as a demo, with no reasoning in it.
# Seen: each predictor of a program of two steps has the 4 rows as demos, and so has the state that `save` writes. The
# adapter drops a demo that has no input or no output of its step, without a word, so both steps are asked without
# any: the "compiled" program asks exactly what the plain one does. A demo of a ChainOfThought is sent, and its
# reasoning is the sentence `Not supplied for this particular example.`, which a small model learns to write.
#
# In tunesmith: a label is a demo of a predictor only if it has that predictor's outputs; else the program runs on the
# row, and what it did is the demo if the answer was right.
# Needs a network with a Python package index. Fails if the behaviour changes.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'dspy==3.4.1'
cat > "$work/try.py" <<'PY'
import dspy
from dspy.utils.dummies import DummyLM

lm = DummyLM([{"outline": "o", "reasoning": "r", "answer": "a"}] * 50)
dspy.configure(lm=lm)
rows = [dspy.Example(question=f"q{n}", answer=f"a{n}").with_inputs("question") for n in range(8)]


class TwoSteps(dspy.Module):
    def __init__(self):
        super().__init__()
        self.plan, self.write = dspy.Predict("question -> outline"), dspy.Predict("outline -> answer")

    def forward(self, question):
        return self.write(outline=self.plan(question=question).outline)


def asked(program):
    """Return the messages of a run, without those of the history before."""
    before = len(lm.history)
    program(question="new")
    return [entry["messages"] for entry in lm.history[before:]]


plain, compiled = TwoSteps(), dspy.LabeledFewShot(k=4).compile(TwoSteps(), trainset=rows)
print("demos of the steps:", *(len(step.demos) for step in compiled.predictors()))
print("demos in the saved state:", *(len(part["demos"]) for part in compiled.dump_state().values() if "demos" in part))
print("asked as before the compile:", asked(plain) == asked(compiled))
chain = dspy.LabeledFewShot(k=4).compile(dspy.ChainOfThought("question -> answer"), trainset=rows)
replies = [message["content"] for message in asked(chain)[0] if message["role"] == "assistant"]
print("demos of the chain of thought:", len(replies))
print("without a reasoning:", sum("Not supplied for this particular example." in reply for reply in replies))
PY
found=$("$work/venv/bin/python" "$work/try.py" 2>/dev/null)
wanted="demos of the steps: 4 4
demos in the saved state: 4 4
asked as before the compile: True
demos of the chain of thought: 4
without a reasoning: 4"
echo "$found"
[ "$found" = "$wanted" ] || { echo "The behaviour has changed." >&2; exit 1; }
