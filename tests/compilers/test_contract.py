"""Every compiler keeps the contract."""

from typing import Any, ClassVar

import dspy
import pytest

from tests.compilers.asking import Asking
from tests.compilers.worlds import TRAIN, VAL, Colour, right, world
from tests.contracts.compiler import CompileContract, CompilerContract, Nested
from tests.contracts.proposing import ProposingContract
from tunesmith.compilers import (
    APE,
    BPO,
    CAPO,
    GEPA,
    OPRO,
    PE2,
    BootstrapFewShot,
    Calibrate,
    Compiler,
    DSPyCompiler,
    JointSearch,
    KNNFewShot,
    LabeledFewShot,
    Portfolio,
    ProTeGi,
    RandomSearch,
    TextGrad,
)
from tunesmith.lm import FunctionLM


class TestLabeledFewShot(CompilerContract, CompileContract):
    def make(self, **options: Any) -> Compiler:
        return LabeledFewShot(4, **{"metric": right, **options})


class TestBootstrapFewShot(CompilerContract):
    def make(self, **options: Any) -> Compiler:
        return BootstrapFewShot(**{"metric": right, "max_labeled_demos": 6, **options})


class TestRandomSearch(CompilerContract):
    def make(self, **options: Any) -> Compiler:
        return RandomSearch(**{"metric": right, "num_candidates": 4, **options})


@pytest.mark.whole
class TestKNNFewShot(CompilerContract):
    def make(self, **options: Any) -> Compiler:
        return KNNFewShot(**{"metric": right, "num_candidates": 4, **options})


class TestCalibrate(CompilerContract):
    def make(self, **options: Any) -> Compiler:
        return Calibrate(**{"metric": right, "num_candidates": 2, **options})

    def students(self) -> tuple[dspy.Module, ...]:
        return (Nested(),)  # a closed set has to be the only output


class TestAsking(ProposingContract, CompileContract):
    def make(self, **options: Any) -> Compiler:
        return Asking(**{"metric": right, **options})


class TestPortfolio(ProposingContract):
    rereads = True  # replies, for scores with offsets

    def make(self, **options: Any) -> Compiler:
        return Portfolio(**{"metric": right, "num_candidates": 6, "proposals": 4, **options})


class TestDSPyCompiler(CompilerContract, CompileContract):
    def make(self, **options: Any) -> Compiler:
        arguments = {"num_candidate_programs": 1, "max_bootstrapped_demos": 2, "max_labeled_demos": 4}
        return DSPyCompiler("BootstrapFewShotWithRandomSearch", **{"metric": right, "arguments": arguments, **options})

    def test_seed_0_is_not_seed_9(self) -> None:
        """This one of DSPy's optimizers takes no seed."""

    def test_the_report_says_what_was_decided_and_what_it_cost(self) -> None:
        """DSPy asks for some replies again, which is charged once."""
        assert self.done().report.charged.calls < len(self.done().model.requests)

    def test_callbacks_of_dspy_are_told_once(self) -> None:
        """They are told of DSPy's own compile too."""


@pytest.mark.whole
class TestAPE(ProposingContract):
    def make(self, **options: Any) -> Compiler:
        small = {"questions": 2, "per_question": 3, "iterations": 1, "variations": 2, "samples": 4}
        return APE(**{"metric": right, **small, **options})


@pytest.mark.whole
class TestOPRO(ProposingContract):
    def make(self, **options: Any) -> Compiler:
        return OPRO(**{"metric": right, "steps": 3, "per_step": 2, "finalists": 1, **options})


@pytest.mark.whole
class TestBPO(ProposingContract):
    def make(self, **options: Any) -> Compiler:
        small = {"examples": 6, "runs": 2, "pairs": 3, "variants": 3}
        return BPO(**{"metric": right, **small, **options})


@pytest.mark.whole
class TestGEPA(ProposingContract):
    def make(self, **options: Any) -> Compiler:
        return GEPA(**{"metric": right, "iterations": 5, **options})


@pytest.mark.whole
class TestPE2(ProposingContract):
    def make(self, **options: Any) -> Compiler:
        few = {"rounds": 2, "n_expand": 1, "scratch": 1, "runs": 8, "evaluations": 40, "history": True}
        return PE2(**{"metric": right, **few, **options})


@pytest.mark.whole
class TestProTeGi(ProposingContract):
    def make(self, **options: Any) -> Compiler:
        few = {"rounds": 2, "beam_size": 2, "minibatch": 6, "n_gradients": 1, "scratch": 1, "evaluations": 40}
        return ProTeGi(**{"metric": right, **few, **options})


@pytest.mark.whole
class TestCAPO(ProposingContract):
    instructions_alone: ClassVar[dict[str, Any]] = {"max_demos": 0}

    def make(self, **options: Any) -> Compiler:
        return CAPO(**{"metric": right, "population": 3, "children": 2, "iterations": 2, "finalists": 1, **options})


@pytest.mark.whole
class TestTextGrad(ProposingContract):
    instructions_alone: ClassVar[dict[str, Any]] = {"max_demos": 0}

    def make(self, **options: Any) -> Compiler:
        return TextGrad(**{"metric": right, "steps": 5, **options})


@pytest.mark.whole
class TestJointSearch(ProposingContract):
    def make(self, **options: Any) -> Compiler:
        return JointSearch(**{"metric": right, "num_trials": 5, "proposals": 2, **options})


def keys() -> list[str]:
    """Return the key of every candidate of every compiler."""
    found = []
    made = [
        kind().make(slots=3)
        for kind in globals().values()
        if getattr(kind, "__module__", "") == __name__ and "make" in vars(kind)
    ]
    for compiler in (*made, RandomSearch(metric=right, num_candidates=4, sampler="tpe")):
        with dspy.context(lm=FunctionLM(world())):
            program = compiler.compile(dspy.Predict(Colour), trainset=TRAIN, valset=VAL)
        found += [program.compile_report.candidate.key, *(t.candidate.key for t in program.compile_report.trials)]
    return found
