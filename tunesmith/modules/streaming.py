"""Typed fields of a program's predictions while its model writes them."""

import asyncio
import contextlib
import contextvars
import itertools
import operator
import queue
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MethodType
from typing import Any

from tunesmith.errors import UsageError, shown
from tunesmith.formats import Adapter, ChatAdapter, FieldReader, field_reader, settled
from tunesmith.lm import LM, BaseLM, StopSignal, listening
from tunesmith.modules.binding import bound_format, bound_offsets, format_of
from tunesmith.modules.module import DspyPredict, Module, caller_adapter, context, copy_program
from tunesmith.modules.predict import Predict
from tunesmith.signatures import Signature

__all__ = ["FieldDelta", "FieldStream", "Finished", "run_told", "stream"]

_JOIN_SECONDS = 5.0
_ATTRIBUTE = "tunesmith_publisher"


@dataclass(frozen=True, slots=True)
class FieldDelta:
    """More text of an output field.

    Attributes:
        predictor: path of the predictor, `self` if the program is one.
        field: the output field.
        text: what follows the field's earlier deltas of the same call.
        call: number of the predictor's call, from 0; a repeated call has a number of its own.
        restart: whether `text` replaces all of the field: the reply turned out to mean something else than was read so
            far (a label in other letters, a type that changes its text).

    Example:
        >>> import tunesmith as ts
        >>> events = list(ts.stream(ts.Predict("q -> a"), lm=ts.ScriptedLM("four"), q="2 + 2?"))
        >>> delta = events[0]
        >>> isinstance(delta, ts.FieldDelta), delta.predictor, delta.field
        (True, 'self', 'a')
    """

    predictor: str
    field: str
    text: str
    call: int = 0
    restart: bool = False


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
    its `acall` runs in the event loop if it has an `aforward`. It goes on only when the next event is asked for.
    Closing the stream early, or leaving a `with` block, stops the program and its engine at once; only a program that
    is busy elsewhere, or waits for the first piece of a reply, ends at its next word.

    Args:
        program: a predictor, or any program. Its predictors are streamed, also those inside frozen sub-modules; those
            that it makes on the way are not.
        lm: the model; default `dspy.settings.lm`.
        **inputs: the program's inputs.

    Returns:
        An iterator for `for` or `async for`, to be used once.

    Raises:
        UsageError: `program` is not a module, or `lm` not an LM.

    Reading it raises what the program raises. A budget that ends, or a model that goes away in a metered run, ends it
    at once with its own error (`BudgetExceeded`, `ModelUnavailable`, ...), whatever the program catches. A module that
    searches, such as `ts.BestOf`, returns the best that it found before the budget ended.

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


def run_told(program: Module, tell: Callable[[FieldDelta], None], /, **inputs: Any) -> Any:
    """Return `program(**inputs)`, and call `tell` with each `FieldDelta` of `stream` in the thread that reads it.

    Nothing waits for a reader: `tell` has to return soon. An error that it raises ends the program.
    """
    return _publishing(program, _Told(tell))(**inputs)


class FieldStream:
    """The events of one run; see `stream`. Use it once, from one thread or one task."""

    def __init__(self, program: Module, lm: BaseLM | None, inputs: Mapping[str, Any]) -> None:
        self._program, self._lm, self._inputs = program, lm, dict(inputs)
        self._context = contextvars.copy_context()
        self._line: _Line | None = None
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
            self._line = _Line()
            self._start(self._line)
        try:
            item = self._line.next()
        except BaseException:  # Ctrl-C
            self._leave()
            raise
        return self._event(item)

    def close(self) -> None:
        """Stop the program if it has not ended."""
        self._leave()
        # A program that waited on the line ends now. One that is busy elsewhere is not waited for.
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_JOIN_SECONDS if self._waited else 0)

    def __enter__(self) -> "FieldStream":
        return self

    def __exit__(self, *problem: object) -> None:
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
            self._line = _AsyncLine(asyncio.get_running_loop())
            if hasattr(self._program, "aforward"):
                work = _run_async(self._program, self._lm, self._inputs, self._line)
                self._task = asyncio.create_task(work, context=self._context)
            else:
                self._start(self._line)
        if not isinstance(self._line, _AsyncLine):
            raise UsageError("This stream is read by `for` already. Make another one for `async for`.")
        try:
            item = await self._line.anext()
        except BaseException:  # cancelled
            await self.aclose()
            raise
        return self._event(item)

    async def aclose(self) -> None:
        """Stop the program if it has not ended."""
        self._leave()
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])

    async def __aenter__(self) -> "FieldStream":
        return self

    async def __aexit__(self, *problem: object) -> None:
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

    def _start(self, line: "_Line") -> None:
        # The thread must not hold the stream: a stream that is dropped stops its program.
        work = (_run, self._program, self._lm, self._inputs, line)
        self._thread = threading.Thread(target=self._context.run, args=work, daemon=True, name="tunesmith-program")
        self._thread.start()


