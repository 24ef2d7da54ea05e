"""Judge a program on a dataset: reports with intervals, whose-fault rules, statistics."""

from tunesmith.evaluation.evaluator import Metric, Runner, evaluate
from tunesmith.evaluation.judge_agreement import Agreement, agreement
from tunesmith.evaluation.race import RACES, Standing, paired_halving
from tunesmith.evaluation.report import Failure, Report, Row, Step, gain
from tunesmith.evaluation.runs import RunFolder, run_path, write_atomically
from tunesmith.evaluation.statistics import Interval, mean_interval, paired_gain, wilson

__all__ = [
    "Agreement",
    "agreement",
    "evaluate",
    "Failure",
    "gain",
    "Interval",
    "mean_interval",
    "Metric",
    "paired_gain",
    "paired_halving",
    "RACES",
    "Report",
    "Row",
    "run_path",
    "RunFolder",
    "Runner",
    "Standing",
    "Step",
    "wilson",
    "write_atomically",
]
