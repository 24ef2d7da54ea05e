"""One Ollama server: every request to it, with retries, deadlines and typed errors.

A fault that passes is tried again: a refused, broken or silent connection, a busy server, a model that was just loaded.
Others are not: above all a request that ended the model's runner is never sent again as it was.
"""

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import httpx

from tunesmith.errors import ModelError
from tunesmith.lm.connection import Connections
from tunesmith.lm.engines.ollama.errors import Fault, Kind, Sort, error_of, no_such_model
from tunesmith.lm.engines.ollama.facts import (
    ModelFacts,
    ServedModel,
    Version,
    find_served,
    model_facts,
    served_models,
)
from tunesmith.lm.engines.ollama.transport import HEADERS, Wire, connections_to
from tunesmith.lm.waiting import Policy

__all__ = ["Connect", "OllamaServer", "POLICY", "PullProgress"]

T = TypeVar("T")
Connect = Callable[[str, httpx.BaseTransport], Any]
"""Makes the `ollama.Client` of the server at an address, over a transport."""
PullProgress = Callable[[str, int, int | None], None]
"""Called with what the server does, the bytes that are here and, if known, the bytes that there will be."""

POLICY = Policy(timeout=1200.0, attempts=5, pause=0.1)
"""For a call, and at the first one for what the server is asked about the model before.

An attempt may be silent for half of what is left of the time; in a run, where a silent call is not sent again, for all
of it.
"""

_BUSY = 10.0  # pauses are so many times as long after "busy" and "loading"
_PULL_SECONDS = 30 * 86400.0  # a download takes as long as it takes


class _Open(NamedTuple):
    """The connections of one process, and the clients over them that no call uses now."""

    transport: httpx.HTTPTransport
    free: list[tuple[Any, Wire]]