def _run(program: Module, lm: BaseLM | None, inputs: Mapping[str, Any], line: "_Line") -> None:
    item: Finished | _Failed
    try:
        with _model(lm):
            item = Finished(_publishing(program, line)(**inputs))
    except BaseException as error:  # noqa: BLE001 - handed to the reader, who raises it
        item = _Failed(error)
    with contextlib.suppress(_Left):
        line.put_last(item)


async def _run_async(program: Module, lm: BaseLM | None, inputs: Mapping[str, Any], line: "_Line") -> None:
    item: Finished | _Failed
    try:
        with _model(lm):
            item = Finished(await _publishing(program, line).acall(**inputs))
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - handed to the reader, who raises it
        item = _Failed(error)
    with contextlib.suppress(_Left):
        line.put_last(item)


def _model(lm: BaseLM | None) -> contextlib.AbstractContextManager[Any]:
    return contextlib.nullcontext() if lm is None else context(lm=lm)


# The program ---------------------------------------------------------------------------------------------------


def _publishing(program: Module, line: "_Line") -> Module:
    """Return a copy of `program` whose predictors put what is written for them on `line`, as `FieldDelta`s."""
    copied = copy_program(program)
    counts: Counter[str] = Counter()
    paths = {id(predictor): path for path, predictor in copied.named_predictors()}
    for name, predictor in copied.named_sub_modules(DspyPredict):
        path = paths.get(id(predictor), name.removeprefix("self."))
        predictor.__dict__[_ATTRIBUTE] = _Publisher(path, line, counts)
        predictor.__dict__["forward"] = MethodType(_forward, predictor)
        predictor.__dict__["aforward"] = MethodType(_aforward, predictor)
    return copied


def _forward(self: DspyPredict, **kwargs: Any) -> Any:
    with context(adapter=_StreamingAdapter(_adapter_of(self, kwargs), self.__dict__[_ATTRIBUTE])):
        return type(self).forward(self, **kwargs)


async def _aforward(self: DspyPredict, **kwargs: Any) -> Any:
    with context(adapter=_StreamingAdapter(_adapter_of(self, kwargs), self.__dict__[_ATTRIBUTE])):
        return await type(self).aforward(self, **kwargs)


def _adapter_of(predictor: DspyPredict, kwargs: dict[str, Any]) -> Adapter:
    """Return the adapter that the predictor would use by itself."""
    bound = bound_format(predictor)
    if bound is not None:
        return format_of(bound, bound_offsets(predictor))
    found = caller_adapter()
    if isinstance(found, _StreamingAdapter):  # a predictor inside a predictor's own `forward`
        return found.inner
    if found is None:
        found = predictor.chosen_format(kwargs) if isinstance(predictor, Predict) else ChatAdapter()
    return found


class _Publisher:
    """Numbers the calls of one predictor. Its copies, as `dspy.BestOfN` makes them, share it."""

    def __init__(self, path: str, line: "_Line", counts: Counter[str]) -> None:
        self.path, self.line, self._counts = path, line, counts
        self._lock = threading.Lock()

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Publisher":
        return self

    def next_call(self) -> int:
        with self._lock:
            self._counts[self.path] += 1
            return self._counts[self.path] - 1


class _StreamingAdapter:
    """An adapter that publishes what its calls get; it lasts for one prediction."""

    def __init__(self, inner: Adapter, publisher: _Publisher) -> None:
        self.inner, self._publisher = inner, publisher

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def __call__(
        self, lm: Any, lm_kwargs: dict[str, Any], signature: type[Signature], demos: list[Any], inputs: dict[str, Any]
    ) -> list[dict[str, Any]]:
        calls: list[_Call] = []
        found = self.inner(self._streamed(lm, signature, demos, calls), lm_kwargs, signature, demos, inputs)
        self._settle(signature, calls, found)
        return found

    async def acall(
        self, lm: Any, lm_kwargs: dict[str, Any], signature: type[Signature], demos: list[Any], inputs: dict[str, Any]
    ) -> list[dict[str, Any]]:
        calls: list[_Call] = []
        found = await self.inner.acall(self._streamed(lm, signature, demos, calls), lm_kwargs, signature, demos, inputs)
        self._settle(signature, calls, found)
        return found

    def _streamed(self, lm: Any, signature: type[Signature], demos: list[Any], calls: "list[_Call]") -> Any:
        self._publisher.line.check()
        if not isinstance(lm, LM):
            return lm

        def begin() -> Callable[[str], None]:
            reader = field_reader(self.inner, signature, lm.capabilities, shown=bool(demos))
            calls.append(_Call(self._publisher, reader))
            return calls[-1].feed

        return listening(lm, begin)

    def _settle(self, signature: type[Signature], calls: "list[_Call]", found: list[dict[str, Any]]) -> None:
        """Publish what is known of the fields only now; the last calls are those that gave the outputs."""
        whole = [_Call(self._publisher, None) for _ in range(len(found) - len(calls))]
        for call, outputs in zip([*whole, *calls][-len(found) :], found, strict=True):
            call.settle(signature, outputs)


