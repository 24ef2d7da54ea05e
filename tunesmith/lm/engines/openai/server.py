"""The connection to a server of OpenAI's protocol: one pooled client, its policy of repeating, its errors as types."""

import email.utils
import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import httpx

from tunesmith.errors import ModelError, shown
from tunesmith.lm.bounded import ending, is_sent_once, keep_deadline, sooner, time_left
from tunesmith.lm.connection import made
from tunesmith.lm.engine import Resend, context_overflow, missing_model, refused, unavailable
from tunesmith.lm.engines.ollama.transport import is_loopback
from tunesmith.lm.engines.openai.address import checked_address
from tunesmith.lm.engines.openai.reply import read_problem

__all__ = ["Server"]

_T = TypeVar("_T")

_CONNECT_SECONDS = 10.0
_PROBE_SECONDS = 3.0
_LONGEST_WAIT = 60.0  # a server that wants more is away for us
_BUSY = frozenset({408, 425, 429, 502, 503, 504, 529})
# llama.cpp and others close an idle connection after 5 s; ours must be gone before.
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=4.0)


class Server:
    """One address. Safe from many threads; a forked process opens connections of its own.

    Args:
        base_url: address of the API; a bare host gets `/v1`.
        headers: sent with every request.
        timeout: seconds for one attempt, from connecting to the last byte of the reply; of a stream to its beginning,
            and for every pause in it.
        waits: seconds before each further attempt; empty for a single one.
        sleep: waits for seconds.

    Attributes:
        url: of the API.
        is_local: whether it is on this machine.

    Raises:
        UsageError: an address that cannot be used, or a key that would travel in clear text to another machine.
    """

    def __init__(
        self,
        base_url: str,
        *,
        headers: Mapping[str, str],
        timeout: float,
        waits: tuple[float, ...],
        sleep: Callable[[float], None],
    ) -> None:
        address = checked_address(base_url, headers)
        self.is_local = is_loopback(address.hostname or "")
        self.url = address.geturl().rstrip("/")
        self._headers, self._timeout, self._waits, self._sleep = dict(headers), timeout, waits, sleep
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None
        self._pid = os.getpid()

    def ask(self, path: str, body: Mapping[str, Any], *, falters: bool = False, rooted: bool = False) -> Any:
        """Return the JSON that the server answers to a POST of `body`.

        A busy server is asked again after the time it names (`Retry-After`), else after the usual waits. A request
        whose connection broke or that got no answer in time is sent once more, and only if the server still lives: it
        may have died of it. In a run one that got no answer in time is not sent again.

        Args:
            path: below the address.
            body: JSON values.
            falters: whether status 500 is a passing weakness, as with services, and not about the request.
            rooted: whether the path is one of the server's own interface, below its root.

        Raises:
            ContextOverflow, RequestRefused, ModelMissing, ModelUnavailable: what the server said, or that it is away.
        """
        start = self._root if rooted else self.url
        return self._trying(lambda: self._json("POST", start + path, body), falters=falters)

    def open(self, path: str, body: Mapping[str, Any], *, falters: bool = False) -> httpx.Response:
        """Return the reply to a POST, its body not read yet; close it. Repeats and raises as `ask`."""
        return self._trying(lambda: self._open("POST", self.url + path, body), falters=falters)

    def models(self) -> list[str]:
        """Return the names of the models that the server has, sorted.

        Raises:
            ModelUnavailable, ModelMissing: nobody answers there, or nobody who speaks this protocol.
        """
        found = self._trying(lambda: self._json("GET", f"{self.url}/models", None, seconds=_PROBE_SECONDS))
        items = found.get("data") if isinstance(found, dict) else None
        return sorted(str(item.get("id")) for item in items or () if isinstance(item, dict))

    def ping(self) -> None:
        """Ask the server for a sign of life: any answer is one.

        Raises:
            ModelUnavailable: there is none.
        """
        try:
            with _within(_PROBE_SECONDS):
                self._http().get(f"{self.url}/models", timeout=_PROBE_SECONDS)
        except httpx.HTTPError as error:
            raise self._away(_said(error)) from error

    def page(self, path: str, body: Any = None, *, patient: bool = True) -> Mapping[str, Any] | None:
        """Return the JSON object at `path` below the server's root, `None` where there is none.

        Args:
            path: of the server's own interface.
            body: JSON values, which are sent with POST.
            patient: whether a server that does not answer is asked again.

        Raises:
            ModelUnavailable: nobody answers; without `patient`, at the first attempt.
        """
        waits = self._waits if patient else ()
        reply = self._trying(lambda: self._look(self._root + path, body), waits=waits)
        try:
            found = reply.json()
        except ValueError:
            return None
        return found if reply.status_code == 200 and isinstance(found, dict) else None

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None and self._pid == os.getpid():
            client.close()

    def no_api(self, problem: str) -> ModelError:
        """Return the error for an address where somebody else lives."""
        return missing_model(
            f"There is no OpenAI-compatible API at {self.url}: {problem}. Give the address that ends before "
            "`/chat/completions`, usually with `/v1`, as `base_url=`."
        )

    def _http(self) -> httpx.Client:
        client = self._client
        if client is None or self._pid != os.getpid():
            with self._lock:
                client = self._client
                if client is None or self._pid != os.getpid():
                    self._pid = os.getpid()
                    client = self._client = made(self.url, self._new_client)
        return client

    def _new_client(self) -> httpx.Client:
        client = httpx.Client(
            headers=self._headers,
            limits=_LIMITS,
            timeout=httpx.Timeout(self._timeout, connect=min(self._timeout, _CONNECT_SECONDS)),
            trust_env=not self.is_local,  # a proxy of the environment has no business with loopback
            verify=self.url.startswith("https:"),  # reading certificates takes a while
        )
        for transport in (client._transport, *client._mounts.values()):
            keep_deadline(transport, time_left)
        return client

    def _trying(self, call: Callable[[], _T], *, falters: bool = False, waits: tuple[float, ...] | None = None) -> _T:
        broken = False
        for wait in (*(self._waits if waits is None else waits), None):
            try:
                return call()
            except _Again as again:
                if again.status == 500 and not falters:
                    raise refused(f"The server at {self.url} failed on the request ({again.problem}).") from None
                longer = again.after is not None and again.after > _LONGEST_WAIT
                hangs = again.hung and is_sent_once()
                dead = (
                    wait is not None and again.sent and not hangs and (broken or not self._lives())
                )  # no look after the last attempt
                twice, broken = broken and again.sent, broken or again.sent
                if wait is None or longer or dead or hangs:
                    asked = f" (it asks to wait {again.after:.0f} s)" if longer else ""
                    no_more = longer or again.hung or twice
                    resend = Resend.NEVER if no_more else Resend.ONCE if again.sent else Resend.FREELY
                    raise self._away(again.problem + asked, resend) from again.__cause__
                self._sleep(wait if again.after is None else again.after)
        raise AssertionError("the last round returns or raises")

    def _lives(self) -> bool:
        try:
            self.ping()
        except ModelError:
            return False
        return True

    def _json(self, method: str, url: str, body: Any, *, seconds: float | None = None) -> Any:
        with _within(self._timeout if seconds is None else seconds):
            reply = self._open(method, url, body, seconds=seconds)
            try:
                text = reply.read()
            except httpx.TransportError as error:
                raise _broken(error) from error
            finally:
                reply.close()
        try:
            return json.loads(text)
        except ValueError as error:
            raise self.no_api(f"it sent {shown(text[:200])}") from error

    def _open(self, method: str, url: str, body: Any, *, seconds: float | None = None) -> httpx.Response:
        client = self._http()
        request = client.build_request(
            method,
            url,
            content=None if body is None else json.dumps(body, ensure_ascii=False).encode(),
            headers=None if body is None else {"Content-Type": "application/json"},
            timeout=httpx.USE_CLIENT_DEFAULT if seconds is None else seconds,
        )
        try:
            with _within(self._timeout if seconds is None else seconds):
                reply = client.send(request, stream=True)
                if reply.status_code == 200:
                    return reply
                try:
                    reply.read()
                finally:
                    reply.close()
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise _Again(_said(error)) from error
        except httpx.TransportError as error:
            raise _broken(error) from error
        raise self._error(reply)

    def _error(self, reply: httpx.Response) -> "ModelError | _Again":
        status, problem = reply.status_code, read_problem(reply.text)
        if problem.too_long:
            return context_overflow(prompt_tokens=problem.prompt_tokens, context_tokens=problem.context_tokens)
        if status in (401, 403):
            return missing_model(
                f"The server at {self.url} refused the key ({status}: {problem.text}). Pass the right `api_key=`."
            )
        if 300 <= status < 400:
            return self.no_api(f"it points to {reply.headers.get('Location')!r}, which is not followed")
        if status in (404, 405, 421):
            return self._nowhere(status, problem.text)
        if status in _BUSY or status == 500:
            after = _retry_after(reply.headers.get("Retry-After"))
            return _Again(f"{status}: {problem.text}", status=status, after=after)
        return refused(f"The server at {self.url} refused the request ({status}: {problem.text}).")

    def _nowhere(self, status: int, said: str) -> ModelError:
        if "model" not in said.lower():
            return self.no_api(f"{status}: {said}")
        try:
            there = ", ".join(self.models())
        except ModelError:
            there = ""
        hint = f" It has: {there}." if there else ""
        return missing_model(f"The server at {self.url} has no such model ({said}).{hint}")

    @property
    def _root(self) -> str:
        return self.url.removesuffix("/v1")

    def _look(self, url: str, body: Any) -> httpx.Response:
        try:
            seconds = min(self._timeout, _CONNECT_SECONDS)
            with _within(seconds):
                method = "GET" if body is None else "POST"
                reply = self._http().request(method, url, json=body, timeout=seconds)
        except httpx.TransportError as error:
            raise _Again(_said(error)) from error
        if reply.status_code in (429, 503):
            raise _Again(str(reply.status_code), after=_retry_after(reply.headers.get("Retry-After")))
        return reply

    def _away(self, problem: str, resend: Resend = Resend.FREELY) -> ModelError:
        return unavailable(
            f"The server at {self.url} does not answer: {problem}. Check that it runs and that the address is right, "
            "then run the same command again.",
            resend=resend,
        )


class _Again(Exception):
    """The same request may succeed later.

    Attributes:
        problem: what happened.
        status: of HTTP, where the server gave one.
        after: seconds the server asks to wait.
        sent: whether the server may have read the request, and may have died of it.
        hung: whether it got the request and gave no reply in time.
    """

    def __init__(
        self,
        problem: str,
        *,
        status: int | None = None,
        after: float | None = None,
        sent: bool = False,
        hung: bool = False,
    ) -> None:
        self.problem, self.status, self.after, self.sent, self.hung = problem, status, after, sent, hung
        super().__init__(problem)


def _broken(error: httpx.TransportError) -> _Again:
    return _Again(_said(error), sent=True, hung=isinstance(error, httpx.ReadTimeout))


def _within(seconds: float) -> AbstractContextManager[None]:
    return ending(sooner(time.monotonic() + seconds))


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _retry_after(value: str | None) -> float | None:
    """Return the seconds in a `Retry-After` header: a number, or a date."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
