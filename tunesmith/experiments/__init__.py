"""Compiling in full: splits, budget, test, verdict, run folder; projects and the demo."""

from tunesmith.experiments.compiling import CompileResult, compile_program, plan
from tunesmith.experiments.neighbours import nearest_neighbour_vote
from tunesmith.experiments.verdict import VERDICTS, verdict_of

__all__ = [
    "compile_program",
    "CompileResult",
    "nearest_neighbour_vote",
    "plan",
    "verdict_of",
    "VERDICTS",
]
