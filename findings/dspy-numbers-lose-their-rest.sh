#!/usr/bin/env bash
# dspy 3.4.1 with json-repair 0.64.6: a number that a model writes in another way than JSON does is cut, not refused.
#
# Guess before running it: in a JSON reply `1 000` or `12:30` is an error for an output of type `int`; the JSON is repaired
# (quotes, commas, brackets), its values are not.
# Seen: `JSONAdapter` returns 1 for `1 000`, 12 for `12:30`, 5 for `5 to 7`, 2 for `2^10` and 5 for `<5`, and an `str` is cut
# in the same way. `3/5`, `5-7` and `1,000` are errors. In a list the rest becomes more numbers: `[1 000, 2 000]` has the
# four items 1, 0, 2, 0, under `ChatAdapter` too. `ChatAdapter` refuses a plain `1 000`, but then asks again with
# `JSONAdapter`. Nothing is logged, and the metric sees a wrong answer that the model did not give.
#
# In tunesmith: every format refuses these replies for numbers and lists of them, as a ParseError.
# Needs a network with a Python package index. Fails if the behaviour changes.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'dspy==3.4.1' 'json-repair==0.64.6'
cat > "$work/try.py" <<'PY'
import dspy
from dspy.lm15 import Message, Response, TextPart, Usage, response_to_events


class Engine:
    """Answers one text to everything."""

    def __init__(self, text):
        self.text = text

    def complete(self, request):
        message = Message(role="assistant", parts=(TextPart(self.text),))
        return Response(id=None, model="m", message=message, finish_reason="stop", usage=Usage(1, 1))

    def stream(self, request):
        return response_to_events(self.complete(request))

    def close(self):
        pass


def read(adapter, reply, kind):
    signature = dspy.Signature({"q": (str, dspy.InputField()), "n": (kind, dspy.OutputField())})
    with dspy.context(lm=dspy.LM("m", engine=Engine(reply), cache=False), adapter=adapter):
        try:
            return dspy.Predict(signature)(q="?").n
        except Exception as error:
            return type(error).__name__


json, chat = dspy.JSONAdapter(), dspy.ChatAdapter(use_json_adapter_fallback=False)
for text in ("1 000", "12:30", "5 to 7", "2^10", "<5", "3/5", "5-7", "1,000"):
    print(text, "|", read(json, f'{{"n": {text}}}', int), "|", repr(read(json, f'{{"n": {text}}}', str)))
for text in ("[1 000, 2 000]", "[12:30, 13:45]", "1,000"):
    print(text, "|", read(json, f'{{"n": {text}}}', list[int]), "|", read(chat, f"[[ ## n ## ]]\n{text}", list[int]))
PY
found=$("$work/venv/bin/python" "$work/try.py" 2>/dev/null)
wanted="1 000 | 1 | '1'
12:30 | 12 | '12'
5 to 7 | 5 | '5'
2^10 | 2 | '2'
<5 | 5 | '5'
3/5 | AdapterParseError | '3/5'
5-7 | AdapterParseError | '5-7'
1,000 | AdapterParseError | '1,000'
[1 000, 2 000] | [1, 0, 2, 0] | [1, 0, 2, 0]
[12:30, 13:45] | [12, 30, 13, 45] | [12, 30, 13, 45]
1,000 | [1, 0] | [1, 0]"
echo "$found"
[ "$found" = "$wanted" ] || { echo "The behaviour has changed." >&2; exit 1; }
