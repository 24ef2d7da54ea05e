"""The web page to try a program: the page, the fields of its form, and an answer with the prompt that led to it."""

import time
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json, to_json
from typing_extensions import TypedDict

from tunesmith.errors import TunesmithError
from tunesmith.modules import render
from tunesmith.serve.attempt import Attempt, Watch
from tunesmith.serve.contract import reader_of, typed_object, written
from tunesmith.serve.desk import Desk
from tunesmith.serve.endpoint import Endpoint, pascal
from tunesmith.serve.form import Field, form_fields
from tunesmith.serve.pages import page_answer
from tunesmith.serve.predicting import attempts_of, read_inputs, visit_of
from tunesmith.serve.route import Door
from tunesmith.serve.web import JSONResponse, Request, Response

__all__ = ["trying_doors"]


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
        return page_answer("page.html")

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
            [attempt] = attempts_of(request, endpoint, desk)
            visit_of(request, inputs, desk)
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
        "inputs": form_fields(endpoint.contract.inputs),
        "outputs": form_fields(endpoint.contract.right),
        "feedback": feedback,
    }
