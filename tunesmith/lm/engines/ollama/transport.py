"""What travels below the `ollama` client: two fields it cannot send, one header it should not, and every fault.

The client has no argument for `truncate` and `shift`, without which a server shortens long prompts in silence, and it
sends OLLAMA_API_KEY to any host. Both are settled here, in the transport that the client is given. It also sets the
time a request may take, keeps the reply as it came (the client drops parts of it), mends lines that the client's reader
would split, and raises `Fault` for every failure.
"""

import contextlib
import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import httpx

from tunesmith.lm.bounded import keep_deadline
from tunesmith.lm.connection import is_loopback, proxy_for
from tunesmith.lm.engines.ollama.errors import Fault, Kind
from tunesmith.lm.waiting import ending, is_sent_once, time_left

__all__ = ["HEADERS", "Wire", "connections_to"]

HEADERS = {"accept-encoding": "identity"}  # of every request: what is packed is not read as it comes
_CONNECT_SECONDS = 10.0
_KEEP_ALIVE_SECONDS = 60.0
# `str.splitlines`, which httpx reads streams with, takes these for line ends; in JSON they stand inside strings only.
_LINE_ENDS = {"\u0085".encode(): b"\\u0085", "\u2028".encode(): b"\\u2028", "\u2029".encode(): b"\\u2029"}


def connections_to(url: httpx.URL, clock: Callable[[], float]) -> httpx.HTTPTransport:
    """Return the connections to the server at `url`: past every proxy if that is this machine."""
    proxy = None if is_loopback(url.host) else proxy_for(url.scheme, url.host)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=_KEEP_ALIVE_SECONDS)
    verify = url.scheme == "https"  # reading certificates takes a while
    inner = httpx.HTTPTransport(verify=verify, limits=limits, proxy=proxy)
    keep_deadline(inner, lambda: time_left(clock))
    return inner


