"""The web page to try a program: the page, the fields of its form, and an answer with the prompt that led to it."""

import base64
import hashlib
import re
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import from_json, to_json
from typing_extensions import TypedDict

from tunesmith.errors import TunesmithError
from tunesmith.modules import render
from tunesmith.serve.attempt import Attempt, Watch
from tunesmith.serve.contract import reader_of, typed_object, written
from tunesmith.serve.desk import Desk
from tunesmith.serve.endpoint import Endpoint, pascal
from tunesmith.serve.predicting import read_inputs, visit_of
from tunesmith.serve.route import Door
from tunesmith.serve.web import JSONResponse, Request, Response

__all__ = ["trying_doors"]


class Field(TypedDict):
    """A field of a form; `kind` is `text`, `number`, `boolean`, `choice` or `json`."""

    name: str
    description: str
    kind: str
    choices: list[Any]
    required: bool
    nullable: bool


class Form(TypedDict):
    """What the page asks for one program; `feedback` says whether it takes right answers, with the required outputs."""

    name: str
    prefix: str
    instruction: str
    inputs: list[Field]
    outputs: list[Field]
    feedback: bool


class Forms(TypedDict):
    """The answer of `/-/form`."""

    programs: list[Form]


class Message(TypedDict):
    """A message of a prompt."""

    role: str
    content: str


class Cost(TypedDict):
    """What an answer took: model calls, tokens that the engine counted, and milliseconds of the model and in all."""

    calls: int
    input_tokens: int
    output_tokens: int
    model_ms: float
    ms: float


def trying_doors(endpoints: Mapping[str, Endpoint], desk: Desk, *, feedback: bool) -> list[Door]:
    """Return the doors of the page and what it asks for."""
    forms = {"programs": [_form(endpoint, feedback=feedback) for endpoint in endpoints.values()]}

    async def page(_: Request) -> Response:
        text, policy = _page()
        return Response(
            text,
            media_type="text/html",
            headers={"content-security-policy": policy, "referrer-policy": "no-referrer", "x-frame-options": "DENY"},
        )

    async def form(_: Request) -> Response:
        return JSONResponse(forms)

    return [
        Door("/", page, "", "page", "The web page to try the programs.", method="GET", media_type="text/html"),
        Door("/-/form", form, "", "form", "Return the fields that the page asks for.", None, Forms, method="GET"),
        *(_try_door(endpoint, desk) for endpoint in endpoints.values()),
    ]


def _try_door(endpoint: Endpoint, desk: Desk) -> Door:
    read = reader_of(endpoint.contract.inputs)
    kinds = {"outputs": endpoint.contract.outputs, "messages": list[Message] | None, "cost": Cost}
    result = typed_object(f"{pascal(endpoint.name)}Tried", kinds)

    async def tried(request: Request) -> Response:
        inputs, began = await read_inputs(request, desk, read), time.perf_counter()
        with desk.seat():
            attempt = desk.attempt(endpoint.lm)
            visit_of(request, inputs, [attempt], desk)
            with Watch(request.receive, attempt.stop):
                found, messages = await attempt.result(lambda: _tried(endpoint, inputs, attempt))
        calls = attempt.calls
        cost: Cost = {
            "calls": len(calls),
            "input_tokens": sum(call.input_tokens or 0 for call in calls),
            "output_tokens": sum(call.output_tokens or 0 for call in calls),
            "model_ms": round(1000 * sum(call.seconds for call in calls if call.paid), 1),
            "ms": round(1000 * (time.perf_counter() - began), 1),
        }
        body = {"outputs": from_json(written(found.items())), "messages": messages, "cost": cost}
        return Response(to_json(body), media_type="application/json")

    text = "Run the program on one input; return its outputs, the first prompt that it sends, and what it took."
    return Door(f"{endpoint.prefix}/try", tried, endpoint.name, "try", text, endpoint.contract.inputs, result)


def _tried(endpoint: Endpoint, inputs: Mapping[str, Any], attempt: Attempt) -> tuple[Any, list[Message] | None]:
    program, lm, _ = endpoint.chosen(attempt.draw)
    try:
        seen = render(program, lm=lm, **inputs).messages
        messages = [Message(role=str(one["role"]), content=str(one["content"])) for one in seen]
    except TunesmithError:  # a program that answers without its model, for instance
        messages = None
    return endpoint.run(inputs, attempt), messages


def _form(endpoint: Endpoint, *, feedback: bool) -> Form:
    predictors = endpoint.program.named_predictors()
    return {
        "name": endpoint.name,
        "prefix": endpoint.prefix,
        "instruction": predictors[0][1].signature.instructions if predictors else "",
        "inputs": _fields(endpoint.contract.inputs),
        "outputs": [
            Field({**field, "required": field["name"] in endpoint.contract.labels})
            for field in _fields(endpoint.contract.outputs)
        ],
        "feedback": feedback,
    }


def _fields(kind: Any) -> list[Field]:
    try:
        schema = TypeAdapter(kind).json_schema()
    except Exception:  # noqa: BLE001 - of outputs only: a user's type may have no schema
        return []
    needed = schema.get("required", [])
    found = []
    for name, given in schema.get("properties", {}).items():
        one, nullable = _present(given, schema.get("$defs", {}))
        choices = one.get("enum", [one["const"]] if "const" in one else [])
        kinds = {"string": "text", "integer": "number", "number": "number", "boolean": "boolean"}
        found.append(
            Field(
                name=name,
                description=str(given.get("description", one.get("description", ""))),
                kind="choice" if choices else kinds.get(str(one.get("type")), "json"),
                choices=list(choices),
                required=name in needed,
                nullable=nullable,
            )
        )
    return found


def _present(schema: Mapping[str, Any], known: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """Return the schema of a value that is there, and whether there may be none (null)."""
    kinds = [_resolved(kind, known) for kind in schema.get("anyOf", ())]
    present = [kind for kind in kinds if kind.get("type") != "null"]
    if len(present) == 1 and len(kinds) == 2:
        return present[0], True
    return _resolved(schema, known), False


def _resolved(schema: Mapping[str, Any], known: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema that a reference names."""
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    return known.get(name, schema) if name else schema


@cache
def _page() -> tuple[str, str]:
    """Return the page, and the policy that lets it run its own script and style and ask this service alone."""
    text = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")
    allowed = {
        name: "'sha256-" + base64.b64encode(hashlib.sha256(found.group(1).encode()).digest()).decode() + "'"
        for name in ("script", "style")
        if (found := re.search(rf"<{name}>(.*?)</{name}>", text, re.DOTALL)) is not None
    }
    return text, (
        f"default-src 'none'; script-src {allowed['script']}; style-src {allowed['style']}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
