#!/usr/bin/env bash
# pydantic-monty 1.4.0: `round` of some decimals, and the key that a dict keeps, differ from Python's without an error.
#
# Guess before running it: what the interpreter does not support raises an error; what it runs gives Python's values.
# Seen: `round(2.675, 2)` is 2.68 (Python: 2.67), `round(12.345, 2)` is 12.34 (12.35), `round(0.15, 1)` is 0.2 (0.1), while
# f"{2.675:.2f}" is "2.67" in both; `round` of whole halves is Python's. A dict that is written with the equal keys 1 and
# True keeps the last one; Python keeps the first key and the last value. Two lists that hold different NaNs are equal.
#
# In tunesmith: programs of `ProgramOfThought` get a `round` that gives Python's numbers; `docs/modules.md` names the keys.
# Needs a network with a Python package index. Fails if the behaviour changes.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'pydantic-monty==1.4.0'
cat > "$work/try.py" <<'PY'
from pydantic_monty import Monty

expressions = (
    "round(2.675, 2)",
    "round(12.345, 2)",
    "round(0.15, 1)",
    "round(2.5)",
    "f'{2.675:.2f}'",
    "{1: 'a', True: 'b'}",
    "[float('nan')] == [float('nan')]",
)
with Monty() as pool, pool.checkout(script_name="try.py") as session:
    for one in expressions:
        print(one, "|", eval(one), "|", session.feed_run(one))
PY
found=$("$work/venv/bin/python" "$work/try.py" 2>/dev/null)
wanted="round(2.675, 2) | 2.67 | 2.68
round(12.345, 2) | 12.35 | 12.34
round(0.15, 1) | 0.1 | 0.2
round(2.5) | 2 | 2
f'{2.675:.2f}' | 2.67 | 2.67
{1: 'a', True: 'b'} | {1: 'b'} | {True: 'b'}
[float('nan')] == [float('nan')] | False | True"
echo "$found"
[ "$found" = "$wanted" ] || { echo "The behaviour has changed." >&2; exit 1; }
