"""Every error a user can meet, in one tree.

A message says what is wrong, what was given and what to do. The facts are attributes, so that code can
act on them without reading the text::

    TunesmithError
    ├── UsageError            a wrong argument, option, project file or file name
    │   └── RunMismatch       a run folder holds a run of something else
    ├── SignatureError        a signature or function that cannot be used
    ├── DataError             a dataset that cannot be used
    │   ├── RowError          one row: file, line, field, value
    │   └── SplitError        splits that overlap or do not fit
    ├── FormatError           a value that a prompt format cannot carry
    ├── ParseError            a reply that does not hold the promised outputs
    ├── MetricError           a metric that raised or returned no score
    ├── ModelError            something between us and the model
    │   ├── ModelMissing      the model, or its weight file, is not there
    │   ├── ModelUnavailable  the server or engine does not answer
    │   ├── RequestRefused    the engine refused the request as it stands
    │   └── ContextOverflow   the prompt is longer than the context
    ├── CacheError            the reply cache cannot be used
    ├── LedgerError           a run's ledger cannot be used now; what it holds is safe
    ├── BudgetExceeded        the budget ended before anything could be returned
    ├── Interrupted           stopped by the user; what was paid for is kept
    └── ArtifactError         an artifact that is damaged, incomplete or not allowed
"""

import errno
from pathlib import Path
from typing import Any

__all__ = [
    "ArtifactError",
    "BudgetExceeded",
    "CacheError",
    "ContextOverflow",
    "DataError",
    "FormatError",
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


def shown(value: object, limit: int = _SHOWN) -> str:
    """Return `repr(value)` cut to `limit` characters, for an error message."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a user's __repr__ may do anything; the message must still come
        text = f"<{type(value).__name__}>"
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def brief(owner: object, *words: str, **values: object) -> str:
    """Return `Name(words, name=value)` in one short line, as the `repr` of a result; `None` is left out."""
    given = [f"{name}={shown(value, _BRIEF)}" for name, value in values.items() if value is not None]
    text = " ".join(", ".join([*filter(None, words), *given]).split())
    return f"{type(owner).__name__}({text if len(text) <= _LINE else f'{text[: _LINE - 1]}…'})"


def refusal_advice(path: Path, error: OSError) -> str:
    """Return what to do about a file that could not be written, as the beginning of a sentence."""
    if path.is_dir():
        return "It is a folder and has to be a file: rename or remove that folder"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "Make room"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "Let this user write there"
    return "Make room, or let this user write there"


class TunesmithError(Exception):
    """The root of every error that tunesmith raises on purpose."""


class UsageError(TunesmithError):
    """A wrong argument, option, project file or file name."""


class RunMismatch(UsageError):
    """The run folder holds a run of another program, dataset, metric, model or option."""


class SignatureError(TunesmithError):
    """A signature, or a function it is derived from, that cannot be used."""


class DataError(TunesmithError):
    """A dataset that cannot be used."""


class RowError(DataError):
    """One row that does not fit its signature.

    Attributes:
        source: file name, or a description of what was given.
        line: 1-based line (or row) number, `None` where there is none.
        field: the field at fault, `None` where the whole row is.
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
        where = source if line is None else f"{source}:{line}"
        name = "" if field is None else f" field `{field}`:"
        given = "" if value is None else f" Given: {shown(value)}."
        super().__init__(f"{where}:{name} {problem}{given}")


class SplitError(DataError):
    """Splits that share examples, or that do not fit the dataset."""


class FormatError(TunesmithError):
    """A value or signature that a prompt format cannot carry; raised before any call."""


class ParseError(TunesmithError):
    """A reply that does not hold the promised outputs.

    Attributes:
        reason: one of `empty`, `truncated`, `syntax`, `missing`, `invalid`.
        raw: the reply as it came.
        field: the output field at fault, where one is.
    """

    def __init__(self, problem: str, *, reason: str, raw: str, field: str | None = None) -> None:
        self.problem, self.reason, self.raw, self.field = problem, reason, raw, field
        super().__init__(f"{problem} Reply: {shown(raw)}")


class MetricError(TunesmithError):
    """A metric that raised, or returned something that is no score."""


class ModelError(TunesmithError):
    """Something between us and the model."""


class ModelMissing(ModelError):
    """The model, or its weight file, is not there."""


class ModelUnavailable(ModelError):
    """The server or the engine does not answer."""


class RequestRefused(ModelError):
    """The engine refused the request as it stands; sending it again would not help."""


class ContextOverflow(ModelError):
    """The prompt is longer than the context.

    Attributes:
        prompt_tokens: tokens of the prompt, `None` where the engine does not say.
        context_tokens: tokens of the context, `None` where the engine does not say.
        estimated: whether `prompt_tokens` is a guess from the prompt's length.
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
    """A run's ledger that cannot be read or written now, as on a full disk. What it holds is safe."""


class BudgetExceeded(TunesmithError):
    """The budget ended before anything could be returned.

    Attributes:
        spent: what was charged when it ended, as `{"calls": ..., "tokens": ..., ...}`.
    """

    def __init__(self, problem: str, *, spent: dict[str, Any] | None = None) -> None:
        self.problem, self.spent = problem, spent or {}
        super().__init__(problem)


class Interrupted(TunesmithError):
    """Stopped by the user. What was paid for is in the cache; the same command goes on.

    Attributes:
        partial: what was finished, where there is something (a `Report`).
    """

    def __init__(self, problem: str, *, partial: object = None) -> None:
        self.problem, self.partial = problem, partial
        super().__init__(problem)


class ArtifactError(TunesmithError):
    """An artifact that is damaged, incomplete, or asks for code that was not allowed."""
