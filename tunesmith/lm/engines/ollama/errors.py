"""What can go wrong between us and an Ollama server: sorted once, worded once.

The wire raises `Fault`; `Fault.sort` says what to do about it, `error_of` turns it into the error a caller sees.
"""

import difflib
from collections.abc import Sequence
from enum import Enum

from tunesmith.errors import ModelError, shown
from tunesmith.lm.engine import Resend, context_overflow, missing_model, refused, unavailable
from tunesmith.lm.engines.ollama.cloud import is_cloud_name
from tunesmith.lm.problem import Problem, read_problem

__all__ = ["Fault", "Kind", "Sort", "error_of", "no_such_model", "no_vectors"]


class Kind(Enum):
    """How an exchange with the server ended, if it did not end in a reply."""

    REFUSED = "refused"  # nothing listens there
    CUT = "cut"  # the connection broke
    STALLED = "stalled"  # nothing came in time
    ANSWERED = "answered"  # an error, with its status and text
    EMPTY = "empty"  # it loaded the model and answered nothing
    FOREIGN = "foreign"  # what answers is not an Ollama server


class Sort(Enum):
    """What to do about a fault."""

    AGAIN = "again"  # it passes: the same request once more
    LATER = "later"  # the same, after a longer pause
    CRASH = "crash"  # the request ended the model's runner: never again unchanged
    OVERFLOW = "overflow"
    MISSING = "missing"  # the model is not there
    REFUSED = "refused"  # this request is not acceptable
    BARRED = "barred"  # we are not let in, or it is another server
    AWAY = "away"  # the server cannot do its work


_CRASHES = (
    "unexpectedly stopped",
    "no longer running",
    "runner process has terminated",
    "encountered while running the model",
)
_LATER = ("server busy", "loading model")
_WRONG = ("invalid json schema", "invalid format", "failed to parse grammar", 'option "', "invalid think value")
_CLOUD = " By its name it runs in the cloud: your texts would leave this machine."
_NO_NAME = ("name or service not known", "nodename nor servname", "getaddrinfo", "name resolution", "no address")


class Fault(Exception):
    """One exchange that brought no reply.

    Attributes:
        kind: how it ended.
        text: what the server or the network said.
        status: the HTTP status, `None` if there was none.
        problem: all that it says.
        sort: what to do about it.
    """

    def __init__(self, kind: Kind, text: str, status: int | None = None) -> None:
        self.kind, self.status = kind, status
        self.problem = read_problem(text)
        self.text, self.sort = self.problem.text, _sorted(kind, status, self.problem)
        super().__init__(f"{kind.value}: {text}")


def _sorted(kind: Kind, status: int | None, problem: Problem) -> Sort:
    if kind in (Kind.REFUSED, Kind.CUT, Kind.STALLED):
        return Sort.AGAIN
    if kind is Kind.EMPTY:
        return Sort.LATER
    if kind is Kind.FOREIGN:
        return Sort.BARRED
    if problem.too_long:
        return Sort.OVERFLOW
    text = problem.text.casefold()
    if any(word in text for word in _CRASHES):
        return Sort.CRASH
    if any(word in text for word in _LATER):
        return Sort.LATER
    if any(word in text for word in _WRONG):
        return Sort.REFUSED
    return _by_status(status, text)


def _by_status(status: int | None, text: str) -> Sort:
    match status:
        case 404:
            return Sort.MISSING if "model" in text and "not found" in text else Sort.BARRED
        case 401 | 403 | 405:
            return Sort.BARRED
        case 408 | 499 | 502 | 504:
            return Sort.AGAIN
        case 429 | 503:
            return Sort.LATER
        case 501:
            return Sort.REFUSED
        case None:
            return Sort.AWAY
    return Sort.REFUSED if 400 <= status < 500 else Sort.AWAY


def error_of(
    fault: Fault,
    address: str,
    model: str | None,
    *,
    prompt: int | None = None,
    room: int | None = None,
    pulling: bool = False,
) -> ModelError:
    """Return the error that `fault` is to a caller.

    Args:
        fault: what happened last.
        address: of the server.
        model: which model was asked, `None` if none was.
        prompt: estimated tokens of the prompt, for an overflow without numbers.
        room: tokens of context, likewise.
        pulling: whether the server was to download the model.
    """
    if pulling and fault.kind is Kind.ANSWERED and fault.sort is not Sort.LATER:
        return missing_model(
            f"Ollama at {address} cannot pull {model!r}: {fault.text}. Check its name and tag, and the "
            "server's network."
        )
    match fault.sort:
        case Sort.OVERFLOW:
            return _overflow(fault, prompt, room)
        case Sort.MISSING:
            return no_such_model(model or "?", address, ())
        case Sort.CRASH:
            return refused(
                f"The runner of {model!r} on {address} stopped while it worked on this request: {fault.text}. It is "
                "not sent again, since it would stop it again. Read the server's log; a smaller `num_ctx`, a "
                "shorter prompt or a newer Ollama may help."
            )
        case Sort.REFUSED:
            return refused(f"Ollama on {address} refused the request: {fault.text}.")
        case Sort.BARRED:
            return _barred(fault, address)
    return _away(fault, address, model)


