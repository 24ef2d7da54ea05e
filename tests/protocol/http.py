"""HTTP as Go's server speaks it: headers, chunks, and the faults that are played on the wire."""

import email.utils
import functools
import http.server
import itertools
import select
import socket
import struct
import time
from collections.abc import Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from tests.protocol import openai
from tests.protocol.backends import wait
from tests.protocol.calls import Call, Entry
from tests.protocol.faults import Fault, changed, instead
from tests.protocol.gojson import GoError, decode, encode
from tests.protocol.outcomes import PLAIN_JSON, Death, Gone, Json, Refusal, Stream, Text
from tests.protocol.routes import route

if TYPE_CHECKING:
    from tests.protocol.server import ProtocolServer

_CHUNKED_FROM = 2048  # Go writes a longer body in chunks, unless its length was given


class ProtocolHandler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    owner: "ProtocolServer"

    def finish(self) -> None:
        try:
            super().finish()
        except OSError:
            self.close_connection = True

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (OSError, Gone):
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the log is `server.requests`."""

    def do_POST(self) -> None:
        started = time.monotonic()
        self._fault: Fault | None = None
        raw = self._body()
        path = self.path.partition("?")[0]
        if path.startswith("/_test/"):
            self._send(Json(self.owner.control(path, raw)))
            return
        entry = self.owner.entered(self._entry(path, raw))
        call = Call(self.owner.world, entry, self._gone)
        try:
            self._answer(call, raw)
        except Gone:
            self.close_connection = True
        except OSError:
            entry.disconnected = self.owner.is_running
            self.close_connection = True
        except Death:
            self.close_connection = True
            self.owner.die()
        finally:
            entry.seconds = time.monotonic() - started
        self.owner.answered(entry)

    do_GET = do_HEAD = do_DELETE = do_PUT = do_PATCH = do_OPTIONS = do_POST

    def _entry(self, path: str, raw: bytes) -> Entry:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body: Any = None
        if raw and not path.startswith("/api/blobs/"):
            try:
                body = decode(raw)
            except (GoError, EOFError):
                body = raw.decode("utf-8", "replace")
        model = body.get("model") if isinstance(body, dict) else None
        return Entry(0, self.command, path, body, headers, model=model)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self._read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self._read_line().split(b";")[0], 16):
            parts.append(self._read(size))
            self._read_line()
        while self._read_line().strip():
            pass
        return b"".join(parts)

    def _read(self, size: int) -> bytes:
        """Return so many bytes of the request; one that ends before them gets no answer."""
        found = self.rfile.read(size)
        if len(found) < size:
            raise Gone
        return found

    def _read_line(self) -> bytes:
        line = self.rfile.readline()
        if not line.endswith(b"\n"):
            raise Gone
        return line

    def _gone(self) -> bool:
        """Return whether the client has closed its end."""
        poll = select.poll()
        poll.register(self.connection, select.POLLIN)
        if not poll.poll(0):
            return False
        try:
            return self.connection.recv(1, socket.MSG_PEEK) == b""
        except OSError:
            return True

    def _answer(self, call: Call, raw: bytes) -> None:
        entry = call.entry
        fault = self.owner.faults.take(entry)
        self._fault = fault
        if fault is not None:
            entry.fault = fault.kind
            if self._drops(fault, call):
                return
        answer: Json | Stream | Text | None = None if fault is None else instead(fault)
        if answer is None:
            answer = self._routed(call, raw, fault)
        elif fault is not None and fault.kind == "crash" and isinstance(entry.model, str):
            self.owner.unload(entry.model)
        if isinstance(answer, Stream):
            self._stream(call, answer)
        else:
            entry.status = answer.status
            self._send(answer)

    def _drops(self, fault: Fault, call: Call) -> bool:
        """Play what happens before any answer; return whether there will be none."""
        if fault.kind == "die":
            raise Death
        if fault.kind == "refuse":
            self._abort()
            self.owner.refuse(fault.get("seconds", 0.2))
            return True
        if fault.kind == "reset" and fault.get("lines", None) is None:
            self._abort()
            return True
        if fault.kind == "stall" and fault.get("lines", None) is None:
            wait(fault.get("seconds", 3600), call.check)
        return False

    def _routed(self, call: Call, raw: bytes, fault: Fault | None) -> Json | Stream | Text:
        try:
            if fault is not None:
                call.play = functools.partial(changed, fault)
            answer = route(call, raw)
            if not call.entry.path.startswith("/v1/"):
                answer = call.play(answer)
            if isinstance(answer, Stream):
                answer.events = _begun(answer.events)
        except Refusal as refusal:
            if call.entry.path.startswith("/v1/"):
                return openai.refused(refusal)
            before = isinstance(call.entry.body, dict) and call.entry.body.get("stream", True) and refusal.late
            return Json(refusal.body, refusal.status, PLAIN_JSON if before else Json(None).content_type)
        return answer

    def _send(self, answer: Json | Text) -> None:
        if isinstance(answer, Text):
            body = answer.body.encode()
        else:
            body = b"" if answer.body is None else encode(answer.body).encode() + b"\n" * answer.newline
        headers = {"Content-Type": answer.content_type} if body else {}
        chunked = len(body) > _CHUNKED_FROM
        headers |= {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(len(body))}
        fault = self._fault
        self._head(answer.status, headers | answer.headers)
        if self.command == "HEAD" or not body:
            self.wfile.flush()
            return
        if fault is not None and fault.kind in ("cut", "reset"):
            self._write(_chunk(body)[: len(body) // 2] if chunked else body[: len(body) // 2])
            self._abort() if fault.kind == "reset" else self._close()
            return
        if fault is not None and fault.kind == "stall" and fault.get("lines", None) is not None:
            self.wfile.flush()
            wait(fault.get("seconds", 3600), self._check)
        self._write(_chunk(body) + b"0\r\n\r\n" if chunked else body)

    def _stream(self, call: Call, answer: Stream) -> None:
        call.entry.status = 200
        self._head(200, {"Content-Type": answer.content_type, "Transfer-Encoding": "chunked"})
        number, held = 0, b""
        fault = self._fault
        try:
            for line in _lines(answer.events):
                call.check()
                held += line
                if fault is not None and fault.kind == "join" and number % 2 == 0:
                    number += 1
                    continue
                if not self._line(call, held, number):
                    return
                held, number = b"", number + 1
            self._write((_chunk(held) if held else b"") + b"0\r\n\r\n")
        finally:
            close = getattr(answer.events, "close", None)
            if close is not None:
                close()

    def _line(self, call: Call, line: bytes, number: int) -> bool:
        """Send one line; return false where a fault ends the reply."""
        fault = self._fault
        if fault is not None and number == (fault.get("lines", None) or 0):
            if fault.kind == "reset":
                self.wfile.flush()
                self._abort()
                return False
            if fault.kind == "cut":
                self._write(_chunk(line)[: len(line) // 2])
                self._close()
                return False
            if fault.kind == "stall" and fault.get("lines", None) is not None:
                self.wfile.flush()
                wait(fault.get("seconds", 3600), call.check)
        self._write(_chunk(line))
        return True

    def _check(self) -> None:
        if self._gone():
            raise Gone

    def _head(self, status: int, headers: dict[str, str]) -> None:
        try:
            phrase = HTTPStatus(status).phrase
        except ValueError:
            phrase = ""
        lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
        lines.append(f"Date: {email.utils.formatdate(usegmt=True)}")
        self.wfile.write(("\r\n".join(lines) + "\r\n\r\n").encode())

    def _write(self, data: bytes) -> None:
        fault = self._fault
        if fault is None or fault.kind != "drip":
            self.wfile.write(data)
            self.wfile.flush()
            return
        size = fault.get("size", 1)
        for at in range(0, len(data), size):
            self.wfile.write(data[at : at + size])
            self.wfile.flush()
            wait(fault.get("seconds", 0.001), self._check)

    def _close(self) -> None:
        self.wfile.flush()
        self.close_connection = True

    def _abort(self) -> None:
        self.close_connection = True
        abort(self.connection)


def abort(connection: socket.socket) -> None:
    """Reset a connection."""
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    except OSError:
        return  # it is gone already


def _begun(events: Iterator[Any]) -> Iterator[Any]:
    """Take the first event, so that an error before it has its own status."""
    try:
        first = next(events)
    except StopIteration:
        return iter(())
    except Refusal as refusal:
        refusal.late = True
        raise
    return itertools.chain([first], events)


def _lines(events: Iterator[Any]) -> Iterator[bytes]:
    try:
        for event in events:
            if isinstance(event, str):
                yield event.encode()
            elif "raw" in event:
                raw = event.pop("raw")
                event["message"]["content"] += "RAW"
                yield encode(event).replace("RAW", raw).encode() + b"\n"
            else:
                yield encode(event).encode("utf-8", "replace") + b"\n"
    except Refusal as refusal:
        yield encode({"error": refusal.text}).encode() + b"\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)