class Wire(httpx.BaseTransport):
    """The transport of one client, which sends one request at a time, over connections that all clients share.

    Args:
        inner: the connections.
        clock: monotonic seconds.

    Attributes:
        reply: the JSON of a reply that came whole, empty until then.
    """

    def __init__(self, inner: httpx.BaseTransport, clock: Callable[[], float]) -> None:
        self._inner, self._clock = inner, clock
        self.begin(-math.inf)

    def begin(self, deadline: float, patch: dict[str, Any] | None = None) -> None:
        """Prepare for the next request.

        Args:
            deadline: when the exchange has to be over, on the clock.
            patch: fields to put into the JSON body; those the client writes as well replace the client's.
        """
        self._deadline, self._patch = deadline, patch or {}
        self.reply: dict[str, Any] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request` and return its reply.

        Raises:
            Fault: anything but a reply came.
        """
        self._prepare(request)
        with ending(self._deadline):
            return self._answered(request)

    def _answered(self, request: httpx.Request) -> httpx.Response:
        try:
            response = self._inner.handle_request(request)
        except httpx.TransportError as error:
            raise _fault(error) from error
        if response.status_code >= 400:
            raise Fault(Kind.ANSWERED, self._read(response).decode("utf-8", "replace"), response.status_code)
        if response.status_code >= 300:  # texts go where the user sent them, and nowhere else
            response.close()
            where = response.headers.get("location", "nowhere")
            raise Fault(Kind.FOREIGN, f"it has moved to {where}", response.status_code)
        if "ndjson" in response.headers.get("content-type", ""):
            response.stream = _Lines(response, self._deadline)
            return response
        return self._whole(response)

    def _prepare(self, request: httpx.Request) -> None:
        left = self._deadline - self._clock()
        if left <= 0:
            raise Fault(Kind.STALLED, "the time for this call is over")
        if request.url.scheme != "https" and not is_loopback(request.url.host):
            request.headers.pop("authorization", None)
        if self._patch and request.url.path.endswith("/api/chat"):
            content = _patched(request.read(), self._patch)
            request.stream = httpx.ByteStream(content)
            request.headers["content-length"] = str(len(content))
        # Of what is left a quarter each is for connecting and sending, half for waiting: a request that is sent again
        # has time to be answered. One that is not sent again may be waited for to the end.
        read = left if is_sent_once() else left / 2
        waits = {"connect": min(_CONNECT_SECONDS, left / 4), "write": left / 4, "pool": left / 4, "read": read}
        request.extensions["timeout"] = waits

    def _read(self, response: httpx.Response) -> bytes:
        try:
            return response.read()
        except httpx.TransportError as error:
            raise _fault(error) from error
        except httpx.DecodingError as error:
            raise Fault(Kind.FOREIGN, str(error), response.status_code) from error
        finally:
            response.close()

    def _whole(self, response: httpx.Response) -> httpx.Response:
        """Return a reply that came in one piece, checked to be a JSON object."""
        content = self._read(response)
        try:
            reply = json.loads(content)
        except ValueError:
            reply = None
        if not isinstance(reply, dict):
            is_json = "json" in response.headers.get("content-type", "")
            text = content[:200].decode("utf-8", "replace")
            if is_json and reply is None:
                raise Fault(Kind.CUT, "the reply is not whole JSON")
            raise Fault(Kind.FOREIGN, text, response.status_code)
        if isinstance(reply.get("error"), str) and len(reply) == 1:
            raise Fault(Kind.ANSWERED, reply["error"], response.status_code)
        self.reply = reply
        return response


class _Lines(httpx.SyncByteStream):
    """A stream of JSON lines: whole lines only, none of them empty, none of them split by a reader."""

    def __init__(self, response: httpx.Response, deadline: float) -> None:
        self._inner, self._deadline = response.stream, deadline

    def __iter__(self) -> Iterator[bytes]:
        rest = b""
        for chunk in self._chunks():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if line.strip():
                    yield _mended(line) + b"\n"
        if rest.strip():
            raise Fault(Kind.CUT, "the stream ended in the middle of a line")

    def _chunks(self) -> Iterator[bytes]:
        assert isinstance(self._inner, httpx.SyncByteStream)
        chunks = iter(self._inner)
        while True:
            try:
                with ending(self._deadline):  # not around a `yield`: what runs meanwhile is not a part of this call
                    chunk = next(chunks, None)
            except httpx.TransportError as error:
                raise _fault(error) from error
            if chunk is None:
                return
            yield chunk

    def close(self) -> None:
        close = getattr(self._inner, "close", None)
        if close is not None:
            close()


def _mended(line: bytes) -> bytes:
    """Return a line as it may be read.

    Raises:
        Fault: it says that the server has failed in the middle of the reply.
    """
    if b'"error"' in line[:200]:
        with contextlib.suppress(ValueError):
            found = json.loads(line)
            if isinstance(found, dict) and found.get("error"):
                raise Fault(Kind.ANSWERED, line.decode("utf-8", "replace"))
    for raw, escaped in _LINE_ENDS.items():
        if raw in line:
            line = line.replace(raw, escaped)
    return line


def _patched(content: bytes, patch: dict[str, Any]) -> bytes:
    """Return a JSON object with the fields of `patch`; parses it only if they replace something."""
    if patch.keys() <= {"truncate", "shift"}:
        return content[:-1] + b"," + json.dumps(patch, separators=(",", ":")).encode()[1:]
    return json.dumps({**json.loads(content), **patch}, separators=(",", ":"), ensure_ascii=False).encode()


def _fault(error: httpx.TransportError) -> Fault:
    text = str(error) or type(error).__name__
    match error:
        case httpx.ConnectError() | httpx.ConnectTimeout():
            return Fault(Kind.REFUSED, text)
        case httpx.TimeoutException():
            return Fault(Kind.STALLED, "no word for the time it was given")
        case httpx.ReadError() | httpx.WriteError() | httpx.CloseError() | httpx.RemoteProtocolError():
            return Fault(Kind.CUT, text)
    return Fault(Kind.FOREIGN, text)  # a broken proxy, or what answers speaks no HTTP
