"""Measure the speed of a model on this machine, and whether it repeats its replies."""

import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import asdict, dataclass
from typing import Any

from tunesmith.lm import LM, Call, Config, Message, Request, Response, lm, metered
from tunesmith.signatures import could_hold, gbnf_literal

__all__ = ["Probe", "Repeats", "probe"]

_WORDS = 400  # words of the long prompt
_REPLY = 48  # maximal tokens of a reply
_PARALLEL = 4  # requests timed one after the other, then two at once
_WORTH = 1.25  # minimal speedup to recommend a second slot
_TIMES = 4  # repetitions of a request, directly and after another request
_WRITINGS = (
    "Count from one to one hundred in words.",
    "Describe a morning at the harbour in detail.",
    "Name the months of the year with a word on the weather in each.",
)
"""Prompts for varied text: servers break off a repetitive reply and do not count its tokens."""


@dataclass(frozen=True, slots=True)
class Repeats:
    """Whether a model repeats its reply to the same request, at temperature 0.

    Attributes:
        times: the number of direct repetitions, and of repetitions after another request.
        at_once, after_another: how many of each were equal to the first reply.
        apart: the largest difference between log-probabilities of the first token; `None` if the engine reports
            none.
    """

    times: int
    at_once: int
    after_another: int
    apart: float | None

    @property
    def exact(self) -> bool:
        """Whether nothing differed."""
        return self.at_once == self.after_another == self.times and round(self.apart or 0.0, 3) == 0


@dataclass(frozen=True, slots=True)
class Probe:
    """Measurements of a model without the reply cache.

    Attributes:
        spec: the model.
        load_seconds: the time of the first call minus the time of the same call later.
        prompt_tokens_per_second: the speed of reading a long prompt; `None` if the engine counts no tokens.
        generation_tokens_per_second: the speed of writing a reply; `None` as above, or if every reply was broken off
            or too short.
        unknown: the reason for that `None`, else empty.
        speedup: the time of sequential requests divided by the time of two at once.
        slots: the recommended setting.
        repeats: whether the model repeats its replies.
        holds: whether the engine enforces the schema or grammar of a request; `None` if it accepts none.
        advice: the results in words.
    """

    spec: str
    load_seconds: float
    prompt_tokens_per_second: float | None
    generation_tokens_per_second: float | None
    unknown: str
    speedup: float
    slots: int
    repeats: Repeats
    holds: bool | None
    advice: str

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        found: dict[str, Any] = _rounded(asdict(self))
        return found


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    return round(value, 3) if isinstance(value, float) else value


def probe(
    spec: str, *, options: Mapping[str, Any] | None = None, clock: Callable[[], float] = time.perf_counter
) -> Probe:
    """Load the model and measure it with about two dozen calls.

    Args:
        spec: the model.
        options: options of `lm`.
        clock: the time in seconds.

    Raises: the errors of `lm` and of the engine.
    """
    model = lm(spec, **{**(options or {}), "cache": False, "slots": 2})
    first, _ = _timed(model, "Say yes.", 1, clock)
    again, _ = _timed(model, "Say no.", 1, clock)
    reading, read = _timed(model, _long_text(), 1, clock)
    generation, unknown = _generation(model, again, clock, counts=read.output_tokens is not None)
    speedup = _speedup(model, clock)
    slots = 2 if speedup >= _WORTH else 1
    repeats, holds = _repeats(model), _holds(model)
    said = (_advice(slots), "" if repeats.exact else _NOT_EXACT, _NOT_HELD if holds is False else "")
    return Probe(
        spec=spec,
        load_seconds=max(0.0, first - again),
        prompt_tokens_per_second=None if not read.input_tokens else read.input_tokens / reading,
        generation_tokens_per_second=generation,
        unknown=unknown,
        speedup=speedup,
        slots=slots,
        repeats=repeats,
        holds=holds,
        advice=" ".join(text for text in said if text),
    )


_CHOICES: dict[str, Any] = {"enum": ["quartz-17", "basalt-29"]}
"""A schema that no unconstrained reply satisfies."""


def _holds(model: LM) -> bool | None:
    able = model.capabilities.constraints
    if "json_schema" in able:
        form: dict[str, Any] = {"type": "json_schema", "name": "reply", "schema": _CHOICES, "strict": True}
        config = Config(max_tokens=_REPLY, response_format=form)
    elif "grammar" in able:
        words = " | ".join(gbnf_literal(json.dumps(choice)) for choice in _CHOICES["enum"])
        config = Config(max_tokens=_REPLY, extensions={"grammar": f"root ::= {words}"})
    else:
        return None
    messages = (Message.user("Name the capital of France in one word."),)
    reply = model.send(Request(model=model.model, messages=messages, config=config))
    return could_hold(_CHOICES, reply.text or "-")


