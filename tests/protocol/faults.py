"""Faults on demand. `KINDS` says what each one does; details in brackets are keywords with their defaults."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.protocol.calls import Entry
from tests.protocol.gojson import now
from tests.protocol.outcomes import BUSY, CRASHED, PLAIN_JSON, Json, Refusal, Stream, Text

KINDS = {
    "refuse": "the listener is closed for `seconds` (0.2) once `after` more requests were answered; chosen by a "
    "function it drops that request unanswered and then refuses connections",
    "reset": "the connection is reset: before anything is sent, or after the headers and `lines` lines (None)",
    "cut": "the reply breaks off in the middle of its body, or of the line after `lines` (0) whole ones",
    "stall": "nothing is sent for `seconds` (3600), from the start or after `lines` (None) lines; then it goes on",
    "drip": "the reply comes `size` (1) bytes at a time, `seconds` (0.001) apart, across the ends of lines and characters",
    "join": "two lines come in one chunk",
    "busy": "503, the queue is full",
    "crash": "500, the runner died; the model is loaded anew by the next request",
    "die": "the whole server goes down, as for a schema that kills it; `start()` brings it back",
    "error": "`status` (500) with `text`, or with `body` as it is",
    "error_line": "an error line `text` after `lines` (1) chunks, status 200; 500 where the reply is no stream",
    "html": "502 with a page of HTML, as a proxy sends it",
    "unauthorized": "401 with a `signin_url`",
    "too_many": "429; `retry_after` (None) is the header",
    "not_object": "500 with a JSON array for a body",
    "no_done": "the stream ends well, but without its last chunk; without a stream: `done_false`",
    "done_false": "the reply says `done: false` and gives no reason",
    "load": "the reply is empty, `done_reason: load`",
    "blank_line": "an empty line after `lines` (1) lines of the stream",
    "raw_line": "U+0085 and U+2028 stand as they are in the text of the first chunk",
}
INFERENCE = ("/api/chat", "/api/generate", "/api/embed", "/api/embeddings", "/v1/chat/completions", "/v1/completions")


@dataclass
class Fault:
    """One kind with its details; `after` and `times` count down."""

    kind: str
    after: int = 0
    times: int | None = 1
    path: str | None = None
    details: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no fault {self.kind!r}; there are {', '.join(KINDS)}")

    def get(self, name: str, default: Any) -> Any:
        return self.details.get(name, default)

    def fits(self, path: str) -> bool:
        """Return whether it is for requests to `path`: `None` is every inference route, `"*"` is all."""
        return path in INFERENCE if self.path is None else self.path in ("*", path)


class Faults:
    """What is still to come; `rule`, a function of the log entry, is asked first."""

    def __init__(self) -> None:
        self.rule: Callable[[Entry], Fault | None] | None = None
        self._planned: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._planned.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._planned = []

    def take(self, entry: Entry) -> Fault | None:
        """Return the fault that this request meets."""
        found = self.rule(entry) if self.rule is not None else None
        with self._lock:
            for fault in [] if found else self._planned:
                if fault.kind == "refuse" or not fault.fits(entry.path):
                    continue
                if fault.after > 0:
                    fault.after -= 1
                elif fault.times is None or fault.times > 0:
                    fault.times = None if fault.times is None else fault.times - 1
                    return fault
        return found

    def refusal(self, path: str | None) -> Fault | None:
        """Return a `refuse` that is due after a request to `path` was answered, or at once (`None`)."""
        with self._lock:
            for fault in self._planned:
                if fault.kind != "refuse" or not fault.times:
                    continue
                if path is not None and fault.fits(path):
                    fault.after -= 1
                if fault.after <= 0:
                    fault.times -= 1
                    return fault
        return None


def instead(fault: Fault) -> Json | Text | None:
    """Return the reply that the fault puts in place of the real one, `None` where it does not."""
    text = fault.get("text", None)
    replies: dict[str, Json | Text] = {
        "busy": Json({"error": BUSY}, 503),
        "crash": Json({"error": text or CRASHED}, 500),
        "html": Text("<html><body><h1>502 Bad Gateway</h1></body></html>\n", 502, "text/html"),
        "unauthorized": Json({"error": "unauthorized", "signin_url": "https://ollama.com/connect?name=x"}, 401),
        "not_object": Json(["error"], 500, PLAIN_JSON),
        "error": Json(fault.get("body", {"error": text or "something went wrong"}), fault.get("status", 500)),
    }
    if fault.kind == "too_many":
        after = fault.get("retry_after", None)
        headers = {} if after is None else {"Retry-After": str(after)}
        return Json({"error": text or "too many requests"}, 429, headers=headers)
    return replies.get(fault.kind)


def changed(fault: Fault, answer: Json | Stream | Text) -> Json | Stream | Text:
    """Return the real reply with the fault in it; those on the wire are played elsewhere."""
    if isinstance(answer, Stream):
        return Stream(_changed_events(fault, answer.events), answer.content_type)
    if isinstance(answer, Json) and isinstance(answer.body, dict) and answer.status == 200:
        if fault.kind == "error_line":
            raise Refusal(500, fault.get("text", "an error was encountered while running the model: EOF"))
        if fault.kind in ("no_done", "done_false"):
            return Json(_without_end(answer.body), content_type=answer.content_type)
        if fault.kind == "load":
            return Json(_loaded(answer.body), content_type=answer.content_type)
    return answer


def _changed_events(fault: Fault, events: Iterator[Any]) -> Iterator[Any]:
    for number, event in enumerate(events):
        if fault.kind == "error_line" and number == fault.get("lines", 1):
            raise Refusal(500, fault.get("text", "an error was encountered while running the model: EOF"))
        if fault.kind == "blank_line" and number == fault.get("lines", 1):
            yield "\n"
        if not isinstance(event, dict):
            yield event
            continue
        if fault.kind in ("no_done", "done_false") and event.get("done"):
            if fault.kind == "done_false":
                yield _without_end(event)
            return
        if fault.kind == "load":
            yield _loaded(event)
            return
        if fault.kind == "raw_line" and number == 0:
            yield {**event, "raw": "\x85\u2028"}
            continue
        yield event


def _without_end(body: dict[str, Any]) -> dict[str, Any]:
    kept = ("model", "created_at", "message", "response", "thinking", "logprobs")
    return {name: body[name] for name in kept if name in body} | {"done": False}


def _loaded(body: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"model": body.get("model", ""), "created_at": now()}
    found |= {"response": ""} if "response" in body else {"message": {"role": "assistant", "content": ""}}
    return found | {"done": True, "done_reason": "load"}
