#!/usr/bin/env bash
# dspy 3.4.1: with the history off, a process still keeps the inputs of its last 10,000 predictions, in all threads.
#
# Guess before running it: `disable_history=True` is for services that run for long; after a request nothing of its
# texts stays in the process.
# Seen: the LM's history is empty, but every `Predict` also appends its inputs and its prediction to `settings.trace`,
# one list for all threads, optimizing or not. It grows until it has 10,000 entries, which looks like a leak, and holds
# the texts of users. `dspy.context(lm=...)` around a request does not change it; `trace=None` in it, or
# `max_trace_size=0`, does.
#
# In tunesmith: `serve`, `predict` and evaluations run in a context that keeps neither.
# Needs a network with a Python package index. Fails if the behaviour changes.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'dspy==3.4.1'
cat > "$work/try.py" <<'PY'
import threading

import dspy
from dspy.utils.dummies import DummyLM

lm = DummyLM([{"label": "billing"}] * 30_000)
dspy.configure(lm=lm, disable_history=True)
answer = dspy.Predict("text -> label")


def request(number, **options):
    with dspy.context(lm=lm, **options):
        answer(text=f"private text {number}")


def kept():
    trace = dspy.settings.trace
    return (len(trace), trace[0][1]["text"], trace[-1][1]["text"]) if trace else 0


request(0, trace=None)
request(1, max_trace_size=0)
print("history", len(lm.history), "trace", kept())
for number in range(2, 12_000):
    request(number)
thread = threading.Thread(target=request, args=(12_000,))
thread.start()
thread.join()
print("history", len(lm.history), "trace", *kept())
PY
found=$("$work/venv/bin/python" "$work/try.py" 2>/dev/null)
wanted="history 0 trace 0
history 0 trace 10000 private text 2001 private text 12000"
echo "$found"
[ "$found" = "$wanted" ] || { echo "The behaviour has changed." >&2; exit 1; }
