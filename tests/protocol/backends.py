"""What answers behind a model: scripted replies or a function. Both are cut into tokens here."""

import hashlib
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from tests.protocol.instances import shaped
from tests.protocol.tokens import Tokenizer, default_tokenizer

Logprob = dict[str, Any]
PREFILL_NS = 100_000  # what reading one prompt token is said to take


@dataclass
class Job:
    """One generation.

    Attributes:
        messages: as they reach the model, after the oldest were dropped.
        prompt: its token ids, after truncation.
        options: resolved; `num_predict` is the real limit in tokens, `None` for none.
        format: `None`, `"json"` or a schema that the server accepts.
        think: whether the model thinks before it answers.
        request: the whole request body.
        top: how many alternatives per token; `None` for no log-probabilities.
        gone: raises `Gone` when the client has closed its connection.
        leading: whether the grammar of the format allows white space before the value.
    """

    messages: list[dict[str, Any]]
    prompt: list[int]
    options: dict[str, Any]
    format: Any
    think: bool
    request: dict[str, Any]
    top: int | None
    gone: Callable[[], None]
    leading: bool = False


@dataclass
class Piece:
    """Some text as it comes; `tool_calls` come in one piece."""

    text: str
    logprobs: list[Logprob] = field(default_factory=list)
    tool_calls: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Done:
    """How a generation ended, in tokens and nanoseconds; `processed` are the prompt tokens not found in the cache."""

    reason: str
    processed: int
    prompt_ns: int
    tokens: int
    eval_ns: int


class Backend(Protocol):
    """Produces pieces, then one `Done`."""

    @property
    def tokenizer(self) -> Tokenizer: ...

    def run(self, job: Job) -> Iterator[Piece | Done]: ...

    def embed(self, text: str) -> list[float]: ...

    def forget(self) -> None:
        """Lose the prompt cache: the model is loaded anew."""


@dataclass
class Reply:
    """What a scripted model says.

    Attributes:
        text: the answer.
        thinking: what it thinks first, where it thinks; `None` for the model's usual thought.
        tool_calls: `{"name": ..., "arguments": {...}}`, which come behind the text.
        tops: per token of the text, alternatives with their log-probabilities.
        own: what the model would have written, where a format made another text of it. Log-probabilities are its own.
    """

    text: str
    thinking: str | None = None
    tool_calls: Sequence[dict[str, Any]] = ()
    tops: Sequence[Mapping[str, float] | None] = ()
    own: str | None = None


Answer = Callable[[list[dict[str, Any]], dict[str, Any]], "str | Reply"]


THOUGHT = ("<think>\nThe text says it.\n</think>\n\n", "")
FENCE = ("```json\n", "\n```")


def dressed(answer: Answer, *dresses: tuple[str, str]) -> Answer:
    """Return a function whose texts stand between others: `THOUGHT`, `FENCE`, both, or a pair of your own."""

    def found(messages: list[dict[str, Any]], options: dict[str, Any]) -> Reply:
        given = answer(messages, options)
        reply = Reply(given) if isinstance(given, str) else given
        for before, after in reversed(dresses):
            reply = replace(reply, text=f"{before}{reply.text}{after}")
        return reply

    return found


def scripted(replies: "Sequence[str | Reply] | Mapping[str, str | Reply]") -> Answer:
    """Return a function that gives `replies` in order and repeats the last.

    A mapping is looked up instead: the first key that is in the last message; the key `""` is for all others.
    """
    lock, taken = threading.Lock(), [0]

    def in_order(_messages: list[dict[str, Any]], _options: dict[str, Any]) -> "str | Reply":
        assert not isinstance(replies, Mapping)
        with lock:
            found = replies[min(taken[0], len(replies) - 1)]
            taken[0] += 1
        return found

    def looked_up(messages: list[dict[str, Any]], _options: dict[str, Any]) -> "str | Reply":
        assert isinstance(replies, Mapping)
        text = messages[-1]["content"] if messages else ""
        return next(reply for key, reply in replies.items() if key in text)

    return looked_up if isinstance(replies, Mapping) else in_order


