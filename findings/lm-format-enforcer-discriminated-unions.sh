#!/usr/bin/env bash
# lm-format-enforcer 0.11.3: a pydantic union with a discriminator is held less strictly than one without.
#
# Guess before running it: `Field(discriminator="kind")` names the field that tells the members apart, so it is held at least as
# strictly as the plain union: a dog has what a dog has.
# Seen: pydantic writes a plain union as `anyOf`, and one with a discriminator as `oneOf`. Of `oneOf` the library makes one object
# with the fields of all members, none of them required, and the constants of the discriminator are lost: a dog with a cat's field,
# a cat without its own, an object without any field and a kind that no member has are all admitted. The plain union admits none
# of them. A `oneOf` of an integer and text admits neither.
#
# In tunesmith: a schema that is sent has `anyOf` for both, and every reply is checked against the declared type.
# Needs a network with a Python package index. Fails if the behaviour changes.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'lm-format-enforcer==0.11.3' 'pydantic==2.14.4'
cat > "$work/try.py" <<'PY'
from typing import Annotated, Literal

from lmformatenforcer import JsonSchemaParser
from pydantic import BaseModel, Field


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str]


class Plain(BaseModel):
    pet: Cat | Dog


class Told(BaseModel):
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]


def admits(schema, text):
    """Say whether a reply can be this text, character by character."""
    parser = JsonSchemaParser(schema)
    for character in text:
        if character not in parser.get_allowed_characters():
            return False
        parser = parser.add_character(character)
    return parser.can_end()


pets = [
    '{"kind":"dog","tricks":["sit"]}',
    '{"kind":"dog","lives":3}',
    '{"kind":"cat"}',
    '{"kind":"cow","lives":3}',
    "{}",
]
for pet in pets:
    reply = f'{{"pet":{pet}}}'
    print(pet, *(f"{model.__name__}: {admits(model.model_json_schema(), reply)}" for model in (Plain, Told)))
for key in ("anyOf", "oneOf"):
    schema = {key: [{"type": "integer"}, {"type": "string"}]}
    print(key, [admits(schema, text) for text in ("3", '"three"')])
PY
found=$("$work/venv/bin/python" "$work/try.py")
wanted='{"kind":"dog","tricks":["sit"]} Plain: True Told: True
{"kind":"dog","lives":3} Plain: False Told: True
{"kind":"cat"} Plain: False Told: True
{"kind":"cow","lives":3} Plain: False Told: True
{} Plain: False Told: True
anyOf [True, True]
oneOf [False, False]'
echo "$found"
[ "$found" = "$wanted" ] || { echo "The behaviour has changed." >&2; exit 1; }