def _timed(model: LM, prompt: str, tokens: int, clock: Callable[[], float]) -> tuple[float, Call]:
    calls: list[Call] = []
    start = clock()
    request = Request(model=model.model, messages=(Message.user(prompt),), config=Config(max_tokens=tokens))
    with metered(sink=calls.append):
        model.send(request)
    return clock() - start, calls[0]


def _generation(model: LM, base: float, clock: Callable[[], float], *, counts: bool) -> tuple[float | None, str]:
    """Return the tokens per second of writing, or the reason why they are unknown."""
    why = ""
    for prompt in _WRITINGS:
        seconds, call = _timed(model, prompt, _REPLY, clock)
        written, taken = call.output_tokens, seconds - base  # `base` includes the first token
        if written is None:
            # A server that counts tokens of other replies has broken off this one, because it repeats itself.
            why = "the reply was broken off" if counts else "the engine counts no tokens"
        elif written < 2 or taken <= 0:
            why = "the reply was too short"
        else:
            return (written - 1) / taken, ""
    return None, why


def _repeats(model: LM) -> Repeats:
    """Send one request repeatedly, directly and after another request."""
    logprobs = 1 if model.capabilities.logprobs else None

    def ask(prompt: str, tokens: int = _REPLY // 2) -> Response:
        config = Config(max_tokens=tokens, temperature=0.0, seed=0, logprobs=logprobs)
        return model.send(Request(model=model.model, messages=(Message.user(prompt),), config=config))

    first = ask(_WRITINGS[1])
    at_once = [ask(_WRITINGS[1]) for _ in range(_TIMES)]
    after = []
    for number in range(_TIMES):
        ask(f"Write {number + 2} sentences about the sea.", 1)  # to be read is what displaces the request in a server
        after.append(ask(_WRITINGS[1]))
    firsts = [reply.logprobs[0].logprob for reply in (first, *at_once, *after) if reply.logprobs]
    return Repeats(
        times=_TIMES,
        at_once=sum(reply.text == first.text for reply in at_once),
        after_another=sum(reply.text == first.text for reply in after),
        apart=max(firsts) - min(firsts) if firsts else None,
    )


def _speedup(model: LM, clock: Callable[[], float]) -> float:
    def one(topic: str, tokens: int) -> None:
        _timed(model, f"Write a sentence about {topic}.", tokens, clock)

    def together(topics: list[str], tokens: int) -> None:
        with ThreadPoolExecutor(2) as pool:
            for future in [pool.submit(copy_context().run, one, topic, tokens) for topic in topics]:
                future.result()

    together(["snow", "sand", "sleet"], 1)  # a model in this process loads a context for each of its slots
    topics = ["bread", "rain", "trains", "music", "salt", "paper", "wool", "glass"]
    start = clock()
    for topic in topics[:_PARALLEL]:
        one(topic, _REPLY // 2)
    alone = clock() - start
    start = clock()
    together(topics[_PARALLEL:], _REPLY // 2)
    return alone / max(clock() - start, 1e-9)


_NOT_EXACT = (
    "The model does not repeat its replies exactly, so a compile with new calls may give another artifact. Finished "
    "calls are safe: the cache and the run's ledger return them unchanged."
)


_NOT_HELD = (
    "The server does not enforce the schema of a request. Programs still run: tunesmith notices the first such reply, "
    "then sends no schema and checks replies itself, so more of them may be unreadable. A newer server, another "
    "model, or a connection without a proxy may enforce it."
)


def _advice(slots: int) -> str:
    if slots == 1:
        return "One request at a time is best for this model here: set TUNESMITH_SLOTS=1, or slots = 1 under [lm]."
    return "More than one request at a time is faster: set TUNESMITH_SLOTS=2, or slots = 2 under [lm], and try more."


def _long_text() -> str:
    words = ["river", "stone", "window", "letter", "garden", "engine", "winter", "bridge", "market", "silver"]
    text = " ".join(words[(i * i + i // 7) % len(words)] for i in range(_WORDS))
    return f"Read this list of words: {text}. Which word came first?"
