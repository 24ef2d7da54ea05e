"""A model server on the loopback, so that verbs run as they are, in a process of their own too."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Server:
    """An OpenAI-compatible server that knows the answer to each text it has in `answers`.

    It gives it only where the messages hold a worked example; without one it says `habit`.
    """

    answers: Mapping[str, str]
    habit: str
    delay: float = 0.0
    port: int = 0
    requests: list[dict[str, Any]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def reply(self, body: dict[str, Any]) -> str:
        self.requests.append(body)
        messages = body["messages"]
        if not any(message["role"] == "assistant" for message in messages):
            return self.habit
        text = messages[-1]["content"]
        found = next((label for known, label in self.answers.items() if known in text), self.habit)
        shown = next(m["content"] for m in messages if m["role"] == "assistant")
        if shown.startswith("{"):
            return json.dumps({next(iter(json.loads(shown))): found})
        return found


@contextmanager
def served(server: Server) -> Iterator[Server]:
    """Let `server` listen until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            time.sleep(server.delay)
            text = server.reply(body)
            usage = {"prompt_tokens": 40, "completion_tokens": 2, "total_tokens": 42}
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            reply = {
                "id": "1",
                "object": "chat.completion",
                "created": 1,
                "model": body["model"],
                "choices": [choice],
                "usage": usage,
            }
            raw = json.dumps(reply).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)
            self.wfile.flush()

        def log_message(self, *_: Any) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    server.port = listening.server_port
    thread = threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()
