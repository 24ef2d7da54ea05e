"""Find instructions, demos and formats that score best: compilers, and the search they work with."""

from typing import TYPE_CHECKING, Any

from tunesmith.lazy import lazy_package

if TYPE_CHECKING:
    from tunesmith.compilers._bad_cases import BadCasesReport
    from tunesmith.compilers._compiling import Place, run_job
    from tunesmith.compilers._effort import Effort
    from tunesmith.compilers._job import Job, job_of
    from tunesmith.compilers._mirror import Mirror, MirrorPlace
    from tunesmith.compilers._names import compiler_names
    from tunesmith.compilers._options import check_values, option, option_names, read_option
    from tunesmith.compilers._outcome import Outcome
    from tunesmith.compilers._plan import Plan, plan_of
    from tunesmith.compilers._registry import compiler_named, compilers, options_text
    from tunesmith.compilers._report import CompileReport, CompileResult, TrialRecord
    from tunesmith.compilers._search import Search, cost_per_example
    from tunesmith.compilers._standing import Standing, Watch
    from tunesmith.compilers._study import OBJECTIVES, SAMPLERS, Study, Trial, importances, pareto_front
    from tunesmith.compilers._verdict import VERDICTS, Finding, count_evaluation, finding_of, is_test_split
    from tunesmith.compilers._wording import fields_in_words, outcome_texts, pair_texts
    from tunesmith.compilers._work import Progress
    from tunesmith.compilers.ape import APE
    from tunesmith.compilers.bpo import BPO
    from tunesmith.compilers.calibrate import Calibrate, calibrated, scored
    from tunesmith.compilers.capo import CAPO
    from tunesmith.compilers.compiler import Compiler
    from tunesmith.compilers.dspy_compiler import DSPyCompiler
    from tunesmith.compilers.few_shot import BootstrapFewShot, LabeledFewShot, few_shot_candidate
    from tunesmith.compilers.gepa import GEPA
    from tunesmith.compilers.joint_search import JointSearch
    from tunesmith.compilers.knn_few_shot import KNNFewShot, demo_pools, knn_candidates
    from tunesmith.compilers.opro import OPRO
    from tunesmith.compilers.pe2 import PE2
    from tunesmith.compilers.portfolio import Portfolio
    from tunesmith.compilers.protegi import ProTeGi
    from tunesmith.compilers.random_search import RandomSearch
    from tunesmith.compilers.text_grad import TextGrad

_public = lazy_package(__name__)

__all__ = [
    "APE",
    "BadCasesReport",
    "BootstrapFewShot",
    "BPO",
    "Calibrate",
    "calibrated",
    "CAPO",
    "check_values",
    "Compiler",
    "compiler_named",
    "compiler_names",
    "CompileReport",
    "CompileResult",
    "compilers",
    "cost_per_example",
    "count_evaluation",
    "demo_pools",
    "DSPyCompiler",
    "Effort",
    "few_shot_candidate",
    "fields_in_words",
    "Finding",
    "finding_of",
    "GEPA",
    "importances",
    "is_test_split",
    "Job",
    "job_of",
    "JointSearch",
    "knn_candidates",
    "KNNFewShot",
    "LabeledFewShot",
    "Mirror",
    "MirrorPlace",
    "OBJECTIVES",
    "OPRO",
    "option",
    "option_names",
    "options_text",
    "Outcome",
    "outcome_texts",
    "pair_texts",
    "pareto_front",
    "PE2",
    "Place",
    "Plan",
    "plan_of",
    "Portfolio",
    "Progress",
    "ProTeGi",
    "RandomSearch",
    "read_option",
    "run_job",
    "SAMPLERS",
    "scored",
    "Search",
    "Standing",
    "Study",
    "TextGrad",
    "Trial",
    "TrialRecord",
    "VERDICTS",
    "Watch",
]


def __getattr__(name: str) -> Any:
    """Return a public name from its file, or a compiler that a further file of this package defines."""
    if name in __all__:
        return _public(name)
    found = {} if name.startswith("_") else {kind.__name__: kind for kind in _public("compilers")().values()}
    if name not in found:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return found[name]
