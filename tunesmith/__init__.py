"""Compile declarative LM programs for the model you run yourself. See `docs/` and the README.

Names are loaded on first use: `import tunesmith` imports nothing heavy.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunesmith import errors, metrics
    from tunesmith.artifacts import Artifact, load, save, verify
    from tunesmith.compilers import (
        BootstrapFewShot,
        Compiler,
        CompileReport,
        LabeledFewShot,
        RandomSearch,
    )
    from tunesmith.data import Dataset, Score
    from tunesmith.evaluation import Report, class_scores, evaluate
    from tunesmith.experiments import CompileResult
    from tunesmith.experiments import compile_program as compile  # noqa: A004 - promised as `ts.compile`
    from tunesmith.lm import LM, Budget, FunctionLM, Meter, ScriptedLM, metered
    from tunesmith.modules import (
        Candidate,
        ChainOfThought,
        FieldDelta,
        Finished,
        Predict,
        SelfConsistency,
        Setting,
        render,
        stream,
    )
    from tunesmith.signatures import Demo, InputField, OutputField, Signature, signature_from_function

__version__ = "0.1.0"

_HOME = {
    "Artifact": "artifacts",
    "BootstrapFewShot": "compilers",
    "Budget": "lm",
    "Candidate": "modules",
    "class_scores": "evaluation",
    "ChainOfThought": "modules",
    "Compiler": "compilers",
    "CompileReport": "compilers",
    "CompileResult": "experiments",
    "Dataset": "data",
    "Demo": "signatures",
    "evaluate": "evaluation",
    "FieldDelta": "modules",
    "Finished": "modules",
    "FunctionLM": "lm",
    "InputField": "signatures",
    "LabeledFewShot": "compilers",
    "LM": "lm",
    "load": "artifacts",
    "Meter": "lm",
    "metered": "lm",
    "OutputField": "signatures",
    "Predict": "modules",
    "RandomSearch": "compilers",
    "render": "modules",
    "Report": "evaluation",
    "save": "artifacts",
    "Score": "data",
    "ScriptedLM": "lm",
    "SelfConsistency": "modules",
    "Setting": "modules",
    "Signature": "signatures.declaring",
    "signature_from_function": "signatures",
    "stream": "modules",
    "verify": "artifacts",
}
_PACKAGES = ("errors", "lm", "metrics")

__all__ = [
    "Artifact",
    "BootstrapFewShot",
    "Budget",
    "Candidate",
    "ChainOfThought",
    "class_scores",
    "compile",
    "Compiler",
    "CompileReport",
    "CompileResult",
    "Dataset",
    "Demo",
    "errors",
    "evaluate",
    "FieldDelta",
    "Finished",
    "FunctionLM",
    "InputField",
    "LabeledFewShot",
    "lm",
    "LM",
    "load",
    "Meter",
    "metered",
    "metrics",
    "OutputField",
    "Predict",
    "RandomSearch",
    "render",
    "Report",
    "save",
    "Score",
    "ScriptedLM",
    "SelfConsistency",
    "Setting",
    "Signature",
    "signature_from_function",
    "stream",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name == "compile":
        value = importlib.import_module("tunesmith.experiments").compile_program
    elif name in _PACKAGES:
        return importlib.import_module(f"tunesmith.{name}")
    elif name in _HOME:
        value = getattr(importlib.import_module(f"tunesmith.{_HOME[name]}"), name)
    else:
        raise AttributeError(f"module 'tunesmith' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