class OllamaServer:
    """One server. Safe from many threads, and in a process that was forked.

    Args:
        address: base URL.
        connect: makes the client.
        policy: how often and how long.
    """

    def __init__(self, address: str, connect: Connect, policy: Policy) -> None:
        self.address, self.policy = address, policy
        self._connect = connect
        self._open = Connections(address, lambda: _Open(connections_to(httpx.URL(address), policy.clock), []))

    # Requests -----------------------------------------------------------------------------------------------

    def retried(self, once: Callable[[float], T], deadline: float | None = None) -> T:
        """Return what `once(deadline)` gives, trying again what passes.

        Raises:
            Fault: the last one.
        """
        end = self.policy.deadline() if deadline is None else deadline
        return self.policy.run(lambda: once(end), _pause, deadline=end)

    def chat(self, arguments: dict[str, Any], patch: dict[str, Any], deadline: float) -> dict[str, Any]:
        """Return the reply to one `/api/chat` request, as it came.

        Raises:
            Fault: there is none.
        """
        reply = self._ask(lambda client: client.chat(stream=False, **arguments), deadline, patch)
        message = reply.get("message") or {}
        nothing = not any(message.get(name) for name in ("content", "thinking", "tool_calls"))
        if reply.get("done_reason") in ("load", "unload") or (nothing and reply.get("done") is not True):
            raise Fault(Kind.EMPTY, "it loaded the model and gave no reply")
        return reply

    def chat_stream(self, arguments: dict[str, Any], patch: dict[str, Any], deadline: float) -> Iterator[Any]:
        """Yield the chunks of one streamed `/api/chat` request; closing the iterator breaks the connection.

        Raises:
            Fault: it did not begin, or broke off.
        """
        with self._client(deadline, patch) as (client, _):
            yield from _pieces(client.chat(stream=True, **arguments))

    def embed(self, arguments: dict[str, Any], deadline: float) -> list[list[float]]:
        """Return the vectors of one `/api/embed` request.

        Raises:
            Fault: there are none.
        """
        found = self._ask(lambda client: client.embed(truncate=False, **arguments), deadline).get("embeddings")
        return list(found or [])

    # What the server says -----------------------------------------------------------------------------------

    def version(self, deadline: float | None = None) -> Version:
        """Return the server's version.

        Args:
            deadline: when the answer has to be here, on the policy's clock; by default as for any call.

        Raises:
            ModelUnavailable: no server answers.
            ModelMissing: what answers is another server, or does not let us in.
        """
        reply = self._answered(self._get_version, deadline)
        if not isinstance(reply.get("version"), str):
            raise error_of(Fault(Kind.FOREIGN, json.dumps(reply)[:80]), self.address, None)
        return Version(reply["version"])

    def models(self, deadline: float | None = None) -> list[ServedModel]:
        """Return the models that the server has; raises as `version`."""
        return served_models(self._answered(lambda end: self._ask(lambda client: client.list(), end), deadline))

    def loaded(self) -> list[ServedModel]:
        """Return the models in the server's memory; raises as `version`."""
        return served_models(self._answered(lambda end: self._ask(lambda client: client.ps(), end), None))

    def facts(self, name: str, deadline: float | None = None) -> ModelFacts:
        """Return what the server says about one model: three requests with one deadline.

        Raises:
            ModelMissing: the server has no such model; says how to get it and which similar ones are there.
            ModelUnavailable: the server does not answer.
        """
        deadline = self.policy.deadline() if deadline is None else deadline
        version, models = self.version(deadline), self.models(deadline)
        try:
            shown = self.retried(lambda end: self._ask(lambda client: client.show(name), end), deadline)
        except Fault as fault:
            raise self.error(fault, name, deadline=deadline) from fault
        return model_facts(name, version, find_served(models, name), shown)

    def pull(self, name: str, progress: PullProgress | None = None) -> bool:
        """Let the server download a model, and return whether it did; one that is there stays as it is.

        It may have been made on the server, or there may be no network. A registry's model of the same name would take
        its place.

        Raises:
            ModelMissing: there is no such model, or the server cannot get it.
            ModelUnavailable: the server does not answer, or the download broke off.
        """
        if find_served(self.models(), name) is not None:
            return False
        try:
            with self._client(self.policy.clock() + _PULL_SECONDS) as (client, _):
                for step in _pieces(client.pull(name, stream=True)):
                    if progress is not None:
                        progress(step.status or "", step.completed or 0, step.total)
        except Fault as fault:
            raise error_of(fault, self.address, name, pulling=True) from fault
        return True

    def error(
        self,
        fault: Fault,
        model: str,
        prompt: int | None = None,
        room: int | None = None,
        deadline: float | None = None,
    ) -> ModelError:
        """Return the error that `fault` is to a caller.

        Args:
            fault: what happened last.
            model: which model was asked.
            prompt: estimated tokens of the prompt.
            room: tokens of context.
            deadline: of the call; the server is not asked for similar models any longer.
        """
        if fault.sort is not Sort.MISSING:
            return error_of(fault, self.address, model, prompt=prompt, room=room)
        names: list[str] = []
        with contextlib.suppress(ModelError):
            names = [served.name for served in self.models(deadline)]
        return no_such_model(model, self.address, names)

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        found = self._open.take()
        if found is not None:
            found.transport.close()

    # Below --------------------------------------------------------------------------------------------------

    def _answered(self, once: Callable[[float], dict[str, Any]], deadline: float | None) -> dict[str, Any]:
        try:
            return self.retried(once, deadline)
        except Fault as fault:
            raise error_of(fault, self.address, None) from fault

    def _get_version(self, deadline: float) -> dict[str, Any]:
        with self._client(deadline) as (_, wire):
            # The `ollama` client has no method for this one.
            httpx.Client(base_url=self.address, transport=wire, trust_env=False, headers=HEADERS).get("/api/version")
            return wire.reply

    def _ask(self, do: Callable[[Any], Any], deadline: float, patch: dict[str, Any] | None = None) -> dict[str, Any]:
        with self._client(deadline, patch) as (client, wire):
            try:
                do(client)
            except (ValueError, TypeError, AttributeError) as error:
                # The client cannot read the reply, or will not send the request.
                kind, status = (Kind.FOREIGN, 200) if wire.reply else (Kind.ANSWERED, 400)
                raise Fault(kind, str(error), status) from error
            return wire.reply

    @contextlib.contextmanager
    def _client(self, deadline: float, patch: dict[str, Any] | None = None) -> Iterator[tuple[Any, Wire]]:
        """Give a client that no other call uses, and its transport, for a request that ends at `deadline`."""
        transport, free = self._open.get()
        try:
            client, wire = free.pop()
        except IndexError:
            wire = Wire(transport, self.policy.clock)
            client = self._connect(self.address, wire)
        wire.begin(deadline, patch)
        try:
            yield client, wire
        finally:
            free.append((client, wire))


def _pause(error: Exception, pause: float) -> float | None:
    """Return the seconds to wait after a fault that passes."""
    if not isinstance(error, Fault) or error.sort not in (Sort.AGAIN, Sort.LATER):
        return None
    return pause * _BUSY if error.sort is Sort.LATER else pause


def _pieces(chunks: Any) -> Iterator[Any]:
    try:
        yield from chunks
    except (ValueError, TypeError, AttributeError) as error:
        raise Fault(Kind.FOREIGN, str(error), 200) from error
    finally:
        chunks.close()
