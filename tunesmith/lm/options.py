"""The options of DSPy's LMs and predictors. Each is sent, or refused with advice on what to use instead."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from tunesmith.errors import UsageError, shown
from tunesmith.lm.engine import Config, Reasoning

__all__ = [
    "CARRIED",
    "CLIENT_OPTIONS",
    "HOSTED",
    "LLAMACPP",
    "NEVER_SENT",
    "OLLAMA",
    "PORTABLE",
    "SECRET_OPTIONS",
    "check_options",
    "check_values",
    "is_portable",
    "plain_options",
]

CLIENT_OPTIONS = frozenset(
    {
        "api_base", "api_key", "api_version", "azure_ad_token_provider", "base_url", "custom_llm_provider",
        "extra_headers", "extra_query", "headers", "organization", "project", "timeout",
    }
)  # fmt: skip
"""Options that decide where and how a request is sent."""

SECRET_OPTIONS = frozenset({"api_key", "azure_ad_token_provider", "extra_headers", "headers"})
"""Options that may hold a secret. No reply depends on them, and no program, run or artifact stores them."""

CARRIED = frozenset(
    {
        "cache", "frequency_penalty", "logprobs", "max_completion_tokens", "max_tokens", "n", "parallel_tool_calls",
        "presence_penalty", "reasoning_effort", "response_format", "rollout_id", "seed", "stop", "temperature",
        "tool_choice", "tools", "top_k", "top_logprobs", "top_p",
    }
)  # fmt: skip
"""Options that every engine takes."""

HOSTED = frozenset({"logit_bias", "metadata", "prediction", "prompt_cache", "service_tier", "store", "user"})
"""More options of hosted models, which DSPy itself puts into a request."""

LLAMACPP = frozenset(
    {
        "dry_allowed_length", "dry_base", "dry_multiplier", "dry_penalty_last_n", "dry_sequence_breakers",
        "dynatemp_exponent", "dynatemp_range", "forced", "grammar", "ignore_eos", "logit_bias", "min_keep", "min_p",
        "mirostat", "mirostat_eta", "mirostat_tau", "repeat_last_n", "repeat_penalty", "samplers", "top_n_sigma",
        "typical_p", "xtc_probability", "xtc_threshold",
    }
)  # fmt: skip
"""More options of llama.cpp in this process."""

OLLAMA = frozenset({"min_p", "mirostat", "num_keep", "repeat_last_n", "repeat_penalty", "typical_p"})
"""More options of a request to Ollama. Its other options decide how a model is loaded: a change reloads the model, and
every client of the server waits."""

PORTABLE = frozenset(
    {
        "cache", "frequency_penalty", "logprobs", "max_completion_tokens", "max_tokens", "min_p", "n", "num_predict",
        "presence_penalty", "reasoning_effort", "repeat_penalty", "rollout_id", "seed", "stop", "temperature", "top_k",
        "top_logprobs", "top_p",
    }
)  # fmt: skip
"""Options that a saved program may set. All others are left out, above all `api_base`, `api_key`, `headers` and
`model`: DSPy passes a predictor's options to the LM, so they would decide where a prompt is sent."""

_CONNECTION = "It belongs to the connection: give it to `ts.lm(...)`, for a model that has one"
_OF_THE_LM = "It is an argument of `dspy.LM(...)`, which `ts.lm(...)` and its requests do not have"
_ONCE = dict.fromkeys(
    ("host", "keep_alive", "num_ctx", "patience", "price", "slots", "think", "threads"),
    "It is set once, in `ts.lm(...)`, for a model that has it",
)
_ADVICE = {
    **dict.fromkeys((*CLIENT_OPTIONS, "model_list"), _CONNECTION),
    **dict.fromkeys(("async_engine", "engine", "model", "model_type", "use_developer_role"), _OF_THE_LM),
    **dict.fromkeys(
        ("finetuning_model", "launch_kwargs", "provider", "train_kwargs"),
        "tunesmith trains no weights: use `dspy.LM(...)` for that",
    ),
    "callbacks": "Give it to `ts.lm(...)` or `dspy.configure(callbacks=[...])`",
    "num_generations": "Use `n`",
    "num_predict": "Use `max_tokens`",
    "max_output_tokens": "Use `max_tokens`",
    "num_retries": "A run waits for its server `patience=` seconds, an argument of `ts.lm(...)`; a reply that does not "
    "parse is never asked for again",
    "stream": "Use `ts.stream(program, ...)`, or `dspy.streamify`",
}
NEVER_SENT = frozenset(_ADVICE)
"""Options that a request cannot have."""

