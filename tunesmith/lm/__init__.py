"""Language models: engines, cache, meters, doubles."""

import sys
import types
from typing import TYPE_CHECKING, Any

from tunesmith.lazy import lazy_package

if TYPE_CHECKING:
    from tunesmith.lm.cache.reply_cache import ReplyCache
    from tunesmith.lm.call import Call, StopSignal
    from tunesmith.lm.doubles import FunctionLM, ScriptedLM, Seen
    from tunesmith.lm.engine import (
        BaseLM,
        Capabilities,
        Config,
        DspyLM,
        Engine,
        FunctionTool,
        Identity,
        Message,
        Request,
        Response,
        StreamDeltaEvent,
        StreamEndEvent,
        StreamEvent,
        StreamStartEvent,
        TextDelta,
        TextPart,
        TokenLogprob,
        ToolCallPart,
        ToolResultPart,
        TopLogprob,
        Usage,
        message_text,
        text_response,
        user_message,
    )
    from tunesmith.lm.engines.ollama import ollama_server
    from tunesmith.lm.engines.ollama.cloud import is_cloud_name
    from tunesmith.lm.engines.ollama.facts import ModelFacts, OwnTurns
    from tunesmith.lm.engines.registry import EngineKind, engine_kind, engine_kinds, file_options, register_engine
    from tunesmith.lm.folders import home, models_dir
    from tunesmith.lm.meter import Budget, Meter, Spend
    from tunesmith.lm.model import LM, as_lm, build_lm, lm, reply_cache
    from tunesmith.lm.options import (
        NEVER_SENT,
        PORTABLE,
        SECRET_OPTIONS,
        check_options,
        check_values,
        is_portable,
        plain_options,
    )
    from tunesmith.lm.scope import (
        Scope,
        current_scope,
        in_trial,
        metered,
        remembering,
        replay_calls,
        role,
        run_under_way,
        stoppable,
        unmetered,
        unpaid,
    )
    from tunesmith.lm.stack import effective, rollout_number
    from tunesmith.lm.streaming import listening
    from tunesmith.lm.weights.models import ModelInfo, embedded_path, list_models, pull, show
    from tunesmith.lm.wire import Prefix, request_key
else:
    __getattr__ = lazy_package(__name__)

__all__ = [
    "as_lm",
    "BaseLM",
    "Budget",
    "build_lm",
    "Call",
    "Capabilities",
    "check_options",
    "check_values",
    "Config",
    "current_scope",
    "DspyLM",
    "effective",
    "embedded_path",
    "Engine",
    "engine_kind",
    "engine_kinds",
    "EngineKind",
    "file_options",
    "FunctionLM",
    "FunctionTool",
    "home",
    "Identity",
    "in_trial",
    "is_cloud_name",
    "is_portable",
    "list_models",
    "listening",
    "LM",
    "lm",
    "Message",
    "message_text",
    "Meter",
    "metered",
    "ModelFacts",
    "ModelInfo",
    "models_dir",
    "NEVER_SENT",
    "ollama_server",
    "OwnTurns",
    "plain_options",
    "PORTABLE",
    "Prefix",
    "pull",
    "register_engine",
    "remembering",
    "replay_calls",
    "reply_cache",
    "ReplyCache",
    "Request",
    "request_key",
    "Response",
    "role",
    "rollout_number",
    "run_under_way",
    "Scope",
    "ScriptedLM",
    "SECRET_OPTIONS",
    "Seen",
    "show",
    "Spend",
    "stoppable",
    "StopSignal",
    "StreamDeltaEvent",
    "StreamEndEvent",
    "StreamEvent",
    "StreamStartEvent",
    "text_response",
    "TextDelta",
    "TextPart",
    "TokenLogprob",
    "ToolCallPart",
    "ToolResultPart",
    "TopLogprob",
    "unmetered",
    "unpaid",
    "Usage",
    "user_message",
]


class _CallableModule(types.ModuleType):
    """This package itself: `ts.lm(...)` is promised, and `tunesmith.lm` is a package as well."""

    def __call__(self, spec: str, **options: Any) -> "LM":
        """Return the model that `spec` names; see `tunesmith.lm.lm`."""
        made: LM = self.lm(spec, **options)
        return made


sys.modules[__name__].__class__ = _CallableModule