class _Call:
    """One reply, and what was published of its fields."""

    def __init__(self, publisher: _Publisher, reader: FieldReader | None) -> None:
        self._publisher, self._reader, self._number = publisher, reader, publisher.next_call()
        self._sent: dict[str, str] = {}

    def feed(self, text: str) -> None:
        self._publisher.line.check()  # also if nothing of the text belongs to a field
        if self._reader is not None:
            self._publish(self._reader.feed(text))

    def settle(self, signature: type[Signature], outputs: Mapping[str, Any]) -> None:
        if self._reader is not None:
            self._publish(self._reader.finish())
        for name in signature.output_fields:
            if name in outputs:
                rest = settled(signature, name, outputs[name], self._sent.get(name, ""))
                if rest is not None and rest[0]:
                    self._publisher.line.put(FieldDelta(self._publisher.path, name, rest[0], self._number, rest[1]))

    def _publish(self, pieces: list[tuple[str, str]]) -> None:
        for name, run in itertools.groupby(pieces, key=operator.itemgetter(0)):
            text = "".join(piece for _, piece in run)
            self._sent[name] = self._sent.get(name, "") + text
            self._publisher.line.put(FieldDelta(self._publisher.path, name, text, self._number))


# The line ------------------------------------------------------------------------------------------------------


class _Left(StopSignal):
    """Ends a program after its stream was closed."""

    def __init__(self) -> None:
        super().__init__(UsageError("The stream was closed before the program had ended."))


class _Turn:
    """One item on the line; the thread that put it waits until the reader wants the next."""

    def __init__(self, item: Any) -> None:
        self.item, self.over = item, threading.Event()


class _Line:
    """Hands items from any number of threads to one reader, one at a time.

    A program goes on only when the reader wants more, as a generator does. So there is nothing to stop when the reader
    leaves, whatever the engine is doing.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: set[_Turn] = set()
        self._closed = False
        self._read: _Turn | None = None
        self._queue: queue.SimpleQueue[_Turn] = queue.SimpleQueue()
        self._deliver: Callable[[_Turn], None] = self._queue.put

    def put(self, item: Any) -> None:
        """Hand `item` over and wait until it was read and more is wanted.

        Raises:
            _Left: the reader has gone.
        """
        turn = _Turn(item)
        with self._lock:
            if self._closed:
                raise _Left
            self._waiting.add(turn)
            self._deliver(turn)
        turn.over.wait()
        if self._closed:
            raise _Left

    def put_last(self, item: Any) -> None:
        """Hand `item` over without waiting.

        Raises:
            _Left: the reader has gone.
        """
        with self._lock:
            if self._closed:
                raise _Left
            self._deliver(_Turn(item))

    def check(self) -> None:
        """Raise `_Left` if the reader has gone."""
        if self._closed:
            raise _Left

    def next(self) -> Any:
        """Return the next item."""
        self._want_more()
        return self._take(self._queue.get())

    def close(self) -> bool:
        """Close the line: threads that wait, or put later, get `_Left`. Return whether one waited."""
        with self._lock:
            self._closed = True
            waiting, self._waiting = self._waiting, set()
        for turn in waiting:
            turn.over.set()
        return bool(waiting)

    def _want_more(self) -> None:
        turn, self._read = self._read, None
        if turn is not None:
            with self._lock:
                self._waiting.discard(turn)
            turn.over.set()

    def _take(self, turn: _Turn) -> Any:
        self._read = turn
        return turn.item


class _Told(_Line):
    """A line that hands each item to a function."""

    def __init__(self, tell: Callable[[Any], None]) -> None:
        super().__init__()
        self._tell = tell

    def put(self, item: Any) -> None:
        """Hand `item` over."""
        self._tell(item)


class _AsyncLine(_Line):
    """A line whose reader is a coroutine of one event loop; made in the thread of that loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._thread = threading.get_ident()
        items: asyncio.Queue[_Turn] = asyncio.Queue()
        self._items = items
        self._deliver = lambda turn: _deliver(loop, items, turn)

    def put(self, item: Any) -> None:
        """Hand `item` over; in the thread of the loop, which must not block, without waiting.

        Raises:
            _Left: the reader has gone.
        """
        if threading.get_ident() == self._thread:
            self.put_last(item)
        else:
            super().put(item)

    async def anext(self) -> Any:
        """Return the next item."""
        self._want_more()
        return self._take(await self._items.get())


def _deliver(loop: asyncio.AbstractEventLoop, items: "asyncio.Queue[_Turn]", turn: _Turn) -> None:
    try:
        loop.call_soon_threadsafe(items.put_nowait, turn)
    except RuntimeError as error:  # the loop was closed: nothing reads any more
        raise _Left from error
