#!/usr/bin/env bash
# dspy 3.4.1: `BestOfN` and `Refine` try less often with every failure they have ever seen.
#
# Guess before running it: each call of `BestOfN(module, N=5, ...)` makes up to five attempts, whatever earlier calls did,
# and `fail_count=0` allows no failure.
# Seen: the allowance belongs to the object and shrinks with each failed attempt. A module that always raises is tried
# four times in the first call (the fifth attempt is never made), then three times, twice, and once in every later call.
# After such an outage a call whose first attempt fails raises at once, also if the second would have worked. `fail_count=0`
# means `N`. A deep copy or a new object starts afresh.
#
# In tunesmith: `BestOf` makes all its attempts in every call, and raises only if none could be read. A plain `dspy.BestOfN`
# that is evaluated or served keeps this behaviour, so its rows depend on the failures before them.
# Needs a network with a Python package index. Fails if the behaviour changes.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'dspy==3.4.1'
cat > "$work/try.py" <<'PY'
import contextlib
import io

import dspy
from dspy.utils import DummyLM


class Flaky(dspy.Module):
    """Raises in the first `failing` attempts of each call."""

    def __init__(self):
        super().__init__()
        self.predict = dspy.Predict("question -> answer")

    def forward(self, question):
        made.append(question)
        if len(made) <= failing:
            raise ValueError("not this time")
        return self.predict(question=question)


made, failing = [], 99
dspy.configure(lm=DummyLM([{"answer": "yes"}] * 100))


def attempts(module):
    made.clear()
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            return len(made), module(question="?").answer, len(made)
        except ValueError as error:
            return len(made), type(error).__name__


for kind in (dspy.BestOfN, dspy.Refine):
    best = kind(Flaky(), N=5, reward_fn=lambda inputs, made: 1.0, threshold=1.0)
    failing = 99
    counts = [attempts(best)[0] for _ in range(6)]
    failing = 1
    print(kind.__name__, counts, "then", attempts(best)[:2])
failing = 99
none = dspy.BestOfN(Flaky(), N=5, reward_fn=lambda inputs, made: 1.0, threshold=1.0, fail_count=0)
print("fail_count=0", attempts(none))
PY
found=$("$work/venv/bin/python" "$work/try.py" 2>/dev/null)
wanted="BestOfN [4, 3, 2, 1, 1, 1] then (1, 'ValueError')
Refine [4, 3, 2, 1, 1, 1] then (1, 'ValueError')
fail_count=0 (4, 'ValueError')"
echo "$found"
[ "$found" = "$wanted" ] || { echo "The behaviour has changed." >&2; exit 1; }
