"""Every kind of program comes back from its artifact in a fresh process, and says the same to the same inputs."""

import importlib
import json
import pkgutil
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dspy
import pytest

import tests.modules.test_contract
import tunesmith as ts
import tunesmith.modules
from tests.contracts.module import ModuleContract, changed, reply_to, run
from tests.modules.plain_programs import Route
from tests.modules.test_contract import BILL
from tunesmith.lm import ReplyCache
from tunesmith.modules import BestOf, Candidate, ChainOfThought, Nearest, Predict, find_module, with_default_formats
from tunesmith.modules.registry import saved_name

CONTRACTS = {
    name: kind
    for name, kind in vars(tests.modules.test_contract).items()
    if isinstance(kind, type) and issubclass(kind, ModuleContract) and kind is not ModuleContract
}
FRESH = """
import importlib, json, sys
from pathlib import Path
import dspy
import tunesmith as ts
from tunesmith.lm import ReplyCache

def never(seen):
    raise AssertionError("this was not in the cache")

folder = Path(sys.argv[1])
lm = ts.FunctionLM(never, cache=ReplyCache(folder / "cache"), version="1")
cases = json.loads((folder / "cases.json").read_text())
found = {}
for name, case in sorted(cases.items(), key=lambda pair: pair[1]["code"] is not None):  # the built-in ones first
    if case["code"] is None:
        assert "tests" not in sys.modules
        program = ts.load(folder / name)
    else:
        module, _, kind = case["code"].partition(":")
        program = ts.load(folder / name, program=getattr(importlib.import_module(module), kind)().make())
    with dspy.context(lm=lm):
        found[name] = json.dumps(program(**case["inputs"]).toDict(), default=repr)
print(json.dumps(found))
"""


class TestRewardedByAPredictor:
    inputs = BILL

    def make(self) -> dspy.Module:
        return BestOf(ChainOfThought(Route), Predict("message, queue -> good: bool"), samples=2)


class TestDemosOfEachCall:
    inputs = BILL

    def make(self) -> dspy.Module:
        program = Predict(Route, temperature=0.5, max_tokens=40)
        demos = [ts.Demo({"message": f"{word} is lost"}, {"queue": "cards"}) for word in ("bill", "card", "key")]
        return Candidate.of(program).with_demos("self", demos, Nearest(k=2)).apply(program)


def programs() -> Iterator[tuple[str, Mapping[str, Any], dspy.Module]]:
    """Give each program twice: as it is made, and with other instructions, demos and formats."""
    for kind in (*CONTRACTS.values(), TestRewardedByAPredictor, TestDemosOfEachCall):
        made = kind().make()
        yield f"{kind.__name__}-given", kind.inputs, with_default_formats(made)
        if kind is not TestDemosOfEachCall:
            yield f"{kind.__name__}-changed", kind.inputs, changed(Candidate.of(made), made).apply(made)


def code_of(name: str, artifact: ts.Artifact) -> str | None:
    """Return where a program is made that has functions, tools or a class of the user's own."""
    described = artifact.manifest["program"]
    if described["rebuildable"] and '"value": "function"' not in json.dumps(described["spec"]):
        return None
    return f"tests.modules.test_contract:{name.partition('-')[0]}"


def test_every_registered_module_is_in_a_program_of_the_contract_suite() -> None:
    for file in pkgutil.walk_packages(tunesmith.modules.__path__, "tunesmith.modules."):
        importlib.import_module(file.name)
    found = {type(module) for kind in CONTRACTS.values() for _, module in kind().make().named_sub_modules(dspy.Module)}
    names = set(map(saved_name, found))
    registered = {name for name in tunesmith.modules.registry._KINDS if name.startswith("tunesmith.")}
    assert len(registered) > 30
    assert {name for name in names if find_module(name)} >= registered


@pytest.mark.whole
def test_every_program_says_the_same_in_a_fresh_process(tmp_path: Path) -> None:
    lm = ts.FunctionLM(reply_to, cache=ReplyCache(tmp_path / "cache"), version="1")
    cases, said = {}, {}
    for name, inputs, program in programs():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of classes of the user's own
            artifact = ts.save(tmp_path / name, program)
        cases[name] = {"inputs": dict(inputs), "code": code_of(name, artifact)}
        said[name] = json.dumps(run(program, lm, inputs).toDict(), default=repr)
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    alone = {name for name, case in cases.items() if case["code"] is None}
    assert len(alone) > len(cases) / 2

    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", FRESH, tmp_path], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == said
