"""Read a request's body within limits, before any of it is used."""

import asyncio
import json
import math
from typing import Any

from tunesmith.serve.attempt import client_left
from tunesmith.serve.clock import after
from tunesmith.serve.limits import Limits
from tunesmith.serve.problem import Refusal
from tunesmith.serve.web import Request
from tunesmith.signatures import NameTwiceError, unique_object

__all__ = ["checked_json", "read_body"]


async def read_body(request: Request, limits: Limits) -> bytes:
    """Return the body of a JSON request; no more of it is kept than the limit.

    Raises:
        Refusal: it is not JSON (415), too long (413), or does not come (408).
    """
    headers = request.headers
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refusal(415, "UnsupportedMediaType", "Send JSON, with the header `Content-Type: application/json`.")
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > limits.body_bytes:
        raise too_large(limits)
    message = await _received(request, limits)
    found: bytes = message.get("body", b"")
    if message.get("more_body"):
        found = await _rest(request, limits, bytearray(found))
    if len(found) > limits.body_bytes:
        raise too_large(limits)
    return found


async def _received(request: Request, limits: Limits) -> Any:
    task: asyncio.Task[Any] = asyncio.current_task()  # type: ignore[assignment]  # a coroutine runs in one
    timer = after(limits.body_seconds, task.cancel)
    try:
        message = await request.receive()
    except asyncio.CancelledError:
        if timer.over and task.uncancel() == 0:
            raise _too_slow(limits) from None
        raise
    finally:
        timer.cancel()
    if message["type"] == "http.disconnect":
        raise client_left()
    return message


async def _rest(request: Request, limits: Limits, found: bytearray) -> bytes:
    try:
        async with asyncio.timeout(limits.body_seconds):
            more = True
            while more and len(found) <= limits.body_bytes:
                message = await _received(request, limits)
                found += message.get("body", b"")
                more = message.get("more_body", False)
    except TimeoutError:
        raise _too_slow(limits) from None
    return bytes(found)


def too_large(limits: Limits) -> Refusal:
    """Return the refusal of a body that is too long."""
    return Refusal(413, "BodyTooLarge", f"The body is longer than {limits.body_bytes} bytes. Send less at once.")


def _too_slow(limits: Limits) -> Refusal:
    return Refusal(408, "BodyTooSlow", f"The body did not come within {limits.body_seconds:g} seconds.")


def checked_json(raw: bytes, limits: Limits) -> Any:
    """Return the value of a JSON text within the limits of depth and text.

    Raises:
        Refusal: it is not JSON in UTF-8, has a name twice or a number that is not finite (400), or exceeds a limit
            (422).
    """
    try:
        found = json.loads(raw.decode(), object_pairs_hook=unique_object, parse_constant=_constant)
    except NameTwiceError as error:
        raise Refusal(400, "InvalidJSON", f"In the body, {error}. Remove one of the two.") from None
    except RecursionError:
        raise _too_deep(limits) from None
    except ValueError as error:
        # Of the messages, only those of `json` are for people, and none has a part of the text.
        why = f": {error}" if isinstance(error, json.JSONDecodeError) else ""
        raise Refusal(400, "InvalidJSON", f"The body is not JSON in UTF-8{why}.") from None
    _check(found, limits)
    return found


def _constant(name: str) -> Any:
    raise Refusal(400, "InvalidJSON", f"{name} is not a number of JSON. Leave it out, or send null.")


def _check(found: Any, limits: Limits) -> None:
    level, depth = [found], 0
    while level:
        depth += 1
        if depth > limits.depth and any(isinstance(value, (dict, list)) for value in level):
            raise _too_deep(limits)
        inside: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                inside += value.values()
                inside += value  # names are texts, too
            elif isinstance(value, list):
                inside += value
            else:
                _check_atom(value, limits)
        level = inside


def _check_atom(value: Any, limits: Limits) -> None:
    if isinstance(value, str):
        if len(value) > limits.text:
            raise Refusal(422, "TextTooLong", f"A text is longer than {limits.text} characters. Shorten it.")
    elif isinstance(value, float) and not math.isfinite(value):
        raise Refusal(400, "InvalidJSON", "A number is too large. Send one that a double can hold.")


def _too_deep(limits: Limits) -> Refusal:
    return Refusal(422, "TooDeep", f"The body is nested deeper than {limits.depth} levels.")
