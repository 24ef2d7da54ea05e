#!/usr/bin/env bash
# dspy 3.4.1: a saved state brings its own model along, without its address, and loads into a program of other fields.
#
# Guess before running it: `save("program.json")` keeps instructions and demos; the model is the one that is configured
# where the file is loaded; a program with other fields is refused.
# Seen: if `set_lm` was used, the file holds the model with its `api_base`. `load` makes that model again and leaves the
# address out, so the program asks the default server; `dspy.configure(lm=...)` has no effect on it until `set_lm(None)`.
# The file names no fields: a predictor of the same path with other fields, and with more of them, loads without an
# error, gets the demos of the other fields, and the other prefixes and instructions.
#
# In tunesmith: `docs/migration.md` says how to load such a state; an artifact names fields, and holds no address.
# Needs a network with a Python package index. Fails if the behaviour changes.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'dspy==3.4.1'
cat > "$work/try.py" <<'PY'
import json
import sys

import dspy
from dspy.utils import DummyLM

file = sys.argv[1]
saved = dspy.Predict("question -> answer")
saved.demos = [dspy.Example(question="1 + 1?", answer="2")]
saved.set_lm(dspy.LM("ollama_chat/some-model", api_base="http://model.example:1234", temperature=0.3))
saved.save(file)
print("in the file:", json.load(open(file))["lm"]["api_base"])

dspy.configure(lm=DummyLM([{"answer": "from the configured model"}]))
loaded = dspy.Predict("question -> answer")
loaded.load(file)
print("loaded:", loaded.get_lm().model, loaded.get_lm().kwargs.get("api_base"))
loaded.set_lm(None)
print("after set_lm(None):", loaded(question="?").answer)

other = dspy.Predict("text, tone -> summary, score: float")
other.load(file)
fields = {name: field.json_schema_extra["prefix"] for name, field in other.signature.fields.items()}
print(other.signature.instructions, fields, [dict(demo) for demo in other.demos])
PY
found=$("$work/venv/bin/python" "$work/try.py" "$work/program.json" 2>/dev/null)
wanted="in the file: http://model.example:1234
loaded: ollama_chat/some-model None
after set_lm(None): from the configured model
Given the fields \`question\`, produce the fields \`answer\`. {'text': 'Question:', 'tone': 'Answer:', 'summary': 'Summary:', 'score': 'Score:'} [{'question': '1 + 1?', 'answer': '2'}]"
echo "$found"
[ "$found" = "$wanted" ] || { echo "The behaviour has changed." >&2; exit 1; }
