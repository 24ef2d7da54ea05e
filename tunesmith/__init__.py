"""Compile declarative LM programs for the model you run yourself. See `docs/` and the README.

Names are loaded on first use: `import tunesmith` imports nothing heavy.
"""

from typing import TYPE_CHECKING

from tunesmith.lazy import lazy_package

if TYPE_CHECKING:
    from tunesmith import errors, lm, metrics
    from tunesmith.artifacts import Artifact, load, save, verify
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
        CompileReport,
        CompileResult,
        DSPyCompiler,
        JointSearch,
        KNNFewShot,
        LabeledFewShot,
        Portfolio,
        ProTeGi,
        RandomSearch,
        TextGrad,
    )
    from tunesmith.data import Dataset, Score
    from tunesmith.evaluation import Report, class_scores, evaluate
    from tunesmith.experiments import compile_program as compile  # noqa: A004 - promised as `ts.compile`
    from tunesmith.lm import LM, Budget, FunctionLM, Meter, ScriptedLM, metered
    from tunesmith.modules import (
        BM25,
        RAG,
        BestOf,
        Candidate,
        Chain,
        ChainOfThought,
        Classify,
        Corpus,
        CoTThenReAct,
        FieldDelta,
        Finished,
        Generate,
        Hybrid,
        LeastToMost,
        Map,
        MCPTools,
        Memory,
        MultiChainComparison,
        Parallel,
        Passage,
        Predict,
        ProgramOfThought,
        ReAct,
        ReActThenCoT,
        Refine,
        Rerank,
        Retrieve,
        Rewriter,
        Router,
        SelfConsistency,
        Setting,
        Tool,
        Vectors,
        ZeroShotCoT,
        render,
        stream,
        tree,
    )
    from tunesmith.signatures import Demo, InputField, OutputField
    from tunesmith.signatures.declaring import Signature
else:
    __getattr__ = lazy_package(__name__)

__version__ = "0.1.0"

__all__ = [
    "APE",
    "Artifact",
    "BestOf",
    "BM25",
    "BootstrapFewShot",
    "BPO",
    "Budget",
    "Calibrate",
    "Candidate",
    "CAPO",
    "Chain",
    "ChainOfThought",
    "class_scores",
    "Classify",
    "compile",
    "Compiler",
    "CompileReport",
    "CompileResult",
    "Corpus",
    "CoTThenReAct",
    "Dataset",
    "Demo",
    "DSPyCompiler",
    "errors",
    "evaluate",
    "FieldDelta",
    "Finished",
    "FunctionLM",
    "Generate",
    "GEPA",
    "Hybrid",
    "InputField",
    "JointSearch",
    "KNNFewShot",
    "LabeledFewShot",
    "LeastToMost",
    "LM",
    "lm",
    "load",
    "Map",
    "MCPTools",
    "Memory",
    "Meter",
    "metered",
    "metrics",
    "MultiChainComparison",
    "OPRO",
    "OutputField",
    "Parallel",
    "Passage",
    "PE2",
    "Portfolio",
    "Predict",
    "ProgramOfThought",
    "ProTeGi",
    "RAG",
    "RandomSearch",
    "ReAct",
    "ReActThenCoT",
    "Refine",
    "render",
    "Report",
    "Rerank",
    "Retrieve",
    "Rewriter",
    "Router",
    "save",
    "Score",
    "ScriptedLM",
    "SelfConsistency",
    "Setting",
    "Signature",
    "stream",
    "TextGrad",
    "Tool",
    "tree",
    "Vectors",
    "verify",
    "ZeroShotCoT",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
