"""The routes for operators: health, readiness, metrics, reload."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping

from typing_extensions import TypedDict

from tunesmith.artifacts import Artifact
from tunesmith.errors import TunesmithError, kind_of
from tunesmith.lm import LM
from tunesmith.serve.desk import Desk
from tunesmith.serve.endpoint import Endpoint
from tunesmith.serve.log import Log
from tunesmith.serve.problem import Refusal
from tunesmith.serve.route import Door
from tunesmith.serve.trial import artifact_of, sha256_of
from tunesmith.serve.web import JSONResponse, Request, Response

__all__ = ["operating_doors"]

_FRESH = 5.0  # seconds that what a server said of its model is taken for true
_PATIENCE = 5.0  # seconds that it may take


class Health(TypedDict):
    """The answer of `/healthz`."""

    status: str


class _Program(TypedDict):
    ready: bool
    reason: str | None
    artifact: str | None
    model: str
    digest: str | None


class Readiness(TypedDict):
    """The answer of `/readyz`, by the programs' names."""

    ready: bool
    programs: dict[str, _Program]


class Reloaded(TypedDict):
    """The answer of `/-/reload`: the artifacts' sha256 by the programs' names."""

    programs: dict[str, str | None]


def operating_doors(
    endpoints: Mapping[str, Endpoint],
    desk: Desk,
    reload: Callable[[], Awaitable[Mapping[str, Endpoint]]],
    *,
    may_reload: bool,
    any_model: bool,
) -> list[Door]:
    """Return the doors.

    Args:
        endpoints: by name.
        desk: of the service.
        reload: loads the artifacts again.
        may_reload: whether a request may ask for it.
        any_model: whether a model other than the artifact's is ready too.
    """
    checks = {
        name: _ModelCheck(name, lm, artifact, desk.log, any_model=any_model)
        for name, lm, artifact in _answering(endpoints)
    }

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        found = dict(zip(checks, await asyncio.gather(*(check.state() for check in checks.values())), strict=True))
        ready = not desk.draining and all(state["ready"] for state in found.values())
        return JSONResponse({"ready": ready, "programs": found}, 200 if ready else 503)

    async def metrics(_: Request) -> Response:
        return Response(desk.metrics.text(), media_type=desk.metrics.content_type)

    async def reloading(_: Request) -> Response:
        if not may_reload:
            raise Refusal(403, "Forbidden", "Reload needs a token, which this service does not have. Send it SIGHUP.")
        try:
            made = await reload()
        except TunesmithError as error:
            raise Refusal(409, kind_of(error), f"The old artifacts are kept: {error}") from error
        return JSONResponse({"programs": {name: sha256_of(endpoint.artifact) for name, endpoint in made.items()}})

    return [
        Door("/healthz", healthz, "", "healthz", "Say that the process is there.", None, Health, method="GET"),
        Door(
            "/readyz", readyz, "", "readyz", "Say whether every program's model is there, with the weights of the "
            "compile.", None, Readiness, method="GET", statuses=(503,), bodies={503: Readiness},
        ),
        Door(
            "/metrics", metrics, "", "metrics", "Return counts for Prometheus.", method="GET",
            media_type="text/plain",
        ),
        Door(
            "/-/reload", reloading, "", "reload", "Load all artifacts again; a broken one keeps all old ones.", None,
            Reloaded, statuses=(403, 409),
        ),
    ]  # fmt: skip


def _answering(endpoints: Mapping[str, Endpoint]) -> Iterator[tuple[str, LM, Artifact | None]]:
    """Yield the programs that answer requests: the first of each name, and `NAME:canary`; a shadow answers none."""
    for name, endpoint in endpoints.items():
        yield name, endpoint.lm, endpoint.artifact
        if endpoint.trial is not None and endpoint.trial.arm == "canary":
            yield f"{name}:canary", endpoint.trial.lm, artifact_of(endpoint.trial.program)


class _ModelCheck:
    """Whether the model of a program is there and is the artifact's; asked of a server at most every few seconds."""

    def __init__(self, name: str, lm: LM, artifact: Artifact | None, log: Log, *, any_model: bool) -> None:
        self._name, self._lm, self._artifact, self._log, self._any_model = name, lm, artifact, log, any_model
        self._known: tuple[float, _Program] | None = None
        self._lock = asyncio.Lock()

    async def state(self) -> "_Program":
        async with self._lock:
            if self._known is None or time.monotonic() - self._known[0] > _FRESH:
                self._known = time.monotonic(), await self._asked()
            return self._known[1]

    async def _asked(self) -> "_Program":
        state: _Program = {
            "ready": False, "reason": None, "artifact": sha256_of(self._artifact), "model": self._lm.model,
            "digest": None,
        }  # fmt: skip
        try:
            async with asyncio.timeout(_PATIENCE):
                digest = await asyncio.to_thread(lambda: self._lm.identity.digest)
        except TimeoutError:
            return {**state, "reason": "The model's server does not answer."}
        except Exception as error:  # noqa: BLE001 - any failure means that it is not ready
            # No request is at work, so there are none of its texts in the message; clients need not know addresses.
            self._log.write("not ready", level="error", program=self._name or None, message=str(error))
            return {**state, "reason": f"The model cannot be used ({kind_of(error)})."}
        wanted = None if self._artifact is None else self._artifact.lm.get("digest")
        if wanted is not None and digest != wanted and not self._any_model:
            reason = f"The artifact was compiled for the weights {wanted[:12]}. Serve that model, or compile again."
            return {**state, "digest": digest, "reason": reason}
        return {**state, "digest": digest, "ready": True}