def no_such_model(model: str, address: str, names: Sequence[str]) -> ModelError:
    """Return the error for a model that the server lacks; `names` are those that it has."""
    near = _similar(model, names)
    if near:
        there = f" Similar ones that are there: {', '.join(near)}."
    elif names:
        there = f" There are: {', '.join(list(names)[:8])}."
    else:
        there = ""
    return missing_model(
        f"The model {model!r} is not on the Ollama server at {address}. Get it with `ollama pull {model}` or "
        f"`tunesmith models pull ollama/{model}`.{there}{_CLOUD if is_cloud_name(model) else ''}"
    )


def no_vectors(model: str, address: str) -> ModelError:
    """Return the error for a model that was not made for embeddings, on a server that asks for one that was."""
    return refused(
        f"The model {model!r} on the Ollama server at {address} gives no vectors: since version 0.30 only a model that "
        "was made for it does. Get one, for instance with `ollama pull nomic-embed-text`, and name it in `ts.lm(...)`."
    )


def _similar(model: str, names: Sequence[str]) -> list[str]:
    stem = model.casefold().split(":")[0].rsplit("/", 1)[-1]
    same = [name for name in names if name.casefold().split(":")[0].rsplit("/", 1)[-1] == stem]
    by_stem = {name.casefold().split(":")[0].rsplit("/", 1)[-1]: name for name in names}
    close = [by_stem[found] for found in difflib.get_close_matches(stem, by_stem, n=3, cutoff=0.6)]
    return list(dict.fromkeys([*same, *close]))[:5]


def _overflow(fault: Fault, prompt: int | None, room: int | None) -> ModelError:
    counted, there = fault.problem.prompt_tokens, fault.problem.context_tokens
    if counted is not None and there is not None:
        return context_overflow(prompt_tokens=counted, context_tokens=there)
    return context_overflow(prompt_tokens=prompt, context_tokens=room, estimated=prompt is not None)


def _barred(fault: Fault, address: str) -> ModelError:
    if fault.status == 401:
        address_there = fault.problem.fields.get("signin_url")
        way = f"Sign in at {address_there}" if address_there else "Sign in with `ollama signin`"
        return missing_model(f"{address} requires authentication: {fault.text or 'unauthorized'}. {way}.")
    if fault.status == 403:
        return missing_model(
            f"{address} refuses the request: {fault.text or 'it does not serve this host name'}. A server that is "
            "bound to the loopback accepts local names only: use 127.0.0.1, or start it with OLLAMA_HOST=0.0.0.0."
        )
    what = shown(fault.text[:80]) if fault.text else "nothing"
    return missing_model(
        f"What answers at {address} is not an Ollama server (status {fault.status}, it said {what}). "
        "Correct OLLAMA_HOST or `host=`; an OpenAI-compatible server is `openai/<model>` with `base_url=`."
    )


def _away(fault: Fault, address: str, model: str | None) -> ModelError:
    match fault.kind:
        case Kind.REFUSED:
            return unavailable(_down(fault.text, address))
        case Kind.CUT:
            return unavailable(
                f"The connection to Ollama at {address} broke off: {fault.text}. Look at the server's log, then run "
                "the same command again.",
                resend=Resend.ONCE,
            )
        case Kind.STALLED:
            return unavailable(
                f"Ollama at {address} said nothing in time: {fault.text}. It may be loading a model or serving others; "
                "raise `timeout=`, or look at `ollama ps`.",
                resend=Resend.NEVER,
            )
        case Kind.EMPTY:
            return unavailable(f"Ollama at {address} loads {model!r} and gives no reply. Run the same command again.")
    if fault.sort is Sort.LATER:
        return unavailable(
            f"Ollama at {address} is busy: {fault.text}. Run the same command again later, or with fewer slots."
        )
    status = "" if fault.status is None else f" (status {fault.status})"
    return unavailable(
        f"Ollama at {address} could not answer with {model!r}{status}: {fault.text}. "
        "Look at the server's log, then run the same command again."
    )


def _down(text: str, address: str) -> str:
    if any(word in text.casefold() for word in _NO_NAME):
        start = f"The host of {address} cannot be found: {text}. Correct OLLAMA_HOST or `host=`."
    else:
        start = (
            f"No Ollama server answers at {address}: {text}. Start one with `ollama serve` (or the Ollama app), or "
            "name its address in OLLAMA_HOST or `host=`."
        )
    return (
        f"{start} Without a server, the model `embedded` runs in this process: `tunesmith models pull embedded`, "
        "then `--lm embedded` or `ts.lm('embedded')`."
    )
