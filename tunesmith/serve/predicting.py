"""The routes that run a program: one input, its stream, and many inputs."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from typing import Annotated, Any

from pydantic import Field
from pydantic_core import from_json, to_json

from tunesmith.modules import FieldDelta
from tunesmith.serve.attempt import Attempt, Watch, too_late
from tunesmith.serve.contract import reader_of, typed_object, written
from tunesmith.serve.desk import Desk
from tunesmith.serve.endpoint import Endpoint, pascal
from tunesmith.serve.events import EventResponse, Feed, event
from tunesmith.serve.problem import Problem, Refusal
from tunesmith.serve.reading import checked_json, read_body
from tunesmith.serve.route import Door, Handler
from tunesmith.serve.visit import KEY, Visit
from tunesmith.serve.web import Request, Response

__all__ = ["attempts_of", "predicting_doors", "read_inputs", "streamed", "visit_of"]


def predicting_doors(endpoint: Endpoint, desk: Desk) -> list[Door]:
    """Return `/predict`, `/predict/stream` and `/batch` of an endpoint."""
    contract, prefix = endpoint.contract, endpoint.prefix
    name = pascal(endpoint.name)
    rows = Annotated[list[contract.inputs], Field(min_length=1, max_length=desk.limits.batch)]  # type: ignore[name-defined]
    many = typed_object(f"{name}Batch", {"inputs": rows}, "forbid")
    results = typed_object(f"{name}Results", {"results": list[contract.outputs | Problem]})  # type: ignore[name-defined]
    read_many = reader_of(many)
    return [
        Door(
            f"{prefix}/predict", _predict(endpoint, desk), endpoint.name, "predict",
            "Run the program on one input.", contract.inputs, contract.outputs,
        ),
        Door(
            f"{prefix}/predict/stream", _stream(endpoint, desk), endpoint.name, "predict/stream",
            "Run the program and send its fields while they are written, as server-sent events: `delta` with "
            "`predictor`, `field`, `text`, `call` and `restart` (the text replaces what the field had), then one "
            "`outputs` or one `error`.",
            contract.inputs, None, stream=True,
        ),
        Door(
            f"{prefix}/batch", _batch(endpoint, desk, read_many), endpoint.name, "batch",
            "Run the program on many inputs. A result is the outputs, or the error, of the input at its place.",
            many, results,
        ),
    ]  # fmt: skip


def _predict(endpoint: Endpoint, desk: Desk) -> Handler:
    read = reader_of(endpoint.contract.inputs)

    async def predict(request: Request) -> Response:
        inputs = await read_inputs(request, desk, read)
        with desk.seat():
            [attempt] = attempts_of(request, endpoint, desk)
            visit = visit_of(request, inputs, desk)
            with Watch(request.receive, attempt.stop):
                prediction = await attempt.result(lambda: endpoint.run(inputs, attempt))
        body = written(prediction.items())
        if desk.shows_texts:
            visit.outputs = body.decode()
        return Response(body, media_type="application/json")

    return predict


def _stream(endpoint: Endpoint, desk: Desk) -> Handler:
    read = reader_of(endpoint.contract.inputs)

    async def stream(request: Request) -> Response:
        inputs = await read_inputs(request, desk, read)
        return await streamed(request, endpoint, desk, inputs, _events)

    return stream


async def streamed(
    request: Request,
    endpoint: Endpoint,
    desk: Desk,
    inputs: dict[str, Any],
    events: Callable[[Feed, Visit, Desk], AsyncIterator[bytes]],
) -> Response:
    """Return the stream of a run as `events` writes it; a failure before the first event has its own status."""
    with ExitStack() as held:
        held.enter_context(desk.seat())
        [attempt] = attempts_of(request, endpoint, desk)
        visit = visit_of(request, inputs, desk)
        feed = Feed(attempt, lambda tell: endpoint.run_told(inputs, attempt, tell))
        with Watch(request.receive, attempt.stop):
            await feed.begin()
        return EventResponse(events(feed, visit, desk), attempt, held.pop_all().close)


async def _events(feed: Feed, visit: Visit, desk: Desk) -> AsyncIterator[bytes]:
    async for deltas in feed.deltas():
        yield b"".join(event(_fields(delta), "delta") for delta in deltas) or b": waiting\n\n"
    try:
        body = written((await feed.prediction()).items())
    except Exception as error:  # noqa: BLE001 - the status is sent already, so it becomes an event
        yield event(desk.failed(error, visit).body(visit.id), "error")
        return
    if desk.shows_texts:
        visit.outputs = body.decode()
    yield event(body.decode(), "outputs")


def _fields(delta: FieldDelta) -> dict[str, Any]:
    names = ("predictor", "field", "text", "call", "restart")
    return {name: getattr(delta, name) for name in names}


def _batch(endpoint: Endpoint, desk: Desk, read: Callable[[bytes], Any]) -> Handler:
    async def batch(request: Request) -> Response:
        rows = (await read_inputs(request, desk, read))["inputs"]
        with desk.seat():
            attempts = attempts_of(request, endpoint, desk, len(rows))
            visit = visit_of(request, rows, desk)
            gate = asyncio.Semaphore(endpoint.lm.slots)  # so that other requests get their turn between

            async def one(inputs: dict[str, Any], attempt: Attempt) -> Any:
                async with gate:
                    try:
                        prediction = await attempt.result(lambda: endpoint.run(inputs, attempt))
                        return from_json(written(prediction.items()))
                    except Exception as error:  # noqa: BLE001 - it belongs to its row
                        return desk.failed(error, visit).body(visit.id)

            def leave(reason: Refusal) -> None:
                for attempt in attempts:
                    attempt.stop(reason)

            late = asyncio.get_running_loop().call_later(desk.limits.deadline, leave, too_late(desk.limits.deadline))
            try:
                with Watch(request.receive, leave):
                    results = await asyncio.gather(*map(one, rows, attempts))
            finally:
                late.cancel()
        if desk.shows_texts:
            visit.outputs = results
        return Response(written([("results", results)]), media_type="application/json")

    return batch


async def read_inputs(request: Request, desk: Desk, read: Callable[[bytes], Any]) -> Any:
    """Return the body as `read` reads it, within the limits.

    Raises:
        Refusal: it exceeds a limit, or `read` refuses it.
    """
    raw = await read_body(request, desk.limits)
    checked_json(raw, desk.limits)
    return read(raw)


def attempts_of(request: Request, endpoint: Endpoint, desk: Desk, count: int = 1) -> list[Attempt]:
    """Return the attempts of a request, each on the threads of the model that answers it."""
    visit: Visit = request.scope[KEY]
    draws = [visit.id] if count == 1 else [f"{visit.id}:{number}" for number in range(count)]
    attempts = [desk.attempt(endpoint.chosen(draw)[1], draw) for draw in draws]
    visit.attempts = attempts
    return attempts


def visit_of(request: Request, inputs: Any, desk: Desk) -> Visit:
    """Return the visit of a request, with what the log will say of it."""
    visit: Visit = request.scope[KEY]
    if desk.shows_texts:
        visit.inputs = from_json(to_json(inputs, fallback=str, inf_nan_mode="null"))  # models become objects
    return visit
