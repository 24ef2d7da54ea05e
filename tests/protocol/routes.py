"""Which handler answers which request."""

import ipaddress
import socket
from collections.abc import Callable
from typing import Any

from tests.protocol import admin, chat, embed, openai
from tests.protocol.calls import Call
from tests.protocol.outcomes import Json, Stream, Text
from tests.protocol.requests import read

Handler = Callable[[Call, dict[str, Any]], Json | Stream | Text]
_POSTS: dict[str, tuple[Handler, str]] = {
    "/api/chat": (chat.chat, "ChatRequest"),
    "/api/generate": (chat.generate, "GenerateRequest"),
    "/api/embed": (embed.embed, "EmbedRequest"),
    "/api/embeddings": (embed.embeddings, "EmbeddingRequest"),
    "/api/show": (admin.show_model, "ShowRequest"),
    "/api/pull": (admin.pull, "PullRequest"),
    "/api/push": (admin.push, "PushRequest"),
    "/api/create": (admin.create, "CreateRequest"),
    "/api/copy": (admin.copy, "CopyRequest"),
    "/v1/chat/completions": (openai.chat_completions, "ChatCompletionRequest"),
    "/v1/completions": (openai.completions, "CompletionRequest"),
    "/v1/embeddings": (openai.embeddings, "EmbedRequest"),
}
_GETS: dict[str, Handler] = {
    "/": lambda _call, _body: Text("Ollama is running", content_type="text/plain; charset=utf-8"),
    "/api/version": admin.version,
    "/api/tags": admin.tags,
    "/api/ps": admin.running,
    "/v1/models": openai.models,
}
_HEADS = ("/", "/api/version", "/api/tags")


def route(call: Call, raw: bytes) -> Json | Stream | Text:
    """Return the answer to a request with the body `raw`.

    Raises:
        Refusal: with the server's words.
    """
    path, method = call.entry.path, call.entry.method
    if call.world.only_v1 and not path.startswith("/v1/"):
        return Text("404 page not found", 404)
    if not _is_allowed(call.entry.headers.get("host", "")):
        return Json(None, 403)
    if path.startswith("/api/blobs/") and method in ("POST", "HEAD"):
        digest = path.removeprefix("/api/blobs/")
        return admin.has_blob(call, digest) if method == "HEAD" else admin.put_blob(call, digest, raw)
    if path in _POSTS and method == "POST":
        handler, kind = _POSTS[path]
        return handler(call, read(raw, kind))
    if path == "/api/delete" and method == "DELETE":
        return admin.delete(call, read(raw, "DeleteRequest"))
    if path in _GETS and (method == "GET" or (method == "HEAD" and path in _HEADS)):
        return _GETS[path](call, {})
    if path in _POSTS or path in _GETS or path == "/api/delete":
        return Text("405 method not allowed", 405)
    return Text("404 page not found", 404)


def _is_allowed(header: str) -> bool:
    """Return whether a server on the loopback accepts this Host header."""
    host = header.rpartition(":")[0] if header.rpartition(":")[2].isdigit() else header
    host = host.strip("[]").lower()
    if host in ("", "localhost", socket.gethostname().lower()):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.endswith((".localhost", ".local", ".internal"))
    return address.is_loopback or address.is_private or address.is_unspecified
