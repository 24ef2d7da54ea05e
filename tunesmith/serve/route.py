"""Routes that FastAPI documents and our own handlers answer.

FastAPI would read the body, validate it, and validate and write the result; it converts values, and its way through
middleware and routes takes as long as the rest of a request. So it writes OpenAPI from the types that the handlers
read, and answers what is no route; `answers_of` has the handlers by method and path.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any

from tunesmith.serve.desk import Desk
from tunesmith.serve.problem import Problem, Refusal
from tunesmith.serve.visit import KEY, Visit
from tunesmith.serve.web import Body, FastAPI, HTTPException, JSONResponse, Request, Response

__all__ = ["Door", "Handler", "answers_of", "app_of", "refused"]

Handler = Callable[[Request], Awaitable[Response]]

_STATUSES = {
    400: "The body is not JSON.",
    401: "The token is missing or wrong.",
    404: "There is no such program.",
    403: "This is not allowed.",
    408: "The body did not come in time.",
    409: "Not now.",
    413: "The body is too long.",
    415: "The body is not declared as JSON.",
    421: "The host is not the service's.",
    422: "A value does not fit.",
    429: "Too many requests are under way.",
    502: "The model's answer cannot be used.",
    503: "The model does not answer.",
    504: "The deadline is over.",
}
_OF_EVERY = (401, 421)
_OF_A_BODY = (400, 408, 413, 415, 422, 429, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Door:
    """One path of the service.

    Attributes:
        path: begins with a slash.
        handler: answers a request, or raises a `Refusal`.
        program, route: its labels in logs and metrics.
        summary: a sentence.
        body: type of the body, `None` without one.
        result: type of the answer, `None` for any.
        stream: whether the answer is server-sent events.
        method: of HTTP.
        statuses: more that it can end with.
        bodies: types of answers with another status, if they are not a `Problem`.
        media_type: of an answer that is not JSON.
    """

    path: str
    handler: Handler
    program: str
    route: str
    summary: str
    body: Any = None
    result: Any = None
    stream: bool = False
    method: str = "POST"
    statuses: Sequence[int] = ()
    bodies: Mapping[int, Any] = field(default_factory=dict)
    media_type: str | None = None


def answers_of(doors: Sequence[Door], desk: Desk) -> dict[tuple[str, str], Handler]:
    """Return what answers a request by its method and path; it raises nothing."""
    return {(door.method, door.path): _answering(door, desk) for door in doors}


def app_of(doors: Sequence[Door], *, title: str, version: str) -> FastAPI:
    """Return an app that documents these doors at `/openapi.json`, and answers requests for no door."""
    app = FastAPI(title=title, version=version, docs_url=None, redoc_url=None, redirect_slashes=False)
    answer: Any = partial(_http_error, _hints(doors))
    app.add_exception_handler(HTTPException, answer)
    for door in doors:
        statuses = (*_OF_EVERY, *(_OF_A_BODY if door.body is not None else ()), *door.statuses)
        media = "text/event-stream" if door.stream else door.media_type
        content: dict[str, Any] = {} if media is None else {"content": {media: {"schema": {"type": "string"}}}}
        responses: dict[int | str, dict[str, Any]] = {
            200: {"description": "Done.", **content},
            **{
                status: {"model": door.bodies.get(status, Problem), "description": _STATUSES[status]}
                for status in sorted(statuses)
            },
        }
        app.add_api_route(
            door.path,
            _documented(door),
            methods=[door.method],
            response_model=door.result,
            response_class=JSONResponse if media is None else Response,
            responses=responses,
            summary=door.summary.split(".")[0] + ".",
            description=door.summary,
            operation_id=f"{door.method} {door.path}".lower(),
            tags=[door.program] if door.program else None,
        )
    return app


def _documented(door: Door) -> Any:
    """Return a function with the types of the door, for OpenAPI."""

    async def endpoint() -> None: ...

    body = inspect.Parameter("body", inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[door.body, Body()])
    described: Any = endpoint
    described.__signature__ = inspect.Signature([] if door.body is None else [body])
    return described


def _answering(door: Door, desk: Desk) -> Handler:
    async def answer(request: Request) -> Response:
        visit: Visit = request.scope[KEY]
        visit.program, visit.route = door.program, door.route
        try:
            return await door.handler(request)
        except Exception as error:  # noqa: BLE001 - a program may raise anything
            return refused(desk.failed(error, visit), visit)

    return answer


def refused(refusal: Refusal, visit: Visit) -> Response:
    """Return the answer of a request that is refused or has failed."""
    return JSONResponse(refusal.body(visit.id), refusal.status, refusal.headers)


def _hints(doors: Sequence[Door]) -> tuple[str, str]:
    """Return what is said of a path that is not there: of OpenAI's protocol, and of any other."""
    paths = {door.path for door in doors}
    chat = "/v1/chat/completions"
    protocol = (
        f" Of OpenAI's protocol there are {chat} and /v1/models."
        if chat in paths
        else " OpenAI's protocol needs a program with one text input and one text output."
    )
    names = [door.path.removesuffix("/predict") for door in doors if door.route == "predict"]
    programs = f" Programs: {', '.join(name or '/' for name in names)}." if names else ""
    tried = any(door.route == "try" for door in doors)
    return protocol, programs + (" The page to try them is /." if tried else "")


async def _http_error(hints: tuple[str, str], request: Request, error: HTTPException) -> Response:
    """Answer a path or method that is not there."""
    visit: Visit = request.scope[KEY]
    if error.status_code == 405:
        text = f"This path does not take {request.method}. See /openapi.json."
        refusal = Refusal(405, "MethodNotAllowed", text, headers=error.headers)
    else:
        hint = hints[0] if "/v1/" in request.url.path else hints[1]
        refusal = Refusal(error.status_code, "NotFound", f"There is no such path. See /openapi.json.{hint}")
    visit.error = refusal.kind
    return refused(refusal, visit)
