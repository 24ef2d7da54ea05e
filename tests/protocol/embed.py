"""`/api/embed` and the older `/api/embeddings`."""

import math
import time
from typing import Any

from tests.protocol.calls import Call
from tests.protocol.models import FakeModel
from tests.protocol.options import resolve
from tests.protocol.outcomes import Json, Refusal
from tests.protocol.prompts import TOO_LONG
from tests.protocol.schema import nested


def embed(call: Call, body: dict[str, Any]) -> Json:
    """Answer `/api/embed`."""
    started = time.monotonic_ns()
    name, texts = body.get("model", ""), _texts(body.get("input"))
    model, options = _prepare(call, name, body)
    with call.world.scheduler.runner(
        model, options, shift=None, keep_alive=body.get("keep_alive"), gone=call.check
    ) as runner:
        loaded = time.monotonic_ns()
        if not texts:
            return Json({"model": name, "embeddings": []})
        vectors, tokens = [], 0
        for text in texts:
            with runner.slots.one(call.check):
                vector, count = _one(call, model, text, options["num_ctx"], truncate=body.get("truncate", True))
            wanted = body.get("dimensions", 0)
            vectors.append(_normal(vector[:wanted]) if 0 < wanted < len(vector) else vector)
            tokens += count
    call.entry.prompt_tokens = tokens
    load = max(1, loaded - started)
    total = max(load, time.monotonic_ns() - started)
    reply = {"model": name, "embeddings": vectors, "total_duration": total, "load_duration": load}
    return Json(reply | ({"prompt_eval_count": tokens} if tokens else {}))


def embeddings(call: Call, body: dict[str, Any]) -> Json:
    """Answer `/api/embeddings`: one prompt, one vector, not normalised."""
    if not body.get("model"):
        raise Refusal(400, "model is required")
    model, options = _prepare(call, body["model"], body)
    with call.world.scheduler.runner(
        model, options, shift=None, keep_alive=body.get("keep_alive"), gone=call.check
    ) as runner:
        if not body.get("prompt"):
            return Json({"embedding": []})
        with runner.slots.one(call.check):
            return Json({"embedding": model.backend.embed(body["prompt"])})


def _texts(given: Any) -> list[str]:
    if given is None or given == "":
        return []
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise Refusal(400, "invalid input type")
    return texts


def _prepare(call: Call, name: str, body: dict[str, Any]) -> tuple[FakeModel, dict[str, Any]]:
    if not name:
        raise Refusal(404, "model '' not found")
    model = call.world.library.wanted(
        name, lambda missing: Refusal(404, f'model "{missing}" not found, try pulling it first')
    )
    if model.remote:
        raise Refusal(401, "unauthorized", signin_url="https://ollama.com/connect")
    options = resolve(call.world.version, model.parameters, body.get("options"))
    options["num_ctx"] = min(max(options["num_ctx"] or call.world.num_ctx, 4), model.context_length)
    if call.world.version >= (0, 30) and not model.embeddings:
        text = "This server does not support embeddings. Start it with `--embeddings`"
        raise nested(501, text, "not_supported_error")
    return model, options


def _one(call: Call, model: FakeModel, text: str, num_ctx: int, *, truncate: bool) -> tuple[list[float], int]:
    tokenizer = model.backend.tokenizer
    ids = tokenizer.ids(text)
    if not ids and call.world.version >= (0, 30):
        raise nested(400, "Input content cannot be empty", "invalid_request_error")
    if len(ids) > num_ctx:
        if not truncate:
            raise Refusal(400, TOO_LONG)
        ids = ids[:num_ctx]
        text = tokenizer.text(ids)
    call.check()
    return _normal(model.backend.embed(text)), len(ids)


def _normal(vector: list[float]) -> list[float]:
    length = max(math.sqrt(sum(value * value for value in vector)), 1e-12)
    return [value / length for value in vector]