class FunctionBackend:
    """Answers with a function; keeps the token ids of the last prompt as a one-slot prompt cache.

    Args:
        answer: gets the messages and the resolved options, with `format`, `think` and `tools` of the request.
        obeys: whether a reply that does not fit `format` is replaced by one that does.
        thought: what is thought where a reply does not say.
        delay, token_delay: seconds before the first token and between two.
        tokenizer: `default_tokenizer()` unless given.
    """

    def __init__(
        self,
        answer: Answer,
        *,
        obeys: bool = True,
        thought: str = "Let me think.",
        delay: float = 0.0,
        token_delay: float = 0.0,
        tokenizer: Tokenizer | None = None,
    ) -> None:
        self.tokenizer = tokenizer or default_tokenizer()
        self._answer, self._obeys, self._thought = answer, obeys, thought
        self._delay, self._token_delay = delay, token_delay
        self._lock = threading.Lock()
        self._cached: list[int] = []

    def run(self, job: Job) -> Iterator[Piece | Done]:
        started = time.monotonic_ns()
        processed = self._read(job.prompt)
        wait(self._delay, job.gone)
        reply = self._reply(job)
        ending = Ending(job.options["stop"], job.options["num_predict"])
        own = (
            None
            if reply.own is None
            else [piece.decode("utf-8", "replace") for piece in self.tokenizer.pieces(reply.own)]
        )
        for number, text in enumerate(self._texts(reply, job)):
            wait(self._token_delay, job.gone)
            logprobs = [] if job.top is None else [_logprob(text, number, job.top, reply.tops, own)]
            yield from ending.take(text, logprobs)
            if ending.reason is not None:
                break
        yield from ending.rest()
        if reply.tool_calls:
            yield Piece("", tool_calls=[dict(call) for call in reply.tool_calls])
        took = max(1, time.monotonic_ns() - started)
        yield Done(ending.reason or "stop", processed, max(1, processed * PREFILL_NS), ending.tokens, took)

    def embed(self, text: str) -> list[float]:
        digest = hashlib.sha256(text.encode("utf-8", "replace")).digest()
        return [byte - 127.5 for byte in digest[:16]]

    def forget(self) -> None:
        with self._lock:
            self._cached = []

    def _read(self, prompt: list[int]) -> int:
        with self._lock:
            same = next(
                (n for n, pair in enumerate(zip(prompt, self._cached, strict=False)) if pair[0] != pair[1]), None
            )
            cached = min(len(prompt), len(self._cached)) if same is None else same
            self._cached = prompt
        return max(1, len(prompt) - cached)

    def _reply(self, job: Job) -> Reply:
        asked: dict[str, Any] = {
            name: job.request[name] for name in ("format", "think", "tools") if name in job.request
        }
        found = self._answer(job.messages, {**job.options, **asked})
        reply = Reply(found) if isinstance(found, str) else found
        if job.format is not None and self._obeys:
            reply = _held(reply, job)
        if job.think and job.format is None:
            thought = self._thought if reply.thinking is None else reply.thinking
            reply = replace(reply, text=f"{thought}\n</think>\n\n{reply.text}")
        return reply

    def _texts(self, reply: Reply, job: Job) -> Iterator[str]:
        held = b""
        for raw in self.tokenizer.pieces(reply.text):
            job.gone()
            held += raw
            try:
                text = held.decode()
            except UnicodeDecodeError:
                continue  # half a character: the rest is in the next token
            held = b""
            yield text


def _held(reply: Reply, job: Job) -> Reply:
    """Return the reply that the grammar lets through; what the model wanted to write stays beside it."""
    text = shaped(reply.text, job.format)
    if job.leading:
        text = f"\n{text}"
    return reply if text == reply.text else replace(reply, text=text, own=reply.text)


class Ending:
    """Where a text ends: at a stop string, which is not part of it, or at the limit."""

    def __init__(self, stops: Sequence[str], limit: int | None) -> None:
        self.reason: str | None = None
        self.tokens = 0
        self._stops, self._limit = [stop for stop in stops if stop], limit
        self._held: list[Piece] = []

    def take(self, text: str, logprobs: list[Logprob]) -> Iterator[Piece]:
        self.tokens += 1
        self._held.append(Piece(text, logprobs))
        joined = "".join(piece.text for piece in self._held)
        found = [joined.find(stop) for stop in self._stops if stop in joined]
        if found:
            self.reason = "stop"
            self._held = _cut(self._held, min(found))
        elif self._limit is not None and self.tokens >= self._limit:
            self.reason = "length"
        elif any(stop.startswith(joined[at:]) for stop in self._stops for at in range(len(joined))):
            return  # perhaps the beginning of a stop string
        yield from self._held
        self._held = []

    def rest(self) -> Iterator[Piece]:
        if self.reason is None:
            self.tokens += 1  # the token that ends the text
        yield from self._held
        self._held = []


def wait(seconds: float, gone: Callable[[], None]) -> None:
    """Wait, and look every 10 ms whether the client is still there."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        gone()
        time.sleep(min(left, 0.01))
    gone()


def _cut(pieces: list[Piece], length: int) -> list[Piece]:
    kept = []
    for piece in pieces:
        if length <= 0:
            break
        kept.append(replace(piece, text=piece.text[:length]))
        length -= len(piece.text)
    return kept


def _logprob(
    text: str, at: int, top: int, tops: Sequence[Mapping[str, float] | None], own: Sequence[str] | None
) -> Logprob:
    """Return the entry of one token; without `tops` the numbers only depend on the text.

    They are those of the model before the constraint: with `own` the best token is the one that it would have written,
    and the one that it had to write is far below, mostly not among the best.
    """
    given = tops[at] if at < len(tops) else None
    best = text if own is None else own[at] if at < len(own) else "<|im_end|>"
    chance = 0.5 + _share(best) / 2
    found = {best: math.log(chance)} | {f"{best}{n}": math.log((1 - chance) / 2**n) for n in range(1, 20)}
    if given is not None:
        found = dict(given)
    ranked = sorted(found.items(), key=lambda item: -item[1])
    entry = _entry(text, found.get(text, -12.0 - _share(text)))
    if top:
        entry["top_logprobs"] = [_entry(token, value) for token, value in ranked[:top]]
    return entry


def _share(text: str) -> float:
    """Return a number in [0, 1) that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:4], "big") / 2**32


def _entry(token: str, logprob: float) -> Logprob:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode("utf-8", "replace"))}
