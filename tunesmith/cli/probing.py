"""How fast a model is on this machine."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import asdict, dataclass
from typing import Any

from tunesmith.lm import LM, Call, Config, Message, Request, lm, metered

__all__ = ["Probe", "probe"]

_WORDS = 400  # of the long prompt
_REPLY = 48  # tokens at most of a written reply
_PARALLEL = 4  # requests timed one after the other, then two at once
_WORTH = 1.25  # speedup from which a second slot pays


@dataclass(frozen=True, slots=True)
class Probe:
    """What was measured, the reply cache left out.

    Attributes:
        spec: the model.
        load_seconds: first call, loading included, less what the same call takes afterwards.
        prompt_tokens_per_second: reading a long prompt; `None` where the engine counts no tokens.
        generation_tokens_per_second: writing a reply; `None` likewise.
        speedup: time of requests one after the other by their time two at once.
        slots: what to set.
        advice: the same in words.
    """

    spec: str
    load_seconds: float
    prompt_tokens_per_second: float | None
    generation_tokens_per_second: float | None
    speedup: float
    slots: int
    advice: str

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {name: round(value, 3) if isinstance(value, float) else value for name, value in asdict(self).items()}


def probe(
    spec: str, *, options: Mapping[str, Any] | None = None, clock: Callable[[], float] = time.perf_counter
) -> Probe:
    """Load the model and measure it with about a dozen calls.

    Args:
        spec: the model.
        options: of `lm`.
        clock: seconds.

    Raises: as `lm`, and whatever the engine raises.
    """
    model = lm(spec, **{**(options or {}), "cache": False})
    first, _ = _timed(model, "Say yes.", 1, clock)
    again, _ = _timed(model, "Say no.", 1, clock)
    reading, read = _timed(model, _long_text(), 1, clock)
    writing, written = _timed(model, "Count from one to one hundred in words.", _REPLY, clock)
    speedup = _speedup(model, clock)
    slots = 2 if speedup >= _WORTH else 1
    return Probe(
        spec=spec,
        load_seconds=max(0.0, first - again),
        prompt_tokens_per_second=None if not read.input_tokens else read.input_tokens / reading,
        generation_tokens_per_second=_generation(written, writing - again),
        speedup=speedup,
        slots=slots,
        advice=_advice(slots),
    )


def _timed(model: LM, prompt: str, tokens: int, clock: Callable[[], float]) -> tuple[float, Call]:
    calls: list[Call] = []
    start = clock()
    request = Request(model=model.model, messages=(Message.user(prompt),), config=Config(max_tokens=tokens))
    with metered(sink=calls.append):
        model.send(request)
    return clock() - start, calls[0]


def _generation(call: Call, seconds: float) -> float | None:
    # The first token comes with the prompt, which the shorter call has paid for.
    if call.output_tokens is None or call.output_tokens < 2 or seconds <= 0:
        return None
    return (call.output_tokens - 1) / seconds


def _speedup(model: LM, clock: Callable[[], float]) -> float:
    def one(topic: str) -> None:
        _timed(model, f"Write a sentence about {topic}.", _REPLY // 2, clock)

    topics = ["bread", "rain", "trains", "music", "salt", "paper", "wool", "glass"]
    start = clock()
    for topic in topics[:_PARALLEL]:
        one(topic)
    alone = clock() - start
    start = clock()
    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(copy_context().run, one, topic) for topic in topics[_PARALLEL:]]:
            future.result()
    return alone / max(clock() - start, 1e-9)


def _advice(slots: int) -> str:
    if slots == 1:
        return "One request at a time is right for this model here: leave TUNESMITH_SLOTS unset, or slots = 1."
    return "More than one request at a time helps: set TUNESMITH_SLOTS=2, or slots = 2 under [lm], and try more."


def _long_text() -> str:
    words = ["river", "stone", "window", "letter", "garden", "engine", "winter", "bridge", "market", "silver"]
    text = " ".join(words[(i * i + i // 7) % len(words)] for i in range(_WORDS))
    return f"Read this list of words: {text}. Which word came first?"
