#!/usr/bin/env bash
# dspy 3.4.1: a demo whose output is `None` is written as a word that the same adapter reads back as text.
#
# Guess before running it: an adapter reads what it writes, so a reply that is a demo's own text gives the demo's value.
# Seen: `ChatAdapter` and `XMLAdapter` write `None` for a `str | None` and read it as the text "None", which is true where the value
# is tested; "null", which the JSON Schema in the prompt asks for, is read as the text "null". Of a `list[str] | None` the
# `XMLAdapter` makes `["None"]`. For `int | None` both read `None`, and `JSONAdapter` does for all of them. So a compiled program whose
# demos teach "there is none" gives a text, and a metric that compares with the label counts it as wrong.
#
# In tunesmith: all formats but `chat`, which is DSPy's own, read the value that they write.
# Needs a network with a Python package index. Fails if the behaviour changes.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'dspy==3.4.1'
cat > "$work/try.py" <<'PY'
import dspy

kinds = {"str | None": str | None, "int | None": int | None, "list[str] | None": list[str] | None}
for adapter in (dspy.ChatAdapter(), dspy.XMLAdapter(), dspy.JSONAdapter()):
    for name, kind in kinds.items():
        signature = dspy.Signature({"text": (str, dspy.InputField()), "owner": (kind, dspy.OutputField())}, "Who owns it?")
        messages = adapter.format(signature, [{"text": "A stray dog.", "owner": None}], {"text": "Ada's dog."})
        demo = next(one["content"] for one in messages if one["role"] == "assistant")
        print(type(adapter).__name__, name, repr(adapter.parse(signature, demo)["owner"]))
signature = dspy.Signature({"text": (str, dspy.InputField()), "owner": (str | None, dspy.OutputField())}, "Who owns it?")
print("null:", repr(dspy.ChatAdapter().parse(signature, "[[ ## owner ## ]]\nnull\n\n[[ ## completed ## ]]")["owner"]))
PY
found=$(DSPY_CACHEDIR="$work/cache" "$work/venv/bin/python" "$work/try.py" 2>/dev/null)
wanted="ChatAdapter str | None 'None'
ChatAdapter int | None None
ChatAdapter list[str] | None None
XMLAdapter str | None 'None'
XMLAdapter int | None None
XMLAdapter list[str] | None ['None']
JSONAdapter str | None None
JSONAdapter int | None None
JSONAdapter list[str] | None None
null: 'null'"
echo "$found"
[ "$found" = "$wanted" ] || { echo "The behaviour has changed." >&2; exit 1; }
