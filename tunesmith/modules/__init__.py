"""Programs: named predictors, how they use a format, and everything a compiler may change about them."""

from tunesmith.modules.binding import bind, bound_format, saved_settings, with_default_formats
from tunesmith.modules.candidate import Candidate, Part
from tunesmith.modules.fingerprint import (
    class_name,
    find_class,
    program_fingerprint,
    program_structure,
    why_not_importable,
)
from tunesmith.modules.hearing import FieldDelta
from tunesmith.modules.inputs import ProgramInputs, program_inputs
from tunesmith.modules.module import (
    DspyChainOfThought,
    DspyPredict,
    Module,
    Prediction,
    Tool,
    caller_adapter,
    context,
    copy_program,
    settings,
)
from tunesmith.modules.predict import ChainOfThought, Predict
from tunesmith.modules.rendering import render
from tunesmith.modules.streaming import FieldStream, Finished, stream

__all__ = [
    "bind",
    "bound_format",
    "caller_adapter",
    "Candidate",
    "ChainOfThought",
    "class_name",
    "context",
    "copy_program",
    "DspyChainOfThought",
    "DspyPredict",
    "FieldDelta",
    "FieldStream",
    "find_class",
    "Finished",
    "Module",
    "Part",
    "Predict",
    "Prediction",
    "program_fingerprint",
    "program_inputs",
    "program_structure",
    "ProgramInputs",
    "render",
    "saved_settings",
    "settings",
    "stream",
    "Tool",
    "why_not_importable",
    "with_default_formats",
]
