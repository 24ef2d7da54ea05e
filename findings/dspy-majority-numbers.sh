#!/usr/bin/env bash
# dspy 3.4.1: `dspy.majority` and `answer_exact_match` take 3.5 for 35 and -5 for 5.
#
# Guess before running it: texts are compared without case, articles and punctuation around them; numbers that differ
# are different answers, and an `int` output can be voted on.
# Seen: every punctuation mark is removed, those inside a number too. `answer_exact_match` says that 3.5 is 35, -5 is 5
# and 1.0 is 10. `dspy.majority` counts such votes together and returns the first of them: one vote for -5 and
# one for 5 together beat one for 7, and the answer is -5. Votes that are not text raise TypeError.
#
# In tunesmith: `SelfConsistency` votes on the typed values, and `exact_match` compares them.
# Needs a network with a Python package index. Fails if the behaviour changes.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'dspy==3.4.1'
cat > "$work/try.py" <<'PY'
import dspy
from dspy.evaluate import answer_exact_match

for right, given in (("3.5", "35"), ("-5", "5"), ("1.0", "10"), ("35", "36")):
    print(right, given, answer_exact_match(dspy.Example(answer=right), dspy.Prediction(answer=given)))


def vote(*answers):
    return dspy.majority(dspy.Prediction.from_completions([{"answer": answer} for answer in answers])).answer


print("majority", vote("7", "-5", "5"), vote("7", "10", "1.0"))
try:
    print("majority", vote(3, 3, 4))
except TypeError as error:
    print("majority", type(error).__name__)
PY
found=$("$work/venv/bin/python" "$work/try.py" 2>/dev/null)
wanted="3.5 35 True
-5 5 True
1.0 10 True
35 36 False
majority -5 10
majority TypeError"
echo "$found"
[ "$found" = "$wanted" ] || { echo "The behaviour has changed." >&2; exit 1; }
