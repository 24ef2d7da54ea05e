"""One request on its way through the server, and the world it meets."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.protocol.models import Library
from tests.protocol.outcomes import Gone
from tests.protocol.runners import Scheduler


@dataclass
class Entry:
    """One line of the server's log.

    Attributes:
        number: from 0.
        method, path: as sent.
        body: parsed, or the text where it is no JSON; `None` without one.
        headers: lower-case names.
        time: POSIX seconds at which it was read.
        disconnected: the client closed the connection before it had the whole reply.
        status: of the reply; `None` where none was sent.
        fault: the kind of fault that was played on it.
        model: the `model` of the body.
        prompt_tokens: of the prompt, as reported.
        processed_tokens: of the prompt, without those found in the cache.
        tokens: generated.
        seconds: from the reading of the request to the end of the reply.
    """

    number: int
    method: str
    path: str
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    time: float = field(default_factory=time.time)
    disconnected: bool = False
    status: int | None = None
    fault: str | None = None
    model: str | None = None
    prompt_tokens: int = 0
    processed_tokens: int = 0
    tokens: int = 0
    seconds: float = 0.0


@dataclass
class World:
    """What requests share."""

    version: tuple[int, ...]
    reported_version: str
    num_ctx: int
    library: Library
    scheduler: Scheduler
    constraints: bool = True
    only_v1: bool = False
    offline: bool = False
    blobs: dict[str, bytes] = field(default_factory=dict)

    def tokenizer_ids(self, name: str, text: str) -> list[int]:
        model = self.library.get(name)
        assert model is not None
        return model.backend.tokenizer.ids(text)


@dataclass
class Call:
    """One request.

    Attributes:
        gone: whether the client has closed its connection.
        play: puts the fault of this request, if any, into an answer of `/api`.
    """

    world: World
    entry: Entry
    gone: Callable[[], bool]
    play: Callable[[Any], Any] = lambda answer: answer

    def check(self) -> None:
        """Raise `Gone` when nobody waits for the reply any more."""
        if self.gone():
            self.entry.disconnected = True
            raise Gone
