#!/usr/bin/env bash
# dspy 3.4.1: `lm(prompt, n=3)` on an LM with an engine of one's own sends one request three times, seed included.
#
# Guess before running it: three draws differ at temperature 1, since each has a seed of its own, or the engine is told n.
# Seen: the engine gets three equal requests with the same seed and no n. An engine that honours the seed, as local model
# servers do, gives one text three times, and a vote over the draws is a vote of one.
#
# In tunesmith: each of the n draws of a call has its own seed, also when DSPy makes the draws.
# Needs a network with a Python package index. Fails if the behaviour changes.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'dspy==3.4.1'
cat > "$work/try.py" <<'PY'
import random

import dspy
from dspy.lm15 import Message, Response, TextPart, Usage, response_to_events


class Engine:
    """Draws a word with the seed of the request."""

    def __init__(self):
        self.requests = []

    def complete(self, request):
        self.requests.append(request)
        word = random.Random(request.config.seed).choice(["red", "green", "blue", "grey"])
        message = Message(role="assistant", parts=(TextPart(word),))
        return Response(id=None, model="m", message=message, finish_reason="stop", usage=Usage(1, 1))

    def stream(self, request):
        return response_to_events(self.complete(request))

    def close(self):
        pass


engine = Engine()
texts = dspy.LM("m", engine=engine, cache=False, temperature=1.0, seed=3)("Name a colour.", n=3)
print("different texts:", len(set(texts)))
print("requests:", len(engine.requests), "different:", len({repr(request) for request in engine.requests}))
PY
found=$("$work/venv/bin/python" "$work/try.py" 2>/dev/null)
wanted="different texts: 1
requests: 3 different: 1"
echo "$found"
[ "$found" = "$wanted" ] || { echo "The behaviour has changed." >&2; exit 1; }
