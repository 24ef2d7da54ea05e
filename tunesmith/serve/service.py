"""A service as an ASGI app: it guards every request, and hands it to the app of the artifacts that are loaded now."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tunesmith.errors import TunesmithError, UsageError, shown
from tunesmith.lm import BaseLM, as_lm
from tunesmith.modules import Module
from tunesmith.serve.chat import chat_doors
from tunesmith.serve.desk import Desk
from tunesmith.serve.endpoint import Endpoint, pascal
from tunesmith.serve.feedback import UNNAMED, FeedbackFolder, feedback_door
from tunesmith.serve.front import App
from tunesmith.serve.limits import Limits
from tunesmith.serve.log import Log
from tunesmith.serve.operating import operating_doors
from tunesmith.serve.predicting import predicting_doors
from tunesmith.serve.route import Door
from tunesmith.serve.trial import Second, artifact_of, sha256_of
from tunesmith.serve.trying import trying_doors
from tunesmith.serve.visit import Visit

if TYPE_CHECKING:
    from tunesmith.serve.tracing import Tracer  # needs an extra of its own

__all__ = ["Service"]

_TAKEN = {"batch", "feedback", "healthz", "metrics", "openapi.json", "predict", "readyz", "try", "v1", "-"}

Load = Callable[[], Mapping[str, tuple[Module, BaseLM]]]


class Service(App):
    """An ASGI app that serves programs. It is ready when it is made.

    Args:
        load: returns each program with its model, by its name in the path; the empty name is the root. It is called
            again for each reload, in another thread.
        limits: what is taken from clients.
        token: what a client sends as `Authorization: Bearer TOKEN`; `None` asks for none.
        hosts: the names in the header `Host` that are answered, `None` for all. A service without a token has to know
            its names, or any web page could ask it under a name of its own.
        origins: of the web pages that may ask it, such as `https://app.example`, besides its own.
        log: gets one event per request.
        shows_texts: whether the log has inputs and outputs.
        any_model: whether a model other than the artifact's counts as ready.
        feedback: folder that keeps what clients say was wrong, `None` to take no feedback.
        page: whether there is a web page to try the programs, which shows prompts.
        seconds: returns programs that are tried beside those of the same name; called with `load`.
        tracer: writes spans, `None` for none.

    Raises:
        UsageError: a name or a program cannot be served.
        TunesmithError: as `load`.

    Example:
        >>> import tunesmith as ts
        >>> from tunesmith.serve import Service
        >>> app = Service(lambda: {"": (ts.Predict("text -> label"), ts.ScriptedLM("billing"))})
        >>> sorted(app.endpoints)
        ['']
    """

    reloads = True

    def __init__(
        self,
        load: Load,
        *,
        limits: Limits | None = None,
        token: str | None = None,
        hosts: Sequence[str] | None = None,
        origins: Sequence[str] = (),
        log: Log | None = None,
        shows_texts: bool = False,
        any_model: bool = False,
        feedback: FeedbackFolder | None = None,
        page: bool = True,
        seconds: Callable[[], Mapping[str, Second]] = dict,
        tracer: "Tracer | None" = None,
    ) -> None:
        self._load, self._any_model, self._feedback, self._page = load, any_model, feedback, page
        self._seconds, self._tracer = seconds, tracer
        super().__init__(
            Desk(limits or Limits(), log or Log(), shows_texts=shows_texts), token=token, hosts=hosts, origins=origins
        )
        self._reloading = asyncio.Lock()
        self._take(self._loaded())

    def _loaded(self) -> dict[str, Endpoint]:
        found: dict[str, Endpoint] = {}
        seconds = dict(self._seconds())
        for name, (program, lm) in self._load().items():
            if name in _TAKEN or not all(char.isalnum() or char in "-_" for char in name) or not name.isascii():
                raise UsageError(
                    f"A program cannot be served under the name {shown(name)}. Use letters, digits, `-` and `_`; "
                    f"these are taken: {', '.join(sorted(_TAKEN))}."
                )
            _check_apart(name, found)
            second = seconds.pop(name, None)
            found[name] = Endpoint.of(
                name, program, as_lm(lm), longest=self.desk.limits.text, second=second, log=self.desk.log,
                count=self.desk.metrics.shadow,
            )  # fmt: skip
        if seconds:
            raise _alone(next(iter(seconds)), found)
        if not found:
            raise UsageError("There is nothing to serve. Give at least one artifact.")
        return found

    def _take(self, endpoints: Mapping[str, Endpoint]) -> None:
        """Serve these from the next request on; requests under way end with what they began with."""
        self.take(self._doors(endpoints))
        self.endpoints = endpoints

    def about(self) -> Mapping[str, Any]:
        """Return the artifacts by the programs' names, and the second ones."""
        found = {"programs": {name or "/": sha256_of(one.artifact) for name, one in self.endpoints.items()}}
        for name, one in self.endpoints.items():
            if one.trial is not None:
                found.setdefault(one.trial.arm, {})[name or "/"] = sha256_of(artifact_of(one.trial.program))
        return found

    def _doors(self, endpoints: Mapping[str, Endpoint]) -> list[Door]:
        operating = operating_doors(
            endpoints, self.desk, self.reload, may_reload=self._token is not None, any_model=self._any_model
        )
        predicting = [door for one in endpoints.values() for door in predicting_doors(one, self.desk)]
        doors = [*operating, *predicting, *chat_doors(endpoints.values(), self.desk)]
        if self._page:
            doors += trying_doors(endpoints, self.desk, feedback=self._feedback is not None)
        if self._feedback is not None:
            doors += [feedback_door(one, self.desk, self._feedback) for one in endpoints.values()]
        return doors

    async def reload(self) -> Mapping[str, Endpoint]:
        """Load all programs again and serve them from the next request on; if one is broken, none is replaced.

        Raises:
            TunesmithError: a program cannot be loaded or served. The old ones are kept.
        """
        async with self._reloading:
            try:
                endpoints = await asyncio.to_thread(self._loaded)
                self._take(endpoints)
            except Exception as error:
                self.desk.metrics.reload(done=False)
                self.desk.log.write("reload failed", level="error", message=str(error))
                if isinstance(error, TunesmithError):
                    raise
                raise UsageError(f"The programs cannot be served: {type(error).__name__}.") from error
            self.desk.metrics.reload(done=True)
            self.desk.log.write("reloaded", programs=sorted(endpoints))
            return endpoints

    def note(self, visit: Visit, scope: Any, status: int) -> None:
        """Count a request, and write it to the log."""
        seconds = time.perf_counter() - visit.begin
        calls = visit.calls
        metrics, paid = self.desk.metrics, [call for call in calls if call.paid]
        metrics.request(visit.program, visit.arm or "", visit.route, status, seconds)
        metrics.calls(visit.program, calls)
        if self._tracer is not None:
            endpoint = self.endpoints.get(visit.program)
            self._tracer.request(visit, scope, status, "" if endpoint is None else endpoint.lm.model)
        self.desk.log.write(
            "request",
            id=visit.id,
            program=visit.program or None,
            arm=visit.arm,
            method=scope["method"],
            path=scope["path"] if visit.route else None,  # an unknown path may be anything
            status=status,
            error=visit.error,
            ms=round(seconds * 1000, 2),
            lm_calls=len(calls) or None,
            lm_paid=len(paid) if calls else None,
            lm_ms=round(sum(call.seconds for call in paid) * 1000, 2) if paid else None,
            input_tokens=sum(call.input_tokens or 0 for call in paid) if paid else None,
            output_tokens=sum(call.output_tokens or 0 for call in paid) if paid else None,
            inputs=visit.inputs,
            outputs=visit.outputs,
        )


def _alone(name: str, found: Iterable[str]) -> UsageError:
    """Return the refusal of a second artifact that stands beside none."""
    which = f"program {shown(name)}" if name else "program without a name"
    names = ", ".join(name or "(no name)" for name in found)
    return UsageError(
        f"There is no {which} for a second artifact to stand beside. The programs are: {names}. Give it their name: "
        "NAME=ARTIFACT."
    )


def _check_apart(name: str, others: Iterable[str]) -> None:
    """Check that types and files that are named after a program are not another one's, on any file system."""
    for other in others:
        if pascal(name or UNNAMED).lower() == pascal(other or UNNAMED).lower():
            pair = " and ".join(
                shown(one) if one else f"the one without, which counts as {UNNAMED!r}" for one in (other, name)
            )
            raise UsageError(
                f"The names of two programs are too alike: {pair}. Upper and lower case, `-` and `_` make no "
                "difference. Choose another name."
            )