_KNOWN = CARRIED | HOSTED | LLAMACPP | OLLAMA | _ONCE.keys() | _ADVICE.keys()
_ALIKE = 0.84
_CHECKED = frozenset({"frequency_penalty", "max_tokens", "presence_penalty", "seed", "temperature", "top_k", "top_p"})


def check_options(names: Iterable[str], own: frozenset[str] | None, title: str) -> None:
    """Check that each option can be sent.

    Args:
        names: of the options.
        own: the options that the engine takes besides `CARRIED`; `None` if its server decides. Then only options that
            a request cannot have, and likely misspellings, are refused.
        title: subject of the error text, such as "A request to 'embedded'".

    Raises:
        UsageError: an option cannot be sent.
    """
    for name in names:
        if name in CARRIED or (_may_be(name) if own is None else name in own):
            continue
        advice = {**_ONCE, **_ADVICE}.get(name)
        raise UsageError(f"{title} has no option `{name}`. {_near(name, own) if advice is None else f'{advice}.'}")


def is_portable(name: str, value: object) -> bool:
    """Return whether a saved program may set this option: one of `PORTABLE`, a scalar or a list of texts."""
    if name not in PORTABLE:
        return False
    if isinstance(value, list):
        return all(isinstance(item, str) for item in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, bool | int | str)


def check_values(options: Mapping[str, Any]) -> None:
    """Check the values of the options that every engine takes.

    Raises:
        UsageError: a value has a wrong type, or is out of range.
    """
    for name, value in options.items():
        field = {"max_completion_tokens": "max_tokens"}.get(name, name)
        if value is None or field not in _CHECKED:
            continue
        try:
            Config(**{field: value})
        except (TypeError, ValueError) as error:
            raise UsageError(f"The option `{name}` cannot be used: {error}. Given: {shown(value)}.") from error
    effort = options.get("reasoning_effort")
    try:
        Reasoning(effort="off" if effort in (None, "none") else effort)
    except (TypeError, ValueError) as error:
        raise UsageError(f"The option `reasoning_effort` cannot be used: {error}. Given: {shown(effort)}.") from error
    stop = options.get("stop")
    if not (stop is None or isinstance(stop, str | list | tuple)):
        raise UsageError(f"`stop` must be a text or a list of texts. Given: {shown(stop)}.")


def plain_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a call with keys that JSON allows, after a check of `n` and `top_logprobs`.

    Raises:
        UsageError: `top_logprobs` is set without `logprobs`, or `n` is not a positive whole number.
    """
    plain = dict(options)
    if plain.get("top_logprobs") is not None and not plain.get("logprobs"):
        raise UsageError("`top_logprobs` is the number of alternatives that `logprobs=True` reports. Set both.")
    count = plain.get("n")
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
        raise UsageError(f"`n`, the number of replies, must be a whole number from 1. Given: {shown(count)}.")
    if isinstance(plain.get("logit_bias"), Mapping):
        plain["logit_bias"] = {str(token): bias for token, bias in plain["logit_bias"].items()}
    return plain


def _may_be(name: str) -> bool:
    """Return whether a server may have an option of that name."""
    if name in _ADVICE:
        return False
    import difflib

    return name in _KNOWN or not difflib.get_close_matches(name, _KNOWN, 1, _ALIKE)


def _near(name: str, own: frozenset[str] | None) -> str:
    if name in _KNOWN:
        return "Other models have it; leave it out for this one."
    import difflib

    known = CARRIED | (HOSTED if own is None else own)
    near = difflib.get_close_matches(name, known, 1)
    return f"Did you mean `{near[0]}`?" if near else f"It has: {', '.join(sorted(known))}."
