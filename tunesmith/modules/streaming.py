"""Typed fields of a program's predictions while its model writes them."""

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from tunesmith.errors import UsageError, shown
from tunesmith.lm import BaseLM, StopSignal
from tunesmith.modules.hearing import FieldDelta, heard
from tunesmith.modules.line import AsyncLine, Left, Line
from tunesmith.modules.module import Module, context

__all__ = ["FieldStream", "Finished", "stream"]

_JOIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event: what the program returned.

    Example:
        >>> import tunesmith as ts
        >>> *_, last = ts.stream(ts.Predict("q -> a"), lm=ts.ScriptedLM("four"), q="2 + 2?")
        >>> last.prediction.a
        'four'
    """

    prediction: Any


@dataclass(frozen=True, slots=True)
class _Failed:
    error: BaseException


def stream(program: Module, /, *, lm: BaseLM | None = None, **inputs: Any) -> "FieldStream":
    """Run `program` and yield its fields while they are written: `FieldDelta`s, then one `Finished`.

    The deltas of a text field join to the field exactly, in every format; those of a label to its text; those of any
    other field to a text of its value: JSON without quotes and escapes around a lone string. A reply from the cache
    comes as one delta per field, and so does one that cannot be read in parts (an adapter of DSPy's other than its
    `ChatAdapter`, a `dspy.LM` with an engine of its own, a request for log-probabilities).

    The program is a copy, called as `program(**inputs)` would be called now, in a thread of its own; under `async for`
    its `acall` runs in the event loop where it has an `aforward`. It goes on only when the next event is asked for.
    Closing the stream early, or leaving a `with` block, stops the program and its engine at once; only a program that
    is busy elsewhere, or waits for the first piece of a reply, ends at its next word.

    Args:
        program: a predictor, or any program. Predictions made by its predictors are heard, also inside of frozen
            sub-modules; those of predictors that it makes on the way are not.
        lm: the model; default `dspy.settings.lm`.
        **inputs: the program's inputs.

    Returns:
        An iterator for `for` or `async for`, to be used once.

    Raises:
        UsageError: `program` is no module, or `lm` no LM.

    While it is read it raises what the program raises; a budget that ends, or a model that goes away in a metered run,
    ends it at once with the error of that (`BudgetExceeded`, `ModelUnavailable`, ...), whatever the program catches.

    Example:
        >>> import tunesmith as ts
        >>> events = ts.stream(ts.Predict("q -> a"), lm=ts.ScriptedLM("four"), q="2 + 2?")
        >>> "".join(event.text for event in events if isinstance(event, ts.FieldDelta))
        'four'
    """
    if not isinstance(program, Module):
        raise UsageError(f"A program is a `dspy.Module`. Given: {shown(program)}. Pass an instance, not a class.")
    if lm is not None and not isinstance(lm, BaseLM):
        raise UsageError(f"`lm` must be an LM, such as `ts.lm('embedded')`. Given: {shown(lm)}.")
    return FieldStream(program, lm, inputs)


class FieldStream:
    """The events of one run; see `stream`. Use it once, from one thread or one task."""

    def __init__(self, program: Module, lm: BaseLM | None, inputs: Mapping[str, Any]) -> None:
        self._program, self._lm, self._inputs = program, lm, dict(inputs)
        self._context = contextvars.copy_context()
        self._line: Line | None = None
        self._thread: threading.Thread | None = None
        self._task: asyncio.Task[None] | None = None
        self._over = False

    # Reading in a loop -----------------------------------------------------------------------------------------

    def __iter__(self) -> "FieldStream":
        return self

    def __next__(self) -> FieldDelta | Finished:
        if self._over:
            raise StopIteration
        if self._line is None:
            self._line = Line()
            self._start(self._line)
        try:
            item = self._line.next()
        except BaseException:  # Ctrl-C
            self._leave()
            raise
        return self._event(item)

    def close(self) -> None:
        """Stop the program, where it has not ended."""
        self._leave()
        # Who was let go ends now. What is busy elsewhere is not waited for.
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_JOIN_SECONDS if self._waited else 0)

    def __enter__(self) -> "FieldStream":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self._leave()

    # Reading in a coroutine ------------------------------------------------------------------------------------

    def __aiter__(self) -> "FieldStream":
        return self

    async def __anext__(self) -> FieldDelta | Finished:
        if self._over:
            raise StopAsyncIteration
        if self._line is None:
            self._line = AsyncLine(asyncio.get_running_loop())
            if hasattr(self._program, "aforward"):
                work = _Work(self._program, self._lm, self._inputs, self._line)
                self._task = asyncio.create_task(work.run_async(), context=self._context)
            else:
                self._start(self._line)
        if not isinstance(self._line, AsyncLine):
            raise UsageError("This stream is read by `for` already. Make another one for `async for`.")
        try:
            item = await self._line.anext()
        except BaseException:  # cancelled
            await self.aclose()
            raise
        return self._event(item)

    async def aclose(self) -> None:
        """Stop the program, where it has not ended."""
        self._leave()
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])

    async def __aenter__(self) -> "FieldStream":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # Running ---------------------------------------------------------------------------------------------------

    _waited = False

    def _leave(self) -> None:
        self._over = True
        if self._line is not None:
            self._waited = self._line.close()

    def _event(self, item: Any) -> FieldDelta | Finished:
        if isinstance(item, _Failed):
            self._over = True
            error = item.error
            raise error.error if isinstance(error, StopSignal) else error
        self._over = isinstance(item, Finished)
        return item

    def _start(self, line: Line) -> None:
        # The thread must not hold the stream: who drops a stream has left it.
        work = _Work(self._program, self._lm, self._inputs, line)
        self._thread = threading.Thread(
            target=self._context.run, args=(work.run,), daemon=True, name="tunesmith-program"
        )
        self._thread.start()


class _Work:
    """One run of a program, heard at its predictors."""

    def __init__(self, program: Module, lm: BaseLM | None, inputs: Mapping[str, Any], line: Line) -> None:
        self._program, self._lm, self._inputs, self._line = program, lm, inputs, line

    def run(self) -> None:
        try:
            with self._settings():
                prediction = heard(self._program, self._line)(**self._inputs)
        except BaseException as error:  # noqa: BLE001 - handed to the reader, who raises it
            self._end(_Failed(error))
        else:
            self._end(Finished(prediction))

    async def run_async(self) -> None:
        try:
            with self._settings():
                prediction = await heard(self._program, self._line).acall(**self._inputs)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - handed to the reader, who raises it
            self._end(_Failed(error))
        else:
            self._end(Finished(prediction))

    def _settings(self) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext() if self._lm is None else context(lm=self._lm)

    def _end(self, item: Finished | _Failed) -> None:
        with contextlib.suppress(Left):
            self._line.leave(item)
