"""Programs: named predictors, how they use a format, and everything a compiler may change about them."""

from typing import TYPE_CHECKING

from tunesmith.lazy import lazy_package

if TYPE_CHECKING:
    from tunesmith.modules.agents.agent import Agent
    from tunesmith.modules.agents.mcp_tools import MCPTools
    from tunesmith.modules.agents.memory import Memory
    from tunesmith.modules.agents.react import FINISH, ReAct
    from tunesmith.modules.agents.react_fallbacks import CoTThenReAct, ReActThenCoT
    from tunesmith.modules.agents.team import Team
    from tunesmith.modules.agents.tool import Tool, program_tools
    from tunesmith.modules.agents.trajectory import ToolStep
    from tunesmith.modules.beside import files_beside
    from tunesmith.modules.binding import (
        bind,
        bind_defaults,
        bind_nearest,
        bound_format,
        bound_offsets,
        lone_prediction,
        lone_predictor,
        saved_settings,
        with_default_formats,
    )
    from tunesmith.modules.candidate import Candidate, Part
    from tunesmith.modules.changes import Changes, ValueChange, same_json
    from tunesmith.modules.classify import Classify
    from tunesmith.modules.contract import Chat, Contract, typed_object
    from tunesmith.modules.fingerprint import (
        class_name,
        find_class,
        program_fingerprint,
        program_structure,
        why_not_importable,
    )
    from tunesmith.modules.flows.chain import Chain
    from tunesmith.modules.flows.mapping import Map
    from tunesmith.modules.flows.parallel import Parallel
    from tunesmith.modules.flows.router import Router
    from tunesmith.modules.flows.state_machine import StateMachine
    from tunesmith.modules.idle import idle_of
    from tunesmith.modules.inputs import ProgramInputs, program_inputs
    from tunesmith.modules.likelihood import Likelihood
    from tunesmith.modules.module import (
        DspyChainOfThought,
        DspyPredict,
        Module,
        Prediction,
        caller_adapter,
        context,
        copy_program,
        forgetful,
        set_decisions,
        settings,
        signature_of,
        with_lm,
    )
    from tunesmith.modules.nearest import Nearest, demo_content, inputs_text, nearest_of, static_demos
    from tunesmith.modules.predict import ChainOfThought, Predict
    from tunesmith.modules.program_tree import ProgramTree, tree
    from tunesmith.modules.reasoning.best_of import BestOf
    from tunesmith.modules.reasoning.graph_of_thoughts import GraphOfThoughts
    from tunesmith.modules.reasoning.least_to_most import LeastToMost
    from tunesmith.modules.reasoning.multi_chain import MultiChainComparison
    from tunesmith.modules.reasoning.program_of_thought import ProgramOfThought
    from tunesmith.modules.reasoning.refine import Refine
    from tunesmith.modules.reasoning.rewriter import Rewriter, rewriters_of
    from tunesmith.modules.reasoning.rewriting import why_not_rewritten
    from tunesmith.modules.reasoning.self_consistency import SelfConsistency
    from tunesmith.modules.reasoning.tree_of_thoughts import TreeOfThoughts
    from tunesmith.modules.reasoning.zero_shot_cot import ZeroShotCoT
    from tunesmith.modules.registry import calls_of, find_module, missing_functions, register_module, spec_of
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
        fused,
        words_of,
    )
    from tunesmith.modules.setting import Setting, change_settings, choices_of, nearest_path, settings_of
    from tunesmith.modules.streaming import FieldDelta, FieldStream, Finished, run_told, stream
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
    "Chat",
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
    "forgetful",
    "Fuse",
    "fused",
    "Generate",
    "GraphOfThoughts",
    "Hybrid",
    "HyDE",
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
    "missing_functions",
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
