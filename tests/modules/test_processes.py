"""What other processes see: the same keys, and states that need DSPy alone."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.module import changed
from tests.modules import plain_programs
from tunesmith.modules import Candidate, program_fingerprint

NAMES = ("Listed", "Pipeline", "Agent", "Frozen")

KEYS = """
import sys
from tests.contracts.module import changed
from tests.modules import plain_programs
from tunesmith.modules import Candidate, program_fingerprint
for name in sys.argv[1:]:
    program = plain_programs.made(name)
    print(changed(Candidate.of(program), program).key, program_fingerprint(program))
"""

# The double speaks DSPy's own format, so that each state is used as plain DSPy uses it.
PLAIN = """
import importlib.abc, importlib.util, json, re, sys

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("tunesmith", "tests"):
            raise ImportError("not installed here")

sys.meta_path.insert(0, Refuse())
import dspy
from dspy.lm15 import Message, Response, TextPart, Usage

spec = importlib.util.spec_from_file_location("plain_programs", sys.argv[1])
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
for name, (state, inputs) in json.load(sys.stdin).items():
    program = programs.made(name)
    program.load_state(state)
    engine = Engine()
    with dspy.context(lm=dspy.LM("m", engine=engine, cache=False)):
        found = program(**inputs)
    answers[name] = {"outputs": {k: str(v) for k, v in found.items()}, "sent": engine.sent}
try:
    import tunesmith
except ImportError:
    print(json.dumps(answers))
"""


def python(code: str, *arguments: str, stdin: str = "", seed: str = "0") -> str:
    """Return what a new process prints."""
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
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
def processes(states: dict[str, Any]) -> tuple[str, str]:
    """Return what the two processes print; they run side by side."""
    with ThreadPoolExecutor(2) as pool:
        keys = pool.submit(python, KEYS, *NAMES, seed="12345")
        plain = pool.submit(python, PLAIN, plain_programs.__file__, stdin=json.dumps(states))
        return keys.result(), plain.result()


def test_keys_and_fingerprints_are_the_same_in_every_process(processes: tuple[str, str]) -> None:
    for name, line in zip(NAMES, processes[0].splitlines(), strict=True):
        program = plain_programs.made(name)
        key, fingerprint = line.split()
        assert changed(Candidate.of(program), program).key == key
        assert program_fingerprint(program) == fingerprint


def test_a_state_runs_where_tunesmith_is_not_installed(
    processes: tuple[str, str], states: dict[str, tuple[dict[str, Any], dict[str, str]]]
) -> None:
    answers = json.loads(processes[1])

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
