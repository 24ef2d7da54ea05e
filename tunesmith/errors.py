"""All errors of tunesmith, in one tree.

A message says what is wrong, what was given and what to do. The facts are also attributes, so that code does not have
to parse the text::

    TunesmithError
    ├── UsageError            a wrong argument, option, project file or file name
    │   ├── InputError        an input that a program does not take
    │   └── RunMismatch       the run folder holds a different run
    ├── SignatureError        an unusable signature or function
    ├── DataError             an unusable dataset
    │   ├── RowError          one row: file, line, field, value
    │   └── SplitError        splits that overlap or do not fit
    ├── FormatError           a value that a prompt format cannot carry
    ├── ParseError            a reply without the declared outputs
    ├── MetricError           a metric that raised or returned no score
    ├── ModelError            the model cannot be used
    │   ├── ModelMissing      the model, or its weight file, is missing
    │   ├── ModelUnavailable  the server or engine does not answer
    │   ├── RequestRefused    the engine refused the request
    │   └── ContextOverflow   the prompt is longer than the context
    ├── CacheError            the reply cache cannot be used
    ├── LedgerError           a run's ledger cannot be used now; its rows are safe
    ├── BudgetExceeded        the budget ended before there was a result
    ├── Interrupted           stopped by the user; finished calls are stored
    └── ArtifactError         an artifact that is damaged, incomplete or not allowed
"""

import errno
from pathlib import Path
from typing import Any

from tunesmith.lazy import lazy_pattern

__all__ = [
    "ArtifactError",
    "BudgetExceeded",
    "CacheError",
    "ContextOverflow",
    "DataError",
    "FormatError",
    "InputError",
    "Interrupted",
    "LedgerError",
    "MetricError",
    "ModelError",
    "ModelMissing",
    "ModelUnavailable",
    "ParseError",
    "RequestRefused",
    "RowError",
    "RunMismatch",
    "SignatureError",
    "SplitError",
    "TunesmithError",
    "UsageError",
]

_SHOWN = 200
_BRIEF, _LINE = 80, 240
# Who logs in, up to the last `@` before the path, or the first one if a password has a `/`.
_LOGIN = lazy_pattern(r"(?<=://)(?:[^/\s]+|[^:/@\s]*:[^@\s]+)(?=@)")
_SECRET = lazy_pattern(r"(?i)(?<=[?&])([^=&\s]*(?:key|token|secret|passw)[^=&\s]*)=[^&\s]+")
_HIDDEN = "***"


def kind_of(error: BaseException) -> str:
    """Return the name of an error's class in this file: engines and formats raise subclasses of their own.

    Of another error it is that of its class.
    """
    kinds = type(error).__mro__
    return next((kind.__name__ for kind in kinds if kind.__module__ == __name__), kinds[0].__name__.lstrip("_"))


def shown(value: object, limit: int = _SHOWN) -> str:
    """Return `repr(value)` cut to `limit` characters, for an error message."""
    try:
        # A reply or a file may be long: what is beyond the limit is not shown.
        text = repr(value[: limit + 1] if type(value) is str else value)
    except Exception:  # noqa: BLE001 - a user's __repr__ may raise anything, and the message is still needed
        text = f"<{type(value).__name__}>"
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def masked(text: str) -> str:
    """Return `text` without the secrets of addresses in it: who logs in, and parameters such as `api_key`.

    Example:
        >>> masked("see postgresql://me:word@host/runs?sslpassword=other&sslmode=require")
        'see postgresql://***@host/runs?sslpassword=***&sslmode=require'
    """
    return _SECRET.sub(rf"\1={_HIDDEN}", _LOGIN.sub(_HIDDEN, text))


def counted(number: int, one: str, several: str | None = None) -> str:
    """Return a number with what it counts: `1 row`, `2 rows`; `several` if that is not `one` with an `s`."""
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"


def brief(owner: object, *words: str, **values: object) -> str:
    """Return `Name(words, name=value)` in one short line, as the `repr` of a result; `None` is left out."""
    given = [f"{name}={shown(value, _BRIEF)}" for name, value in values.items() if value is not None]
    text = " ".join(", ".join([*filter(None, words), *given]).split())
    return f"{type(owner).__name__}({text if len(text) <= _LINE else f'{text[: _LINE - 1]}…'})"


