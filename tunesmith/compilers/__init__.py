"""Find instructions, demos and formats that score best: the study and the compilers on it."""

from tunesmith.compilers.bootstrap import Bootstrapped
from tunesmith.compilers.compiler import Compiler, as_model, fitted_dataset, split_validation
from tunesmith.compilers.few_shot import BootstrapFewShot, LabeledFewShot, few_shot_candidate
from tunesmith.compilers.random_search import RandomSearch
from tunesmith.compilers.session import CompileReport, Session, TrialRecord, check_seed
from tunesmith.compilers.study import SAMPLERS, StoredStudy, Study, Trial
from tunesmith.compilers.study_mirror import Mirror, MirrorPlace, mirrored
from tunesmith.compilers.study_objectives import OBJECTIVES, pareto_front

__all__ = [
    "as_model",
    "BootstrapFewShot",
    "Bootstrapped",
    "check_seed",
    "Compiler",
    "CompileReport",
    "few_shot_candidate",
    "fitted_dataset",
    "LabeledFewShot",
    "Mirror",
    "mirrored",
    "MirrorPlace",
    "OBJECTIVES",
    "pareto_front",
    "RandomSearch",
    "SAMPLERS",
    "Session",
    "split_validation",
    "StoredStudy",
    "Study",
    "Trial",
    "TrialRecord",
]
