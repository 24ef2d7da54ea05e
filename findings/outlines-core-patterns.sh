#!/usr/bin/env bash
# outlines-core 0.2.14: a `pattern` of a JSON Schema is put between two quotes as it stands, and a length takes its place.
#
# Guess before running it: a pattern holds the whole text, with anchors or without; whatever it says, the text stays a
# JSON string; `pattern` and `maxLength` hold both.
# Seen: beside `maxLength` or `minLength` the pattern is dropped without an error. `^a|b$` admits neither "a" nor "b", but
# `"a` and `b"`, each with one quote, because the choice has no group around it. `.` and `[^ ]` match the quote, so `^.{2}$`
# admits the reply `""x"`, which is no JSON. A pattern with `^` alone admits nothing (an error where the index is made).
# Without anchors the pattern holds the whole text, though JSON Schema says that it is looked for in it.
#
# In tunesmith: only patterns of classes and literals that are anchored at both ends are sent, and no length beside them;
# every reply is checked against the declared type.
# Needs a network with a Python package index. Fails if the behaviour changes.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'outlines-core==0.2.14'
cat > "$work/try.py" <<'PY'
import json

from outlines_core import Guide, Index, Vocabulary
from outlines_core.json_schema import build_regex_from_schema

characters = Vocabulary(0, {chr(code): [code] for code in range(32, 127)})  # a token for each character; 0 ends


def admits(reply, **schema):
    guide = Guide(Index(build_regex_from_schema(json.dumps({"type": "string", **schema})), characters))
    for code in map(ord, reply):
        if code not in guide.get_tokens():
            return False
        guide.advance(code)
    return 0 in guide.get_tokens()


def show(*replies, **schema):
    try:
        print(schema, {reply: admits(reply, **schema) for reply in replies})
    except ValueError as error:
        print(schema, type(error).__name__)


show('"123"', '"abc"', pattern="^[0-9]+$")
show('"123"', '"abc"', '"12345"', pattern="^[0-9]+$", maxLength=4)
show('"a"', '"b"', '"a', 'b"', pattern="^a|b$")
show('"a"', '"b"', '"a', 'b"', pattern="^(a|b)$")
show('"xy"', '""x"', pattern="^.{2}$")
show('"xy"', '""x"', pattern="^[^ ]{2}$")
show('"123"', '"x123"', pattern="[0-9]{3}")
show('"123"', '"123x"', pattern="^[0-9]{3}")
PY
found=$("$work/venv/bin/python" "$work/try.py" 2>/dev/null)
wanted=$(cat <<'TEXT'
{'pattern': '^[0-9]+$'} {'"123"': True, '"abc"': False}
{'pattern': '^[0-9]+$', 'maxLength': 4} {'"123"': True, '"abc"': True, '"12345"': False}
{'pattern': '^a|b$'} {'"a"': False, '"b"': False, '"a': True, 'b"': True}
{'pattern': '^(a|b)$'} {'"a"': True, '"b"': True, '"a': False, 'b"': False}
{'pattern': '^.{2}$'} {'"xy"': True, '""x"': True}
{'pattern': '^[^ ]{2}$'} {'"xy"': True, '""x"': True}
{'pattern': '[0-9]{3}'} {'"123"': True, '"x123"': False}
{'pattern': '^[0-9]{3}'} ValueError
TEXT
)
echo "$found"
[ "$found" = "$wanted" ] || { echo "The behaviour has changed." >&2; exit 1; }
