"""An HTTP server for tests: it answers by script, or stands before a real server and makes faults on the way."""

import contextlib
import http.client
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Act:
    """What happens to one request.

    `kind`: `reply` sends `status`, `headers`, `body`; `forward` asks the real server; `reset` resets the connection
    before a reply; `cut` forwards and closes in the middle of the body; `stall` waits `seconds` and closes; `crash`
    resets and stops listening.
    """

    kind: str = "reply"
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class Asked:
    """One request as it came; `body` is parsed JSON, `None` where there was none."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


FORWARD = Act("forward")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Be silent: broken connections are what these tests are about."""


class Front:
    """The server. `script` says what happens to each request; `asked` lists them all."""

    def __init__(self, script: Callable[[Asked], Act], *, upstream: str | None = None, port: int = 0) -> None:
        self.script, self.upstream = script, upstream
        self.asked: list[Asked] = []
        self.connections = 0
        self.left = threading.Event()  # a client went away in the middle of a stream
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        front = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # a reply is several small writes

            def setup(self) -> None:
                super().setup()
                front.connections += 1
                front._open.add(self.connection)

            def finish(self) -> None:
                front._open.discard(self.connection)
                with contextlib.suppress(OSError):
                    super().finish()

            def log_message(self, *given: Any) -> None:
                pass

            def do_GET(self) -> None:
                front._answer(self)

            do_POST = do_GET

        self._handler, self.port = Handler, port
        self.start()
        self.url = f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        """Listen; after `stop`, at the same port."""
        self._server = _Server(("127.0.0.1", self.port), self._handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def refuse(self, seconds: float) -> None:
        """Be away for a while."""
        self.stop()
        back = threading.Timer(seconds, self.start)
        back.daemon = True
        back.start()

    def stop(self) -> None:
        """Refuse connections from now on, and break those that are open."""
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def chats(self) -> list[Asked]:
        """Return the chat requests among `asked`."""
        return [asked for asked in self.asked if asked.path.endswith("/chat/completions")]

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("Content-Length") or 0)
        raw = handler.rfile.read(length)
        asked = Asked(handler.command, handler.path, dict(handler.headers), json.loads(raw) if raw else None)
        with self._lock:
            self.asked.append(asked)
        act = self.script(asked)
        if act.kind == "reply":
            self._reply(handler, act)
        elif act.kind in ("forward", "cut"):
            self._forward(handler, raw, cut=act.kind == "cut")
        elif act.kind == "stall":
            time.sleep(act.seconds)
            handler.close_connection = True
        else:
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.connection.close()
            handler.close_connection = True
            if act.kind == "crash":
                self.stop()

    def _reply(self, handler: BaseHTTPRequestHandler, act: Act) -> None:
        if isinstance(act.body, Iterator):
            self._stream(handler, act)
            return
        kind = "application/json" if not isinstance(act.body, (str, bytes)) else "text/plain"
        content = act.body if isinstance(act.body, bytes) else _text(act.body).encode()
        handler.send_response(act.status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **act.headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)

    def _stream(self, handler: BaseHTTPRequestHandler, act: Act) -> None:
        handler.send_response(act.status)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        try:
            for piece in act.body:
                if piece is None:  # broken off here
                    handler.close_connection = True
                    handler.connection.close()
                    return
                data = piece if isinstance(piece, bytes) else piece.encode()
                handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                handler.wfile.flush()
            handler.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.left.set()
            handler.close_connection = True

    def _forward(self, handler: BaseHTTPRequestHandler, raw: bytes, *, cut: bool) -> None:
        assert self.upstream is not None
        upstream = http.client.HTTPConnection(urlsplit(self.upstream).netloc, timeout=60)
        try:
            headers = {n: v for n, v in handler.headers.items() if n.lower() not in ("host", "connection")}
            upstream.request(handler.command, handler.path, raw or None, headers)
            reply = upstream.getresponse()
            content = reply.read()
        finally:
            upstream.close()
        handler.send_response(reply.status)
        handler.send_header("Content-Type", reply.headers.get("Content-Type", "application/json"))
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            handler.wfile.flush()
            handler.connection.shutdown(socket.SHUT_RDWR)
            handler.close_connection = True


def _text(body: Any) -> str:
    return body if isinstance(body, str) else json.dumps(body)


@contextmanager
def front(script: Callable[[Asked], Act], **given: Any) -> Iterator[Front]:
    """Run a `Front` for the time of the block."""
    server = Front(script, **given)
    try:
        yield server
    finally:
        server.stop()


def chat_reply(text: str = "hello", **more: Any) -> dict[str, Any]:
    """Return a chat completion as OpenAI's protocol has it."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1795228241,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop", **more}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9},
    }


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
