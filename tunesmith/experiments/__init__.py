"""Compiling in full: splits, budget, test, verdict, run folder; projects and the demo."""

from typing import TYPE_CHECKING

from tunesmith.lazy import lazy_package

if TYPE_CHECKING:
    from tunesmith.experiments.cells import project_experiment
    from tunesmith.experiments.comparison import Compared, Comparison, compare_runs
    from tunesmith.experiments.compiling import compile_program, plan
    from tunesmith.experiments.demo import BUDGET as DEMO_BUDGET
    from tunesmith.experiments.demo import DemoResult, run_demo
    from tunesmith.experiments.estimates import estimated, timed_calls
    from tunesmith.experiments.experiment import Cell, CellOutcome, Experiment
    from tunesmith.experiments.gates import CheckResult, Gate, Gates, check_artifact
    from tunesmith.experiments.layers import mistaken_variables
    from tunesmith.experiments.leaderboard import Leaderboard, Standing, TaskBoard
    from tunesmith.experiments.mining import HardExample, hard_examples, places_by_hardness
    from tunesmith.experiments.more_rows import new_rows
    from tunesmith.experiments.named import find_object, find_program, find_signature
    from tunesmith.experiments.neighbours import nearest_neighbour_vote
    from tunesmith.experiments.place import PROJECT_FILE, project_root
    from tunesmith.experiments.progress import ProgressLine
    from tunesmith.experiments.project import NO_TRAINING_DATA, Project
    from tunesmith.experiments.report import Outlined, RunOutline, RunRecord, Tried, report_page, write_report
    from tunesmith.experiments.reports_compared import ComparedReport, ReportComparison, compare_reports
    from tunesmith.experiments.scaffold import write_template
    from tunesmith.experiments.self_instruct import SeedTask, new_tasks, seed_tasks
    from tunesmith.experiments.synth import Synthesis, SynthSettings
    from tunesmith.experiments.tracking import export_run
    from tunesmith.experiments.verifying import Verification, verify_artifact
else:
    __getattr__ = lazy_package(__name__)

__all__ = [
    "Cell",
    "CellOutcome",
    "check_artifact",
    "CheckResult",
    "compare_reports",
    "compare_runs",
    "Compared",
    "ComparedReport",
    "Comparison",
    "compile_program",
    "DEMO_BUDGET",
    "DemoResult",
    "estimated",
    "Experiment",
    "export_run",
    "find_object",
    "find_program",
    "find_signature",
    "Gate",
    "Gates",
    "hard_examples",
    "HardExample",
    "Leaderboard",
    "mistaken_variables",
    "nearest_neighbour_vote",
    "new_rows",
    "new_tasks",
    "NO_TRAINING_DATA",
    "Outlined",
    "places_by_hardness",
    "plan",
    "ProgressLine",
    "Project",
    "project_experiment",
    "PROJECT_FILE",
    "project_root",
    "report_page",
    "ReportComparison",
    "run_demo",
    "RunOutline",
    "RunRecord",
    "seed_tasks",
    "SeedTask",
    "Standing",
    "Synthesis",
    "SynthSettings",
    "TaskBoard",
    "timed_calls",
    "Tried",
    "Verification",
    "verify_artifact",
    "write_report",
    "write_template",
]
