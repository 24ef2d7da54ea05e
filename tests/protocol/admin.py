"""Models as files: tags, ps, show, pull, push, create, copy, delete and blobs."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from tests.protocol.calls import Call
from tests.protocol.gojson import now
from tests.protocol.models import FakeModel, details, full_name, is_valid, show, tag
from tests.protocol.outcomes import PLAIN_JSON, Json, Refusal, Stream, Text
from tests.protocol.runners import expiry

_UNKNOWN = "pull model manifest: file does not exist"


def version(call: Call, _body: dict[str, Any]) -> Json:
    return Json({"version": call.world.reported_version})


def tags(call: Call, _body: dict[str, Any]) -> Json:
    new = call.world.version >= (0, 30)
    return Json({"models": [tag(model, new=new) for model in call.world.library.all()]})


def running(call: Call, _body: dict[str, Any]) -> Json:
    """Answer `/api/ps`."""
    found = []
    for runner in call.world.scheduler.loaded():
        model = runner.model
        entry = {"name": model.name, "model": model.name, "size": 190_948_608, "digest": model.digest}
        entry |= {"details": details(model), "expires_at": now(expiry(runner)), "size_vram": 0}
        found.append(entry | {"context_length": runner.num_ctx})
    return Json({"models": found})


def show_model(call: Call, body: dict[str, Any]) -> Json:
    name = body.get("model") or body.get("name") or ""
    if not name:
        raise Refusal(400, "model is required")
    return Json(show(call.world.library.wanted(name, _missing), body))


def delete(call: Call, body: dict[str, Any]) -> Json:
    name = body.get("model") or body.get("name") or ""
    if not is_valid(name):
        raise Refusal(400, f'name "{name}" is invalid')
    model = call.world.library.wanted(name, _missing)
    call.world.scheduler.unload(model.name)
    call.world.library.remove(model.name)
    return Json(None)


def copy(call: Call, body: dict[str, Any]) -> Json:
    source, destination = body.get("source", ""), body.get("destination", "")
    for word, name in (("source", source), ("destination", destination)):
        if not is_valid(name):
            raise Refusal(400, f'{word} "{name}" is invalid')
    call.world.library.wanted(source, lambda name: Refusal(404, f'model "{name}" not found'))
    call.world.library.copy(source, destination)
    return Json(None)


def pull(call: Call, body: dict[str, Any]) -> Json | Stream:
    name = body.get("model") or body.get("name") or ""
    if not is_valid(name):
        raise Refusal(400, "invalid model name")
    return _progress(_pulling(call, name), body)


def push(call: Call, body: dict[str, Any]) -> Json | Stream:
    name = body.get("model") or body.get("name") or ""
    if not name:
        raise Refusal(400, "model is required")
    return _progress(_pushing(call, name), body)


def create(call: Call, body: dict[str, Any]) -> Json | Stream:
    name = body.get("model") or body.get("name") or ""
    if not is_valid(name):
        raise Refusal(400, "invalid model name")
    if not body.get("from") and not body.get("files"):
        raise Refusal(400, "neither 'from' or 'files' was specified")
    return _progress(_creating(call, name, body), body)


def has_blob(call: Call, digest: str) -> Text:
    _check_digest(digest)
    return Text("", 200 if digest in call.world.blobs else 404)


def put_blob(call: Call, digest: str, raw: bytes) -> Json:
    _check_digest(digest)
    if digest in call.world.blobs:
        return Json(None)
    found = "sha256:" + hashlib.sha256(raw).hexdigest()
    if found != digest:
        raise Refusal(400, f'digest mismatch, expected "{digest}", got "{found}"')
    call.world.blobs[digest] = raw
    return Json(None, 201)


def _missing(name: str) -> Refusal:
    return Refusal(404, f"model '{name}' not found")


def _check_digest(digest: str) -> None:
    if re.fullmatch("sha256[:-][0-9a-f]{64}", digest) is None:
        raise Refusal(400, "invalid digest format")


def _progress(events: Iterator[dict[str, Any]], body: dict[str, Any]) -> Json | Stream:
    if body.get("stream", True):
        return Stream(events)
    return Json(list(events)[-1], content_type=PLAIN_JSON)


def _pulling(call: Call, name: str) -> Iterator[dict[str, Any]]:
    yield {"status": "pulling manifest"}
    library = call.world.library
    if call.world.offline:
        address = f"https://registry.ollama.ai/v2/library/{full_name(name).replace(':', '/manifests/')}"
        reason = "dial tcp: lookup registry.ollama.ai: Temporary failure in name resolution"
        raise Refusal(500, f'pull model manifest: Get "{address}": {reason}')
    model = library.catalogue.get(full_name(name).lower())
    if model is None:
        raise Refusal(500, _UNKNOWN)
    digest, total = "sha256:" + hashlib.sha256(model.weights.encode()).hexdigest(), 98_362_432
    for part in range(5):
        step: dict[str, Any] = {"status": f"pulling {digest[7:19]}", "digest": digest, "total": total}
        yield step | ({"completed": total * part // 4} if part else {})
    for status in ("verifying sha256 digest", "writing manifest"):
        yield {"status": status}
    library.add(model)
    yield {"status": "success"}


def _pushing(call: Call, name: str) -> Iterator[dict[str, Any]]:
    yield {"status": "retrieving manifest"}
    if call.world.library.get(name) is None:
        raise Refusal(500, "couldn't retrieve manifest")
    raise Refusal(500, "you are not authorized to push to this namespace, create the model under a namespace you own")


def _creating(call: Call, name: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if body.get("from"):
        base = call.world.library.get(body["from"])
        if base is None:
            yield {"status": "pulling manifest"}
            raise Refusal(500, _UNKNOWN)
    else:
        yield {"status": "parsing GGUF"}
        missing = [digest for digest in body["files"].values() if digest not in call.world.blobs]
        if missing:
            raise Refusal(400, f'blob "{missing[0]}" not found')
        base = FakeModel(name, "ok", weights=next(iter(body["files"].values())))
    yield {"status": f"using existing layer sha256:{hashlib.sha256(base.weights.encode()).hexdigest()}"}
    changed = {key: body[key] for key in ("template", "system", "messages") if body.get(key)}
    parameters = {**base.parameters, **body.get("parameters", {})}
    model = replace(base, name=name, reply=base.backend, digest="", parameters=parameters, **changed)
    yield {"status": "writing manifest"}
    call.world.library.add(model)
    yield {"status": "success"}
