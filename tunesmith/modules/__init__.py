"""Programs: named predictors, how they use a format, and everything a compiler may change about them."""

from typing import TYPE_CHECKING

from tunesmith.lazy import lazy_package

if TYPE_CHECKING:
    from tunesmith.modules.agent import Agent
    from tunesmith.modules.best_of import BestOf
    from tunesmith.modules.binding import (
        bind,
        bind_defaults,
        bind_nearest,
        bound_format,
        bound_offsets,
        format_of,
        lone_prediction,
        lone_predictor,
        saved_settings,
        with_default_formats,
    )
    from tunesmith.modules.candidate import Candidate, Part
    from tunesmith.modules.chain import Chain
    from tunesmith.modules.changes import Changes, ValueChange, same_json
    from tunesmith.modules.classify import Classify
    from tunesmith.modules.contract import Contract, typed_object
    from tunesmith.modules.fingerprint import (
        class_name,
        find_class,
        program_fingerprint,
        program_structure,
        why_not_importable,
    )
    from tunesmith.modules.graph_of_thoughts import GraphOfThoughts
    from tunesmith.modules.idle import Idle, idle_of
    from tunesmith.modules.inputs import ProgramInputs, program_inputs
    from tunesmith.modules.least_to_most import LeastToMost
    from tunesmith.modules.likelihood import Likelihood
    from tunesmith.modules.mapping import Map
    from tunesmith.modules.mcp_tools import MCPTools
    from tunesmith.modules.memory import Memory
    from tunesmith.modules.module import (
        DspyChainOfThought,
        DspyPredict,
        Module,
        Prediction,
        caller_adapter,
        context,
        copy_program,
        set_decisions,
        settings,
        signature_of,
        with_lm,
    )
    from tunesmith.modules.multi_chain import MultiChainComparison
    from tunesmith.modules.nearest import Nearest, demo_content, inputs_text, nearest_of, nearest_path, static_demos
    from tunesmith.modules.parallel import Parallel
    from tunesmith.modules.predict import ChainOfThought, Predict
    from tunesmith.modules.program_of_thought import ProgramOfThought
    from tunesmith.modules.program_tree import ProgramTree, tree
    from tunesmith.modules.react import FINISH, ReAct
    from tunesmith.modules.react_fallbacks import CoTThenReAct, ReActThenCoT
    from tunesmith.modules.refine import Refine
    from tunesmith.modules.registry import calls_of, find_module, register_module, spec_of
    from tunesmith.modules.rendering import render, reply_text
    from tunesmith.modules.replaying import replayed
    from tunesmith.modules.retrieval import (
        BM25,
        RAG,
        Chunking,
        Compress,
        Corpus,
        Dedupe,
        Expand,
        Fuse,
        Generate,
        Hybrid,
        HyDE,
        Iterate,
        Passage,
        PgVector,
        Recall,
        Rerank,
        Retrieve,
        Retriever,
        RewriteQuery,
        Route,
        StepBack,
        VectorIndex,
        Vectors,
        WordIndex,
        as_retriever,
        files_beside,
        fused,
        words_of,
    )
    from tunesmith.modules.rewriter import Rewriter, rewriters_of
    from tunesmith.modules.rewriting import why_not_rewritten
    from tunesmith.modules.router import Router
    from tunesmith.modules.self_consistency import SelfConsistency
    from tunesmith.modules.setting import Setting, change_settings, choices_of, settings_of
    from tunesmith.modules.state_machine import StateMachine
    from tunesmith.modules.streaming import FieldDelta, FieldStream, Finished, run_told, stream
    from tunesmith.modules.team import Team
    from tunesmith.modules.tool import Tool, program_tools
    from tunesmith.modules.trajectory import ToolStep
    from tunesmith.modules.tree_of_thoughts import TreeOfThoughts
    from tunesmith.modules.zero_shot_cot import ZeroShotCoT
else:
    __getattr__ = lazy_package(__name__)

__all__ = [
    "Agent",
    "as_retriever",
    "BestOf",
    "bind",
    "bind_defaults",
    "bind_nearest",
    "BM25",
    "bound_format",
    "bound_offsets",
    "caller_adapter",
    "calls_of",
    "Candidate",
    "Chain",
    "ChainOfThought",
    "change_settings",
    "Changes",
    "choices_of",
    "Chunking",
    "class_name",
    "Classify",
    "Compress",
    "context",
    "Contract",
    "copy_program",
    "Corpus",
    "CoTThenReAct",
    "Dedupe",
    "demo_content",
    "DspyChainOfThought",
    "DspyPredict",
    "Expand",
    "FieldDelta",
    "FieldStream",
    "files_beside",
    "find_class",
    "find_module",
    "FINISH",
    "Finished",
    "format_of",
    "Fuse",
    "fused",
    "Generate",
    "GraphOfThoughts",
    "Hybrid",
    "HyDE",
    "Idle",
    "idle_of",
    "inputs_text",
    "Iterate",
    "LeastToMost",
    "Likelihood",
    "lone_prediction",
    "lone_predictor",
    "Map",
    "MCPTools",
    "Memory",
    "Module",
    "MultiChainComparison",
    "Nearest",
    "nearest_of",
    "nearest_path",
    "Parallel",
    "Part",
    "Passage",
    "PgVector",
    "Predict",
    "Prediction",
    "program_fingerprint",
    "program_inputs",
    "program_structure",
    "program_tools",
    "ProgramInputs",
    "ProgramOfThought",
    "ProgramTree",
    "RAG",
    "ReAct",
    "ReActThenCoT",
    "Recall",
    "Refine",
    "register_module",
    "render",
    "replayed",
    "reply_text",
    "Rerank",
    "Retrieve",
    "Retriever",
    "RewriteQuery",
    "Rewriter",
    "rewriters_of",
    "Route",
    "Router",
    "run_told",
    "same_json",
    "saved_settings",
    "SelfConsistency",
    "set_decisions",
    "Setting",
    "settings",
    "settings_of",
    "signature_of",
    "spec_of",
    "StateMachine",
    "static_demos",
    "StepBack",
    "stream",
    "Team",
    "Tool",
    "ToolStep",
    "tree",
    "TreeOfThoughts",
    "typed_object",
    "ValueChange",
    "VectorIndex",
    "Vectors",
    "why_not_importable",
    "why_not_rewritten",
    "with_default_formats",
    "with_lm",
    "WordIndex",
    "words_of",
    "ZeroShotCoT",
]
