"""An ASGI app of doors: it guards every request, hands it to its door, and adds the headers that every answer has."""

import hmac
import importlib.metadata
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith.errors import UsageError, shown
from tunesmith.serve.desk import Desk
from tunesmith.serve.problem import Refusal
from tunesmith.serve.route import Door, answers_of, app_of, refused
from tunesmith.serve.visit import KEY, Visit
from tunesmith.serve.web import CORSMiddleware, Request

__all__ = ["App"]

_HEADERS: dict[bytes, bytes] = {
    b"x-content-type-options": b"nosniff",
    b"cache-control": b"no-store",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"cross-origin-resource-policy": b"same-origin",
}
_LISTED = list(_HEADERS.items())
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9A-Fa-f:]+\](:[0-9]{1,5})?")
_Headers = list[tuple[bytes, bytes]]
_OPEN = ("/healthz", "/readyz", "/")  # a page has nothing of what it is about


class App:
    """An ASGI app.

    Args:
        desk: what its doors share.
        token: what a client sends as `Authorization: Bearer TOKEN`; `None` asks for none.
        hosts: the names in the header `Host` that are answered, `None` for all.
        origins: of the web pages that may ask it, such as `https://app.example`, besides its own.

    Raises:
        UsageError: an origin has another form.
    """

    reloads = False
    """Whether SIGHUP has it load again what it serves; else the signal ends it."""

    def __init__(
        self,
        desk: Desk,
        *,
        token: str | None = None,
        hosts: Sequence[str] | None = None,
        origins: Sequence[str] = (),
    ) -> None:
        self.desk = desk
        self._respond = self._guarded
        if origins:
            self._respond = CORSMiddleware(
                self._guarded,
                allow_origins=[_origin(text) for text in origins],
                allow_methods=["GET", "POST"],
                allow_headers=["Authorization", "Content-Type", "X-Request-Id"],
                expose_headers=["X-Request-Id", "Retry-After"],
            )
        self._token = None if token is None else token.encode()
        self._hosts = None if hosts is None else frozenset(hosts)

    def take(self, doors: Sequence[Door]) -> None:
        """Answer with these doors from the next request on."""
        app = app_of(doors, title="tunesmith", version=_version())
        described = app.openapi()  # fails here, and not at the first request for it
        if self._token is not None:
            _secured(described)
        self._app, self._answers = app, answers_of(doors, self.desk)

    def about(self) -> Mapping[str, Any]:
        """Return what the log says of it when it begins."""
        return {}

    async def reload(self) -> Any:
        """Load again what it serves."""

    def note(self, visit: Visit, scope: Any, status: int) -> None:
        """Write down a request that was answered."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer as an ASGI app."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:  # a web socket
            await receive()
            await send({"type": "websocket.close", "code": 1000})

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        visit = scope[KEY] = Visit.of(scope["headers"])
        try:
            await self._respond(scope, receive, _Sent(send, visit))
        finally:
            self.note(visit, scope, visit.status or 499)

    async def _guarded(self, scope: Any, receive: Any, send: Any) -> None:
        visit: Visit = scope[KEY]
        try:
            self._guard_host(scope["headers"])
            self._guard_token(scope)
            answer = self._answers.get((scope["method"], scope["path"]))
            if answer is None:
                await self._app(scope, receive, send)
            else:
                response = await answer(Request(scope, receive))
                await response(scope, receive, send)
        except Refusal as refusal:
            visit.error = refusal.kind
            await refused(refusal, visit)(scope, receive, send)
        except Exception as error:
            self.desk.failed(error, visit)
            if visit.status is not None:
                raise  # closes the connection
            await refused(Refusal(500, "InternalError", "The service failed."), visit)(scope, receive, send)

    def _guard_host(self, headers: _Headers) -> None:
        if self._hosts is not None and _without_port(_value(headers, b"host").decode("latin-1")) not in self._hosts:
            raise Refusal(421, "WrongHost", "This service does not answer under this host name.")

    def _guard_token(self, scope: Any) -> None:
        if self._token is not None and scope["path"] not in _OPEN:
            given = _value(scope["headers"], b"authorization")
            scheme, _, token = given.partition(b" ")
            # In constant time, so that nobody can find the token letter by letter.
            if not hmac.compare_digest(token.strip(), self._token) or scheme.lower() != b"bearer":
                raise Refusal(
                    401,
                    "Unauthorized",
                    "Send the service's token: `Authorization: Bearer TOKEN`.",
                    headers={"WWW-Authenticate": "Bearer"},
                )


class _Sent:
    """The `send` of ASGI, which adds headers and notes the status."""

    __slots__ = ("_send", "_visit")

    def __init__(self, send: Any, visit: Visit) -> None:
        self._send, self._visit = send, visit

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self._visit.status = message["status"]
            headers = [*message["headers"], (b"x-request-id", self._visit.id.encode())]
            own = {name for name, _ in headers} & _HEADERS.keys()
            headers += _LISTED if not own else [(name, value) for name, value in _LISTED if name not in own]
            message = {**message, "headers": headers}
        await self._send(message)


def _secured(described: dict[str, Any]) -> None:
    """Say in an OpenAPI document where the token is asked for, so that a client made from it sends one."""
    described.setdefault("components", {})["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    described["security"] = [{"token": []}]
    for path in _OPEN:
        for operation in described["paths"].get(path, {}).values():
            operation["security"] = []


def _value(headers: _Headers, wanted: bytes) -> bytes:
    return next((value for name, value in headers if name == wanted), b"")


def _origin(text: str) -> str:
    if _ORIGIN.fullmatch(text) is None:
        raise UsageError(
            "An origin is a scheme with a host, as `https://app.example` or `http://localhost:3000`. "
            f"Given: {shown(text)}."
        )
    named = text.lower()  # a browser leaves out the port of the scheme
    return named.removesuffix(":443" if named.startswith("https:") else ":80")


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdecimal() else host).strip("[]").lower()


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def _version() -> str:
    try:
        return importlib.metadata.version("tunesmith")
    except importlib.metadata.PackageNotFoundError:  # not installed: run from a source tree
        return "unknown"
