"""Compiling in full: splits, budget, test, verdict, run folder; projects and the demo."""

from tunesmith.experiments.compiling import CompileResult, compile_program
from tunesmith.experiments.compiling_plan import plan
from tunesmith.experiments.demo import BUDGET as DEMO_BUDGET
from tunesmith.experiments.demo import DemoResult, run_demo
from tunesmith.experiments.estimates import estimated, timed_calls
from tunesmith.experiments.gates import CheckResult, Gate, Gates, check_artifact
from tunesmith.experiments.named import find_object, find_program
from tunesmith.experiments.neighbours import nearest_neighbour_vote
from tunesmith.experiments.progress import ProgressLine
from tunesmith.experiments.project import COMPILERS, Project, ProjectSettings
from tunesmith.experiments.scaffold import write_template
from tunesmith.experiments.verdict import VERDICTS, Finding, count_evaluation, finding_of, is_test_split, verdict_of

__all__ = [
    "check_artifact",
    "CheckResult",
    "compile_program",
    "CompileResult",
    "COMPILERS",
    "count_evaluation",
    "DEMO_BUDGET",
    "DemoResult",
    "estimated",
    "find_object",
    "find_program",
    "Finding",
    "finding_of",
    "Gate",
    "Gates",
    "is_test_split",
    "nearest_neighbour_vote",
    "plan",
    "ProgressLine",
    "Project",
    "ProjectSettings",
    "run_demo",
    "timed_calls",
    "verdict_of",
    "VERDICTS",
    "write_template",
]
