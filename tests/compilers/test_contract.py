"""Every compiler keeps the contract."""

import os
import subprocess
import sys
from typing import Any

import dspy
import pytest

from tests.compilers.worlds import TRAIN, VAL, Colour, right, world
from tests.contracts.compiler import CompilerContract
from tunesmith.compilers import BootstrapFewShot, Compiler, LabeledFewShot, RandomSearch
from tunesmith.lm import FunctionLM


class TestLabeledFewShot(CompilerContract):
    def make(self, **options: Any) -> Compiler:
        return LabeledFewShot(4, **{"metric": right, **options})


class TestBootstrapFewShot(CompilerContract):
    def make(self, **options: Any) -> Compiler:
        return BootstrapFewShot(**{"metric": right, "max_labeled_demos": 6, **options})


class TestRandomSearch(CompilerContract):
    def make(self, **options: Any) -> Compiler:
        return RandomSearch(**{"metric": right, "num_candidates": 6, **options})


KEYS = """
import tests.compilers.test_contract as contract
print("\\n".join(contract.keys()))
"""


def keys() -> list[str]:
    """Return the key of every candidate of every compiler."""
    found = []
    made = [kind().make(slots=3) for kind in (TestLabeledFewShot, TestBootstrapFewShot, TestRandomSearch)]
    for compiler in (*made, RandomSearch(metric=right, num_candidates=4, sampler="tpe")):
        with dspy.context(lm=FunctionLM(world())):
            program = compiler.compile(dspy.Predict(Colour), trainset=TRAIN, valset=VAL)
        found += [program.compile_report.candidate.key, *(t.candidate.key for t in program.compile_report.trials)]
    return found


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_results_are_the_same_in_processes_with_other_hashes(hash_seed: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KEYS],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == keys()
