"""The connection to a server of OpenAI's protocol, through the `openai` client: its addresses, repeats and errors.

The client writes requests, reads streams and sorts errors. Three things of it are switched off here: it repeats nothing
(`Server` says when a request is sent again), it adds no header of its own, and it reads no key from the environment.
"""

import email.utils
import json
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from tunesmith.errors import ModelError, shown
from tunesmith.lazy import lazy_module
from tunesmith.lm.bounded import keep_deadline
from tunesmith.lm.connection import Connections, is_loopback
from tunesmith.lm.engine import Resend, context_overflow, missing_model, refused, unavailable
from tunesmith.lm.engines.openai.address import checked_address
from tunesmith.lm.engines.openai.reply import broke_off, read_json
from tunesmith.lm.problem import read_problem
from tunesmith.lm.waiting import Policy, ending, is_sent_once, sooner, time_left

if TYPE_CHECKING:
    import openai
else:
    openai = lazy_module("openai")  # it takes as long to import as DSPy, and cached replies need none of it

__all__ = ["Server"]

_T = TypeVar("_T")

_CONNECT_SECONDS = 10.0
_PROBE_SECONDS = 3.0
_LONGEST_WAIT = 60.0  # seconds; a server that asks for more counts as away
_BUSY = frozenset({408, 425, 429, 502, 503, 504, 529})
# llama.cpp and others close an idle connection after 5 s; ours must be gone before.
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=4.0)
_OWN_HEADERS = frozenset(
    {"accept", "accept-encoding", "connection", "content-length", "content-type", "host", "user-agent"}
)


