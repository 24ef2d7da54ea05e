"""Options, `keep_alive` and `think`: their types, defaults and error texts (api/types.go)."""

from typing import Any

from tests.protocol.gojson import GoError, parse_duration
from tests.protocol.outcomes import Refusal

FOREVER = float("inf")
DEFAULTS: dict[str, Any] = {
    "num_keep": 4,
    "seed": -1,
    "num_predict": -1,
    "top_k": 40,
    "top_p": 0.9,
    "min_p": 0.0,
    "typical_p": 1.0,
    "repeat_last_n": 64,
    "temperature": 0.8,
    "repeat_penalty": 1.1,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "stop": [],
    "num_ctx": 0,
    "num_batch": 512,
    "num_gpu": -1,
    "main_gpu": 0,
    "use_mmap": None,
    "num_thread": 0,
}
LOAD_OPTIONS = ("num_ctx", "num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread", "draft_num_predict")
_THINK_LEVELS = ("high", "medium", "low", "max")


def resolve(version: tuple[int, ...], parameters: dict[str, Any], given: dict[str, Any] | None) -> dict[str, Any]:
    """Return defaults < Modelfile parameters < request; an unknown name is left out in silence.

    Raises:
        Refusal: 500, a value has the wrong type.
    """
    options = dict(DEFAULTS)
    if version >= (0, 30):
        options |= {"repeat_penalty": 1.0, "draft_num_predict": 0}
    for source in (parameters, given or {}):
        for name, value in source.items():
            if name in options and value is not None:
                options[name] = _typed(name, value)
    return options


def _typed(name: str, value: Any) -> Any:
    default = False if name == "use_mmap" else DEFAULTS.get(name, 0)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(default, bool):
        kind, right = "boolean", isinstance(value, bool)
    elif isinstance(default, int):
        kind, right = "integer", is_number
        value = int(value) if right else value
    elif isinstance(default, float):
        kind, right = "float32", is_number
    else:
        kind, right = "array", isinstance(value, list)
        if right and not all(isinstance(item, str) for item in value):
            raise Refusal(500, f'option "{name}" must be of an array of strings')
    if not right:
        raise Refusal(500, f'option "{name}" must be of type {kind}')
    return value


def keep_alive_seconds(value: Any) -> float:
    """Return how long the model stays loaded after the reply, in seconds; a negative value is forever.

    Raises:
        GoError: no number, and no duration that Go can parse.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        kind = {bool: "bool", list: "[]interface {}", dict: "map[string]interface {}"}[type(value)]
        raise GoError(f"Unsupported type: '{kind}'")
    seconds = parse_duration(value) / 10**9 if isinstance(value, str) else float(value)
    return FOREVER if seconds < 0 else seconds


def think_value(value: Any) -> bool | str:
    """Return `value` if it is a legal `think`.

    Raises:
        GoError: it is not.
    """
    listed = '"high", "medium", "low", "max", true, or false'
    if isinstance(value, bool) or value in _THINK_LEVELS:
        return value
    if isinstance(value, str):
        raise GoError(f'invalid think value: "{value}" (must be {listed})')
    raise GoError(f"think must be a boolean or string ({listed})")
