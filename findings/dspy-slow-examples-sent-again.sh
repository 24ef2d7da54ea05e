#!/usr/bin/env bash
# dspy 3.4.1: what takes more than two minutes is run again beside itself, up to four times, and `Evaluate` cannot turn it off.
#
# Guess before running it: `Evaluate` and `Parallel` run each example once, and wait for it.
# Seen: when three or fewer runs are still under way, each that has taken `timeout` seconds (120) is started again, while
# the first one goes on; a repetition counts as one of them and is started again, too. So the last example of a set is
# asked for up to four times at once, at a model that was too slow for it already. The result is there as soon as one
# ends; the others go on after that. `Parallel` has `timeout=0` against it. `Evaluate`, which DSPy's optimizers use, has
# no such option, and drops `timeout=` without a word. With one thread nothing is started again.
#
# In tunesmith: an evaluation runs each example once, however long it takes. Under `DSPyCompiler` and in a program with
# `dspy.Parallel` the repetitions wait for the reply that is on its way, and are not paid, unless the cache is off.
# Needs a network with a Python package index, and two and a half minutes after the installation. Fails if the behaviour changes.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'dspy==3.4.1'
cat > "$work/try.py" <<'PY'
import logging
import os
import time

import dspy

logging.disable(logging.WARNING)


class Slow(dspy.Module):
    """Takes some seconds for the last question, and no time for the others."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds, self.asked = seconds, []

    def forward(self, question):
        self.asked.append(question)
        time.sleep(self.seconds if question == "last" else 0)
        return dspy.Prediction(answer="yes")


rows = [dspy.Example(question=text).with_inputs("question") for text in ("first", "second", "third", "last")]
for timeout in (1, 0):
    slow = Slow(7)
    run = dspy.Parallel(num_threads=8, timeout=timeout, disable_progress_bar=True)
    print(f"Parallel, timeout={timeout}:", len(run([(slow, row) for row in rows])), "results, runs:", end=" ")
    print({text: slow.asked.count(text) for text in ("first", "last")})
slow = Slow(130)
score = dspy.Evaluate(devset=rows, metric=lambda *_: 1.0, num_threads=8, timeout=0)(slow).score
print(f"Evaluate, timeout=0: {score}, runs:", {text: slow.asked.count(text) for text in ("first", "last")}, flush=True)
os._exit(0)  # the repetition is still under way, and Python would wait for it
PY
found=$("$work/venv/bin/python" "$work/try.py" 2>/dev/null)
wanted="Parallel, timeout=1: 4 results, runs: {'first': 1, 'last': 4}
Parallel, timeout=0: 4 results, runs: {'first': 1, 'last': 1}
Evaluate, timeout=0: 100.0, runs: {'first': 1, 'last': 2}"
echo "$found"
[ "$found" = "$wanted" ] || { echo "The behaviour has changed." >&2; exit 1; }