class Server:
    """One address. Safe from many threads; a forked process opens connections of its own.

    Args:
        base_url: address of the API; a bare host gets `/v1`.
        headers: sent with every request.
        timeout: seconds for one attempt, from connecting to the last byte of the reply; of a stream to its beginning,
            and for every pause in it.
        policy: how often a request is sent, and how long to wait between.

    Attributes:
        url: of the API.
        is_local: whether it is on this machine.

    Raises:
        UsageError: an address that cannot be used, or a key that would travel in clear text to another machine.
    """

    def __init__(self, base_url: str, *, headers: Mapping[str, str], timeout: float, policy: Policy) -> None:
        address = checked_address(base_url, headers)
        self.is_local = is_loopback(address.hostname or "")
        self.url = address.geturl().rstrip("/")
        self._root = self.url.removesuffix("/v1")
        self._headers, self._timeout, self._policy = dict(headers), timeout, policy
        self._clients = Connections(self.url, lambda: _Clients(self._new_http()))

    def ask(self, path: str, body: Mapping[str, Any], *, falters: bool = False, rooted: bool = False) -> Any:
        """Return the JSON that the server answers to a POST of `body`.

        A busy server is asked again after the time it names (`Retry-After`), else after the usual pauses. A request
        whose connection broke or that got no answer in time is sent once more, and only if the server still lives: it
        may have died of it. In a run one that got no answer in time is not sent again.

        Args:
            path: below the address.
            body: JSON values.
            falters: whether status 500 is a passing weakness, as with services, and not about the request.
            rooted: whether the path is one of the server's own interface, below its root.

        Raises:
            ContextOverflow, RequestRefused, ModelMissing, ModelUnavailable: the request was refused, or nothing came.
        """
        url = (self._root if rooted else self.url) + path
        reply = self._trying(lambda: self._post(url, body, falters, cast_to=httpx.Response))
        try:
            return read_json(reply.content)
        except ValueError as error:
            raise self.no_api(f"it sent {shown(reply.text[:200])}") from error

    def stream(self, path: str, body: Mapping[str, Any], *, falters: bool = False) -> Generator[Any, None, None]:
        """Yield the JSON of each event that answers a POST of `body`; repeats until the first one, as `ask`.

        Raises:
            ContextOverflow, RequestRefused, ModelMissing, ModelUnavailable: as `ask`, or the reply broke off.
        """
        how = {"cast_to": object, "stream": True, "stream_cls": openai.Stream[object]}
        with closing(self._trying(lambda: self._post(self.url + path, body, falters, **how))) as events:
            try:
                yield from events
            except (httpx.TransportError, openai.APIConnectionError) as error:
                raise broke_off(_named(error)) from error
            except openai.APIError as error:
                raise broke_off(json.dumps({"error": error.body})) from error
            except ValueError as error:
                raise broke_off("it sent no JSON") from error

    def models(self) -> list[str]:
        """Return the names of the models that the server has, sorted.

        Raises:
            ModelUnavailable: the server does not answer.
        """
        found = self.page("/models", below=self.url, seconds=_PROBE_SECONDS) or {}
        return sorted(str(item.get("id")) for item in found.get("data") or () if isinstance(item, dict))

    def ping(self) -> None:
        """Ask the server for a sign of life: any answer is one.

        Raises:
            ModelUnavailable: there is none.
        """
        try:
            self._look(f"{self.url}/models", None, _PROBE_SECONDS)
        except _Again as again:
            if not again.status:
                raise self._away(again.problem) from again.__cause__

    def page(
        self,
        path: str,
        body: Any = None,
        *,
        patient: bool = True,
        below: str | None = None,
        seconds: float = _CONNECT_SECONDS,
    ) -> Mapping[str, Any] | None:
        """Return the JSON object at `path`, `None` if there is none.

        Args:
            path: of the server's own interface.
            body: JSON values, which are sent with POST.
            patient: whether a server that does not answer is asked again.
            below: the address that `path` is below; default: the server's root.
            seconds: for one attempt.

        Raises:
            ModelUnavailable: the server does not answer; without `patient`, at the first attempt.
        """
        url = (self._root if below is None else below) + path
        reply = self._trying(lambda: self._look(url, body, seconds), patient=patient)
        try:
            found = reply.json()
        except ValueError:
            return None
        return found if reply.status_code == 200 and isinstance(found, dict) else None

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        found = self._clients.take()
        if found is not None:
            found.http.close()

    def no_api(self, problem: str) -> ModelError:
        """Return the error for an address at which another program answers."""
        return missing_model(
            f"There is no OpenAI-compatible API at {self.url}: {problem}. Give the address that ends before "
            "`/chat/completions`, usually with `/v1`, as `base_url=`."
        )

    # The clients --------------------------------------------------------------------------------------------

    def _api(self) -> Any:
        """Return the client of OpenAI's protocol, over the connections of the HTTP client."""
        clients = self._clients.get()
        if clients.api is None:
            given: Any = {"http_client": clients.http, "timeout": clients.http.timeout}  # typed for httpx2 of late
            # With a key the client does not look for one in the environment.
            clients.api = openai.OpenAI(api_key="none", base_url=self.url, max_retries=0, **given)
        return clients.api

    def _new_http(self) -> httpx.Client:
        client = httpx.Client(
            limits=_LIMITS,
            timeout=httpx.Timeout(self._timeout, connect=min(self._timeout, _CONNECT_SECONDS)),
            trust_env=not self.is_local,  # requests to this machine need no proxy
            verify=self.url.startswith("https:"),  # reading certificates takes a while
            event_hooks={"request": [self._set_headers]},
        )
        for transport in (client._transport, *client._mounts.values()):
            keep_deadline(transport, time_left)
        return client

    def _set_headers(self, request: httpx.Request) -> None:
        """Take away what the client adds on its own: keys, organisations and headers of the environment, telemetry."""
        for name in [name for name in request.headers if name not in _OWN_HEADERS]:
            del request.headers[name]
        request.headers.update(self._headers)

    # One request --------------------------------------------------------------------------------------------

    def _post(self, url: str, body: Mapping[str, Any], falters: bool, **how: Any) -> Any:  # noqa: FBT001
        try:
            with _within(self._timeout):
                return self._api().post(url, body=body, **how)
        except openai.APIStatusError as error:
            raise self._error(error.response, falters) from None
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            if isinstance(cause, (httpx.ConnectError, httpx.ConnectTimeout)):
                raise _Again(_named(cause)) from cause
            raise _Again(_named(cause), sent=True, hung=isinstance(cause, httpx.ReadTimeout)) from cause
        except ValueError as error:
            raise refused(f"The request cannot be written as JSON ({error}). Repair the text first.") from error

    def _look(self, url: str, body: Any, seconds: float) -> httpx.Response:
        seconds = min(self._timeout, seconds)
        try:
            with _within(seconds):
                method = "GET" if body is None else "POST"
                reply = self._clients.get().http.request(method, url, json=body, timeout=seconds)
        except httpx.HTTPError as error:
            raise _Again(_named(error)) from error
        if reply.status_code in (429, 503):
            raise _Again(str(reply.status_code), status=reply.status_code, after=_retry_after(reply))
        return reply

    def _trying(self, call: Callable[[], _T], *, patient: bool = True) -> _T:
        broken: list[_Again] = []  # connections over which the server may have died

        def attempt() -> _T:
            try:
                return call()
            except _Again as again:
                broken.extend([again] if again.sent else [])
                raise

        def passes(error: Exception, pause: float) -> float | None:
            if not isinstance(error, _Again) or (error.after or 0.0) > _LONGEST_WAIT:
                return None
            if error.sent and ((error.hung and is_sent_once()) or len(broken) > 1 or not self._lives()):
                return None
            return pause if error.after is None else error.after

        policy = self._policy if patient else Policy(attempts=1)
        try:
            return policy.run(attempt, passes)
        except _Again as again:
            longer = (again.after or 0.0) > _LONGEST_WAIT
            asked = f" (it asks to wait {again.after:.0f} s)" if longer else ""
            no_more = longer or again.hung or (again.sent and len(broken) > 1)
            resend = Resend.NEVER if no_more else Resend.ONCE if again.sent else Resend.FREELY
            raise self._away(again.problem + asked, resend) from again.__cause__

    def _lives(self) -> bool:
        try:
            self.ping()
        except ModelError:
            return False
        return True

    # Errors -------------------------------------------------------------------------------------------------

    def _error(self, reply: Any, falters: bool) -> "ModelError | _Again":  # noqa: FBT001
        status, problem = reply.status_code, read_problem(reply.text)
        if problem.too_long:
            return context_overflow(prompt_tokens=problem.prompt_tokens, context_tokens=problem.context_tokens)
        if status in (401, 403):
            return missing_model(
                f"The server at {self.url} refused the key ({status}: {problem}). Pass the right `api_key=`."
            )
        if 300 <= status < 400:
            return self.no_api(f"it points to {reply.headers.get('Location')!r}, which is not followed")
        if status in (404, 405, 421):
            return self._not_there(status, str(problem))
        if status in _BUSY or (status == 500 and falters):
            return _Again(f"{status}: {problem}", status=status, after=_retry_after(reply))
        did = "failed on" if status == 500 else "refused"
        return refused(f"The server at {self.url} {did} the request ({status}: {problem}).")

    def _not_there(self, status: int, text: str) -> ModelError:
        if "model" not in text.lower():
            return self.no_api(f"{status}: {text}")
        try:
            there = ", ".join(self.models())
        except ModelError:
            there = ""
        hint = f" It has: {there}." if there else ""
        return missing_model(f"The server at {self.url} has no such model ({text}).{hint}")

    def _away(self, problem: str, resend: Resend = Resend.FREELY) -> ModelError:
        return unavailable(
            f"The server at {self.url} does not answer: {problem}. Check that it runs and that the address is right, "
            "then run the same command again.",
            resend=resend,
        )


@dataclass(slots=True)
class _Clients:
    """The connections of one process.

    Attributes:
        http: for what is outside of OpenAI's protocol.
        api: for the protocol, over the same connections; made at the first need.
    """

    http: httpx.Client
    api: Any = None


class _Again(Exception):
    """The same request may succeed later.

    Attributes:
        problem: what happened.
        status: of HTTP, `None` if there was no reply.
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


def _within(seconds: float) -> AbstractContextManager[None]:
    return ending(sooner(time.monotonic() + seconds))


def _named(error: BaseException) -> str:
    cause = error.__cause__ if isinstance(error.__cause__, httpx.HTTPError) else error
    return f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__


def _retry_after(reply: Any) -> float | None:
    """Return the seconds in a `Retry-After` header: a number, or a date."""
    value = reply.headers.get("Retry-After", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
