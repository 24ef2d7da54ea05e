#!/usr/bin/env bash
# dspy 3.4.1: an output that is called `labels`, `items`, `keys`, `values` or `get` is a method of the prediction.
#
# Guess before running it: `dspy.Predict("text -> labels")(text=...).labels` is the value that the model gave.
# Seen: it is a bound method, without a word at the declaration or at the call. `prediction["labels"]` is the value. The
# same holds for a label of that name in a `dspy.Example`, so a metric that compares `example.labels` with
# `prediction.labels` compares two methods and is False for every right answer.
#
# In tunesmith: such a name is a SignatureError where the signature is declared.
# Needs a network with a Python package index. Fails if the behaviour changes.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'dspy==3.4.1'
cat > "$work/try.py" <<'PY'
import dspy
from dspy.utils import DummyLM

for name in ("labels", "items", "keys", "values", "get"):
    with dspy.context(lm=DummyLM([{name: "red"}])):
        prediction = dspy.Predict(f"text -> {name}")(text="x")
    example = dspy.Example(**{"text": "x", name: "red"}).with_inputs("text")
    right = getattr(example, name) == getattr(prediction, name)
    print(name, type(getattr(prediction, name)).__name__, prediction[name], example[name] == prediction[name], right)
PY
found=$("$work/venv/bin/python" "$work/try.py" 2>/dev/null)
wanted="labels method red True False
items method red True False
keys method red True False
values method red True False
get method red True False"
echo "$found"
[ "$found" = "$wanted" ] || { echo "The behaviour has changed." >&2; exit 1; }
