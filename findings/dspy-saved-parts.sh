#!/usr/bin/env bash
# dspy 3.4.1: a program saves no part that was compiled before, and a new instance cannot load what it saved.
#
# Guess before running it: a part of a program is optimized by itself, and put into the program. `program.save(...)`
# writes every predictor, the optimized one first of all, and the same class loads the file.
# Seen: an optimizer marks what it returns as compiled. In the program around it, `named_predictors` and `save` leave
# out the predictors of such a part without a word, but not a compiled predictor that stands there by itself.
# `load` into a new instance, whose part is not marked, raises a KeyError with the name of the missing predictor.
#
# In tunesmith: an artifact holds the parts that DSPy leaves out, and `ts.load` puts them back.
# Needs a network with a Python package index. Fails if the behaviour changes.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'dspy==3.4.1'
cat > "$work/try.py" <<'PY'
import json
import sys

import dspy
from dspy.teleprompt import BootstrapFewShot


class Topic(dspy.Module):
    def __init__(self):
        super().__init__()
        self.ask = dspy.Predict("text -> topic")

    def forward(self, text):
        return self.ask(text=text)


class Triage(dspy.Module):
    def __init__(self):
        super().__init__()
        self.topic = Topic()
        self.answer = dspy.Predict("text, topic -> answer")


train = [dspy.Example(text="Cold soup.", topic="food").with_inputs("text")]
optimizer = BootstrapFewShot(metric=lambda *_: True, max_bootstrapped_demos=0, max_labeled_demos=1)
program = Triage()
program.topic = optimizer.compile(program.topic, trainset=train)
program.answer = optimizer.compile(program.answer, trainset=train)
print("predictors", [name for name, _ in program.named_predictors()])
program.save(sys.argv[1])
print("saved", sorted(name for name in json.load(open(sys.argv[1])) if name != "metadata"))
try:
    Triage().load(sys.argv[1])
    print("loaded")
except KeyError as error:
    print("KeyError", error)
PY
found=$("$work/venv/bin/python" "$work/try.py" "$work/program.json" 2>/dev/null | grep -v Bootstrapped)
wanted="predictors ['answer']
saved ['answer']
KeyError 'topic.ask'"
echo "$found"
[ "$found" = "$wanted" ] || { echo "The behaviour has changed." >&2; exit 1; }
