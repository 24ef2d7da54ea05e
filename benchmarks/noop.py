"""The model that costs nothing: one engine for both sides, whose reply depends on the input and can be checked."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import dspy
from dspy.lm15 import Message, Request, Response, Usage

import tunesmith as ts
from tunesmith.lm import Capabilities, Identity, ReplyCache, build_lm, message_text

TEXTS = {
    "positive": "Visit {} to the corner bakery: fresh bread, warm and kind service, I will come again",
    "negative": "Visit {} to the corner bakery: gloomy room, stale bread, nobody smiled, never again",
}
CHAT_REPLY = "[[ ## label ## ]]\n{}\n\n[[ ## completed ## ]]"
BARE_REPLY = "{}"


class Mood(ts.Signature):
    """Say whether the visitor liked the place."""

    text: str = ts.InputField()
    label: Literal["positive", "negative"] = ts.OutputField()


class NoopEngine:
    """Answers at once, in the form the side's format reads; both sides use it. It counts what reaches it."""

    supports_response_schema = True
    supported_params = frozenset({"response_format"})
    identity = Identity("noop", "noop", "0")
    capabilities = Capabilities(frozenset({"grammar", "json_schema"}))

    def __init__(self, reply: str, *, refuse: bool = False) -> None:
        self._reply, self._refuse = reply, refuse
        self._made: dict[str, Response] = {}  # making one costs 10 microseconds, which are nobody's
        self.calls = 0

    def complete(self, request: Request) -> Response:
        """Answer by one word of the last message."""
        if self._refuse:
            raise RuntimeError("this reply should have come from the cache")
        self.calls += 1
        label = "negative" if "gloomy" in (message_text(request.messages[-1]) or "") else "positive"
        found = self._made.get(label)
        if found is None:
            message = Message.assistant(self._reply.format(label))
            found = Response(id=None, model=request.model, message=message, finish_reason="stop", usage=Usage(10, 2))
            self._made[label] = found
        return found

    def stream(self, request: Request) -> Iterator[Any]:
        """Refuse: nobody asks for it."""
        raise NotImplementedError

    def embed(self, texts: list[str]) -> list[list[float]]:
        """Refuse: nobody asks for it."""
        raise NotImplementedError

    def close(self) -> None:
        """Nothing is held."""


def our_lm(*, cache: ReplyCache | None = None, refuse: bool = False) -> ts.LM:
    """Return the no-op model as tunesmith makes it."""
    return build_lm("noop", NoopEngine(BARE_REPLY, refuse=refuse), cache=cache)


def their_lm() -> dspy.LM:
    """Return the no-op model as DSPy makes it, its cache off."""
    return dspy.LM("noop/noop", engine=NoopEngine(CHAT_REPLY), cache=False)


def label_of(number: int) -> str:
    """Return the right answer for the text of that number."""
    return "negative" if number % 2 else "positive"


def text_of(number: int) -> str:
    """Return a text that no other number has."""
    return TEXTS[label_of(number)].format(number)


def examples(start: int, count: int) -> list[dspy.Example]:
    """Return `count` labelled texts from number `start` on."""
    return [
        dspy.Example(text=text_of(number), label=label_of(number)).with_inputs("text")
        for number in range(start, start + count)
    ]


def demos(count: int) -> list[dspy.Example]:
    """Return `count` demos; their numbers are below 0, so that no text asks for one of them."""
    return examples(-count, count)


def save_untested(folder: Path, program: dspy.Module, candidate: ts.Candidate, lm: ts.LM) -> None:
    """Save `program` with `candidate` as an artifact that nobody scored."""
    ts.save(
        folder,
        candidate.apply(program),
        candidate=candidate,
        baseline=ts.Candidate.of(program),
        lm_identity=lm.identity.to_json(),
        metric=None,
        datasets={},
        scores={},
        verdict="untested",
        charged={},
        paid={},
    )
