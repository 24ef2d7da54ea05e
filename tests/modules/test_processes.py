"""What another process sees: the same keys and fingerprints, and states that need DSPy alone."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dspy
import pytest

from tests.contracts.module import changed
from tests.modules import plain_programs
from tunesmith.modules import Candidate, program_fingerprint
from tunesmith.signatures import fingerprint

NAMES = ("Listed", "Pipeline", "Agent", "Frozen")

SIGNATURE = "context: list[str], q: Literal['x','y'] -> a: dict[str,int], b: frozenset[int]"

# The double speaks DSPy's own format, so that each state is used as plain DSPy uses it. One process answers all: it
# imports tunesmith only after the states have run without it.
CODE = """
import importlib.abc, importlib.util, json, re, sys

question = json.load(sys.stdin)

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("tunesmith", "tests"):
            raise ImportError("not installed here")

refuse = Refuse()
sys.meta_path.insert(0, refuse)
import dspy
from dspy.lm15 import Message, Response, TextPart, Usage

spec = importlib.util.spec_from_file_location("plain_programs", question["file"])
programs = importlib.util.module_from_spec(spec)
spec.loader.exec_module(programs)
values = {"queue": "billing", "next_tool_name": "finish", "next_tool_args": "{}"}

class Engine:
    def __init__(self):
        self.sent = []
    def complete(self, request):
        self.sent.append([request.system, *[message.text for message in request.messages]])
        names = re.findall(r"`\\[\\[ ## (\\w+) ## \\]\\]`", request.messages[-1].text)
        text = "\\n".join(f"[[ ## {name} ## ]]\\n{values.get(name, 'words')}" for name in names)
        return Response(id=None, model="m", message=Message.assistant([TextPart(text)]), finish_reason="stop",
                        usage=Usage(1, 1))
    def close(self):
        pass

answers = {}
for name, (state, inputs) in question["states"].items():
    program = programs.made(name)
    program.load_state(state)
    engine = Engine()
    with dspy.context(lm=dspy.LM("m", engine=engine, cache=False)):
        found = program(**inputs)
    answers[name] = {"outputs": {k: str(v) for k, v in found.items()}, "sent": engine.sent}
try:
    import tunesmith
    sys.exit("tunesmith was there")
except ImportError:
    sys.meta_path.remove(refuse)

from tests.contracts.module import changed
from tests.modules import plain_programs
from tunesmith.modules import Candidate, program_fingerprint
from tunesmith.signatures import fingerprint

keys = {}
for name in answers:
    program = plain_programs.made(name)
    keys[name] = changed(Candidate.of(program), program).key, program_fingerprint(program)
print(json.dumps([answers, keys, fingerprint(dspy.Signature(question["signature"]))]))
"""


def python(code: str, *, stdin: str, seed: str) -> str:
    """Return what a new process prints."""
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=stdin,
        capture_output=True,
        text=True,
        env=environment,
        cwd=root,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def states() -> dict[str, tuple[dict[str, Any], dict[str, str]]]:
    """Return for each program the state after a candidate was applied, and inputs."""
    found = {}
    for name in NAMES:
        program = plain_programs.made(name)
        applied = changed(Candidate.of(program), program).apply(program)
        inputs = {"question": "what is it?"} if name == "Agent" else {"message": "where is my bill"}
        found[name] = (applied.dump_state(), inputs)
    return found


@pytest.fixture(scope="module")
def there(states: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Return what another process finds: outputs and what was sent, keys, and the fingerprint of `SIGNATURE`."""
    question = {"file": plain_programs.__file__, "states": states, "signature": SIGNATURE}
    answers, keys, found = json.loads(python(CODE, stdin=json.dumps(question), seed="12345"))
    return answers, keys, found


def test_keys_and_fingerprints_are_the_same_in_every_process(there: tuple[Any, dict[str, Any], str]) -> None:
    assert list(there[1]) == list(NAMES)
    for name, (key, print_there) in there[1].items():
        program = plain_programs.made(name)
        assert changed(Candidate.of(program), program).key == key
        assert program_fingerprint(program) == print_there


def test_the_fingerprint_of_a_signature_is_the_same_in_every_process(there: tuple[Any, Any, str]) -> None:
    assert there[2] == fingerprint(dspy.Signature(SIGNATURE))


def test_a_state_runs_where_tunesmith_is_not_installed(
    there: tuple[dict[str, Any], Any, str], states: dict[str, tuple[dict[str, Any], dict[str, str]]]
) -> None:
    answers = there[0]

    assert list(answers) == list(NAMES)
    for name, (state, _) in states.items():
        sent = "\n".join(text for call in answers[name]["sent"] for text in call)
        for path, part in state.items():
            assert f"Another instruction for {path}." in sent
            assert f"demo of {path}" in sent
            assert len(part["demos"]) == 1
    assert answers["Listed"]["outputs"]["queue"] == "billing"
    assert answers["Pipeline"]["outputs"]["draft"] == "words"
    assert answers["Agent"]["outputs"]["answer"] == "words"
