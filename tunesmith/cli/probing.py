"""How fast a model is on this machine, and how far it repeats itself."""

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

_WORDS = 400  # of the long prompt
_REPLY = 48  # tokens at most of a written reply
_PARALLEL = 4  # requests timed one after the other, then two at once
_WORTH = 1.25  # speedup from which a second slot pays
_TIMES = 4  # that one request is repeated at once, and after another one
_WRITINGS = (
    "Count from one to one hundred in words.",
    "Describe a morning at the harbour in detail.",
    "Name the months of the year with a word on the weather in each.",
)
"""What to write: servers break a reply off that repeats itself, and count none of it."""


@dataclass(frozen=True, slots=True)
class Repeats:
    """How far a model gives the same reply to the same request, at temperature 0.

    Attributes:
        times: how often the request was repeated at once, and how often after another one.
        at_once, after_another: how many of each were equal to the first reply.
        apart: how far the log-probabilities of the first token were from each other, all replies together; `None` where
            the engine reports none.
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
    """What was measured, the reply cache left out.

    Attributes:
        spec: the model.
        load_seconds: first call, loading included, less what the same call takes afterwards.
        prompt_tokens_per_second: reading a long prompt; `None` where the engine counts no tokens.
        generation_tokens_per_second: writing a reply; `None` likewise, or where each was broken off or too short.
        unknown: why that is not known, empty where it is.
        speedup: time of requests one after the other by their time two at once.
        slots: what to set.
        repeats: how far it repeats itself.
        holds: whether a reply is held to the schema or grammar that was sent with it; `None` if the engine takes none.
        advice: the same in words.
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
        options: of `lm`.
        clock: seconds.

    Raises: as `lm`, and whatever the engine raises.
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
"""What no model answers by itself."""


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
    """Return the tokens a second that it writes, or why they are not known."""
    why = ""
    for prompt in _WRITINGS:
        seconds, call = _timed(model, prompt, _REPLY, clock)
        written, taken = call.output_tokens, seconds - base  # the first token comes with the prompt
        if written is None:
            # Who counts the tokens of other replies has broken this one off, as one that repeats itself.
            why = "the reply was broken off" if counts else "the engine counts no tokens"
        elif written < 2 or taken <= 0:
            why = "the reply was too short"
        else:
            return (written - 1) / taken, ""
    return None, why


def _repeats(model: LM) -> Repeats:
    """Ask one request again and again, at once and after another one."""
    logprobs = 1 if model.capabilities.logprobs else None

    def ask(prompt: str) -> Response:
        config = Config(max_tokens=_REPLY // 2, temperature=0.0, seed=0, logprobs=logprobs)
        return model.send(Request(model=model.model, messages=(Message.user(prompt),), config=config))

    first = ask(_WRITINGS[1])
    at_once = [ask(_WRITINGS[1]) for _ in range(_TIMES)]
    after = []
    for number in range(_TIMES):
        ask(f"Write {number + 2} sentences about the sea.")
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
    "It does not repeat itself exactly, so a compile that asks anew may find another artifact. Finished calls are "
    "kept: the cache and the run's ledger give them back as they were."
)


_NOT_HELD = (
    "A reply is not held to the schema that was sent with it. Programs run all the same: the first such reply is "
    "noticed, and replies are then asked for freely and checked here, so more of them may be unreadable. A newer "
    "server, another model, or a server without a proxy in between may hold them."
)


def _advice(slots: int) -> str:
    if slots == 1:
        return "One request at a time is right for this model here: set TUNESMITH_SLOTS=1, or slots = 1 under [lm]."
    return "More than one request at a time helps: set TUNESMITH_SLOTS=2, or slots = 2 under [lm], and try more."


def _long_text() -> str:
    words = ["river", "stone", "window", "letter", "garden", "engine", "winter", "bridge", "market", "silver"]
    text = " ".join(words[(i * i + i // 7) % len(words)] for i in range(_WORDS))
    return f"Read this list of words: {text}. Which word came first?"