def refusal_advice(path: Path, error: OSError) -> str:
    """Return advice for a file that could not be written, as the beginning of a sentence."""
    if path.is_dir():
        return "It is a folder and has to be a file: rename or remove that folder"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "Make room"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "Let this user write there"
    if not path.parent.is_dir():
        return "Make its folder first"
    return "Make room, or let this user write there"


class TunesmithError(Exception):
    """The root of every error that tunesmith raises on purpose."""


class UsageError(TunesmithError):
    """A wrong argument, option, project file or file name."""


class InputError(UsageError):
    """An input that a program does not take, although its type fits.

    Attributes:
        field: the input.
    """

    def __init__(self, problem: str, *, field: str) -> None:
        self.problem, self.field = problem, field
        super().__init__(problem)


class RunMismatch(UsageError):
    """The run folder holds a run of a different program, dataset, metric, model or option."""


class SignatureError(TunesmithError):
    """An unusable signature, or an unusable function that it is derived from."""


class DataError(TunesmithError):
    """An unusable dataset."""


class RowError(DataError):
    """One row that does not fit its signature.

    Attributes:
        source: file name, or a description of what was given.
        line: 1-based line (or row) number, `None` without one.
        field: the field at fault, `None` if the whole row is.
        value: what was given.
    """

    def __init__(
        self,
        problem: str,
        *,
        source: str,
        line: int | None = None,
        field: str | None = None,
        value: object = None,
    ) -> None:
        self.problem, self.source, self.line = problem, source, line
        self.field, self.value = field, value
        place = source if line is None else f"{source}:{line}"
        name = "" if field is None else f" field `{field}`:"
        given = "" if value is None else f" Given: {shown(value)}."
        super().__init__(f"{place}:{name} {problem}{given}")


class SplitError(DataError):
    """Splits that share examples, or that do not fit the dataset."""


class FormatError(TunesmithError):
    """A value or signature that a prompt format cannot carry. Raised before any call."""


class ParseError(TunesmithError):
    """A reply that does not hold the declared outputs.

    Attributes:
        reason: one of `empty`, `truncated`, `syntax`, `missing`, `invalid`.
        raw: the unchanged reply.
        field: the output field at fault, `None` if it is not one field.
    """

    def __init__(self, problem: str, *, reason: str, raw: str, field: str | None = None) -> None:
        self.problem, self.reason, self.raw, self.field = problem, reason, raw, field
        super().__init__(f"{problem} Reply: {shown(raw)}")


class MetricError(TunesmithError):
    """A metric that raised, or returned something that is not a score."""


class ModelError(TunesmithError):
    """The model cannot be used."""


class ModelMissing(ModelError):
    """The model, or its weight file, is missing."""


class ModelUnavailable(ModelError):
    """The server or the engine does not answer."""


class RequestRefused(ModelError):
    """The engine refused the request. Sending it again does not help."""


class ContextOverflow(ModelError):
    """The prompt is longer than the context.

    Attributes:
        prompt_tokens: tokens of the prompt, `None` if the engine does not report them.
        context_tokens: tokens of the context, `None` if the engine does not report them.
        estimated: whether `prompt_tokens` is an estimate from the prompt's length.
    """

    def __init__(
        self,
        problem: str,
        *,
        prompt_tokens: int | None = None,
        context_tokens: int | None = None,
        estimated: bool = False,
    ) -> None:
        self.problem, self.estimated = problem, estimated
        self.prompt_tokens, self.context_tokens = prompt_tokens, context_tokens
        super().__init__(problem)


class CacheError(TunesmithError):
    """The reply cache cannot be used."""


class LedgerError(TunesmithError):
    """A run's ledger cannot be read or written now, for example on a full disk. Its rows are safe."""


class BudgetExceeded(TunesmithError):
    """The budget ended before there was a result.

    Attributes:
        spent: the charges when it ended, as `{"calls": ..., "tokens": ..., ...}`.
    """

    def __init__(self, problem: str, *, spent: dict[str, Any] | None = None) -> None:
        self.problem, self.spent = problem, spent or {}
        super().__init__(problem)


class Interrupted(TunesmithError):
    """Stopped by the user. Finished calls are in the cache, and the same command resumes.

    Attributes:
        partial: a `Report` of the finished part, `None` without one.
    """

    def __init__(self, problem: str, *, partial: object = None) -> None:
        self.problem, self.partial = problem, partial
        super().__init__(problem)


class ArtifactError(TunesmithError):
    """An artifact that is damaged, incomplete, or asks for code that was not allowed."""
