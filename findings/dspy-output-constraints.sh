#!/usr/bin/env bash
# dspy 3.4.1: constraints and validators of an output field are not checked.
#
# Guess before running it: a reply of 99 for `Annotated[int, Field(ge=0, le=10)]` is refused, and an `AfterValidator`
# changes the value, as in any pydantic model; the same for `OutputField(ge=0, le=10)`.
# Seen: the adapters validate against the bare type alone. 99 is returned, and the validator does not run, under both
# `ChatAdapter` and `JSONAdapter`. A limit inside a pydantic model that is the type of the field does hold.
#
# In tunesmith: the whole annotation is validated, and such a reply is a ParseError that names the limit.
# Needs a network with a Python package index. Fails if the behaviour changes.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'dspy==3.4.1'
cat > "$work/try.py" <<'PY'
from typing import Annotated

import dspy
from dspy.utils import DummyLM
from pydantic import AfterValidator, BaseModel, Field


class Grade(BaseModel):
    points: int = Field(ge=0, le=10)


class Loose(dspy.Signature):
    text: str = dspy.InputField()
    points: Annotated[int, Field(ge=0, le=10)] = dspy.OutputField()
    loud: Annotated[str, AfterValidator(str.upper)] = dspy.OutputField()
    more: int = dspy.OutputField(ge=0, le=10)


class Held(dspy.Signature):
    text: str = dspy.InputField()
    grade: Grade = dspy.OutputField()


for adapter in (dspy.ChatAdapter(), dspy.JSONAdapter()):
    name = type(adapter).__name__
    reply = {"points": "99", "loud": "low", "more": "99"}
    with dspy.context(lm=DummyLM([reply] * 3, adapter=adapter), adapter=adapter):
        found = dspy.Predict(Loose)(text="x")
    print(name, found.points, found.loud, found.more)
    with dspy.context(lm=DummyLM([{"grade": '{"points": 99}'}] * 3, adapter=adapter), adapter=adapter):
        try:
            print(name, dspy.Predict(Held)(text="x").grade)
        except Exception as error:
            print(name, type(error).__name__)
PY
found=$("$work/venv/bin/python" "$work/try.py" 2>/dev/null)
wanted="ChatAdapter 99 low 99
ChatAdapter AdapterParseError
JSONAdapter 99 low 99
JSONAdapter AdapterParseError"
echo "$found"
[ "$found" = "$wanted" ] || { echo "The behaviour has changed." >&2; exit 1; }
