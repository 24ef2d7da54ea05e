"""CPU of the client per call over loopback HTTP, against DSPy's own engine, and connections used again.

Both sides ask the same server, which answers at once and runs in a process of its own: ours through `/api/chat`, DSPy's
through `/v1/chat/completions`, which is how it reaches an Ollama server.
"""

import itertools
import json
import subprocess
import sys
import threading
import time
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import dspy
from dspy.lm15 import Config, Message, Request
from measure import Row, in_turn, main, medians, ratio, spread
from noop import BARE_REPLY, CHAT_REPLY, Mood, demos, label_of, text_of

import tunesmith as ts

CALLS = 300
LIMIT = 0.55
MOST_MS = 1.5


class Server(ThreadingHTTPServer):
    """Answers every chat at once, by one word of the last message. It counts connections."""

    daemon_threads = True
    request_queue_size = 128
    connections = 0

    def process_request(self, request: Any, client_address: Any) -> None:
        """Count the connection and serve it."""
        self.connections += 1
        super().process_request(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """The few routes that the two clients need."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self) -> None:
        """Say what an Ollama server says of itself."""
        if self.path == "/connections":
            self.send({"connections": self.server.connections})
        elif self.path == "/api/version":
            self.send({"version": "0.24.0"})
        else:
            self.send({"models": [{"name": "m:latest", "model": "m:latest", "digest": "0" * 64, "size": 1}]})

    def do_POST(self) -> None:
        """Answer in the protocol of the route."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/api/show":
            info = {"general.architecture": "llama", "llama.context_length": 8192}
            self.send({"model_info": info, "capabilities": ["completion"]})
            return
        label = "negative" if "gloomy" in json.dumps(body["messages"][-1]) else "positive"
        self.send(chat(label) if self.path == "/api/chat" else completion(label))

    def send(self, reply: dict[str, Any]) -> None:
        """Send one JSON document."""
        raw = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)
        self.wfile.flush()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def chat(label: str) -> dict[str, Any]:
    return {
        "model": "m",
        "created_at": "2026-11-21T00:00:00.000000001Z",
        "message": {"role": "assistant", "content": json.dumps(BARE_REPLY.format(label))},
        "done": True,
        "done_reason": "stop",
        "total_duration": 1000,
        "load_duration": 10,
        "prompt_eval_count": 10,
        "prompt_eval_duration": 500,
        "eval_count": 2,
        "eval_duration": 400,
    }


def completion(label: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": CHAT_REPLY.format(label)}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1795228240,
        "model": "m",
        "system_fingerprint": "fp_ollama",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
    }


def serve() -> None:
    """Listen until the standard input ends; the port is the first line on the standard output."""
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps(server.server_port), flush=True)
    sys.stdin.read()


@contextmanager
def server_process() -> Iterator[str]:
    """A server in a process of its own; its CPU is nobody's."""
    command = [sys.executable, __file__, "serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{json.loads(process.stdout.readline())}"
        finally:
            process.communicate("")


def connections(url: str) -> int:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{url}/connections") as reply:
        return int(json.load(reply)["connections"])


def our_lm(url: str) -> ts.LM:
    return ts.lm("ollama/m", host=url, cache=False)


def their_lm(url: str) -> dspy.LM:
    return dspy.LM("openai/m", api_base=f"{url}/v1", api_key="none", cache=False)


def predicting(program: dspy.Module, lm: dspy.LM, numbers: "itertools.count[int]") -> Callable[[], float]:
    """Return a function that gives the CPU seconds of one whole `predict` call."""

    def run() -> float:
        texts = [(text_of(number), label_of(number)) for number in itertools.islice(numbers, CALLS)]
        with dspy.context(lm=lm):
            start = time.process_time()
            for text, label in texts:
                if program(text=text).label != label:
                    raise AssertionError(f"a wrong answer to {text!r}")
            return (time.process_time() - start) / CALLS

    return run


def asking(ask: Callable[[str], str], numbers: "itertools.count[int]") -> Callable[[], float]:
    """Return a function that gives the CPU seconds of one call of the model alone."""

    def run() -> float:
        texts = [(text_of(number), label_of(number)) for number in itertools.islice(numbers, CALLS)]
        start = time.process_time()
        for text, label in texts:
            if label not in ask(text):
                raise AssertionError(f"a wrong answer to {text!r}")
        return (time.process_time() - start) / CALLS

    return run


def turns() -> list[tuple[str, str]]:
    return [turn for demo in demos(4) for turn in (("user", demo.text), ("assistant", demo.label))]


def our_call(lm: ts.LM) -> Callable[[str], str]:
    shown = tuple(Message.user(text) if role == "user" else Message.assistant(text) for role, text in turns())
    config = Config(temperature=0.0, seed=0, max_tokens=64)

    def ask(text: str) -> str:
        request = Request(model=lm.model, messages=(*shown, Message.user(text)), system="Say the mood.", config=config)
        return lm.send(request).text or ""

    return ask


def their_call(lm: dspy.LM) -> Callable[[str], str]:
    warnings.filterwarnings("ignore", "Passing OpenAI-style message", DeprecationWarning)  # DSPy's own adapters do
    shown = [{"role": "system", "content": "Say the mood."}]
    shown += [{"role": role, "content": text} for role, text in turns()]

    def ask(text: str) -> str:
        return str(lm(messages=[*shown, {"role": "user", "content": text}], temperature=0.0, seed=0, max_tokens=64)[0])

    return ask


def rows() -> list[Row]:
    numbers = itertools.count()
    with server_process() as url:
        ours, theirs = our_lm(url), their_lm(url)
        calls = in_turn_warm(
            {"dspy": asking(their_call(theirs), numbers), "tunesmith": asking(our_call(ours), numbers)}
        )
        their_program, our_program = dspy.Predict(Mood), ts.Predict(Mood)
        their_program.demos, our_program.demos = demos(4), demos(4)
        programs = in_turn_warm(
            {
                "dspy": predicting(their_program, theirs, numbers),
                "tunesmith": predicting(our_program, ours, numbers),
            }
        )
        before = connections(url)
        predicting(our_program, our_lm(url), numbers)()
        opened = connections(url) - before - 1  # the question itself is one
    return [
        Row(
            "ollama_call",
            "CPU of an LM call over loopback HTTP with 4 demos, tunesmith / dspy",
            ratio(calls, "tunesmith", "dspy"),
            LIMIT,
            required=True,
            details={"milliseconds": medians(calls, 1e3, 3), "rounds": spread(calls, "tunesmith", "dspy")},
        ),
        Row(
            "ollama_call_ms",
            "CPU milliseconds of an LM call over loopback HTTP",
            medians(calls, 1e3, 3)["tunesmith"],
            MOST_MS,
        ),
        Row(
            "ollama_predict",
            "CPU of a `predict` call over loopback HTTP with 4 demos, tunesmith / dspy",
            ratio(programs, "tunesmith", "dspy"),
            LIMIT,
            details={"milliseconds": medians(programs, 1e3, 3), "rounds": spread(programs, "tunesmith", "dspy")},
        ),
        Row("ollama_connections", f"connections opened by {CALLS} calls in a row", opened, 1, required=True),
    ]


def in_turn_warm(sides: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    for side in sides.values():
        side()  # imports, plans and first-time work
    return in_turn(sides)


if __name__ == "__main__":
    main(rows, serve=serve)
