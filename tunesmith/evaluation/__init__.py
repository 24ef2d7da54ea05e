"""Judge a program on a dataset: reports with intervals, whose-fault rules, races, statistics."""

from typing import TYPE_CHECKING

from tunesmith.lazy import lazy_package

if TYPE_CHECKING:
    from tunesmith.evaluation.classes import ClassScores, class_scores
    from tunesmith.evaluation.compared import check_compared
    from tunesmith.evaluation.evaluator import Runner, as_model, evaluate
    from tunesmith.evaluation.examples import as_dataset, checked_demos, fit_to_program
    from tunesmith.evaluation.executor import Executor, executing, executor_names, register_executor
    from tunesmith.evaluation.executors.dask import DaskExecutor
    from tunesmith.evaluation.flips import Flip, Flips
    from tunesmith.evaluation.judge_agreement import Agreement, agreement
    from tunesmith.evaluation.ledger import Ledger
    from tunesmith.evaluation.ledger_entry import Entry, RowKey
    from tunesmith.evaluation.ledger_reader import (
        LedgerCounts,
        ScoredRow,
        count_ledger,
        read_entries,
        read_rows,
        read_scores,
    )
    from tunesmith.evaluation.ledger_view import LedgerView, lm_key, program_key, program_source
    from tunesmith.evaluation.paired_tests import holm, two_sided_test
    from tunesmith.evaluation.power import (
        binary_spread,
        examples_needed,
        gain_spread,
        minimum_detectable_effect,
    )
    from tunesmith.evaluation.race import RaceResult, register_race
    from tunesmith.evaluation.races.registry import RACES
    from tunesmith.evaluation.report import (
        RIGHT,
        Failure,
        PairedScores,
        Report,
        Row,
        Step,
        gain,
        leveled,
        paired_scores,
    )
    from tunesmith.evaluation.run_cleaning import Removable, removable
    from tunesmith.evaluation.run_info import CANDIDATES, TRIALS, RunInfo, run_path, runs_in
    from tunesmith.evaluation.runs import RunFolder
    from tunesmith.evaluation.statistics import (
        LEAST_CHANGED,
        Interval,
        bootstrap_interval,
        mean_interval,
        paired_gain,
        wilson,
    )
    from tunesmith.evaluation.step_pair import parting_steps
    from tunesmith.evaluation.turns import Line, Turns
else:
    __getattr__ = lazy_package(__name__)

__all__ = [
    "agreement",
    "Agreement",
    "as_dataset",
    "as_model",
    "binary_spread",
    "bootstrap_interval",
    "CANDIDATES",
    "check_compared",
    "checked_demos",
    "class_scores",
    "ClassScores",
    "count_ledger",
    "DaskExecutor",
    "Entry",
    "evaluate",
    "examples_needed",
    "executing",
    "Executor",
    "executor_names",
    "Failure",
    "fit_to_program",
    "Flip",
    "Flips",
    "gain",
    "gain_spread",
    "holm",
    "Interval",
    "LEAST_CHANGED",
    "Ledger",
    "LedgerCounts",
    "LedgerView",
    "leveled",
    "Line",
    "lm_key",
    "mean_interval",
    "minimum_detectable_effect",
    "paired_gain",
    "paired_scores",
    "PairedScores",
    "parting_steps",
    "program_key",
    "program_source",
    "RaceResult",
    "RACES",
    "read_entries",
    "read_rows",
    "read_scores",
    "register_executor",
    "register_race",
    "removable",
    "Removable",
    "Report",
    "RIGHT",
    "Row",
    "RowKey",
    "run_path",
    "RunFolder",
    "RunInfo",
    "Runner",
    "runs_in",
    "ScoredRow",
    "Step",
    "TRIALS",
    "Turns",
    "two_sided_test",
    "wilson",
]
