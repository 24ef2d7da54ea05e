"""A program whose predictors tell on what their model writes."""

import itertools
import operator
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MethodType
from typing import Any

from tunesmith.formats import Adapter, ChatAdapter, FieldReader, field_reader, get_format, settled
from tunesmith.lm import LM, listening
from tunesmith.modules.binding import bound_format
from tunesmith.modules.line import Line
from tunesmith.modules.module import DspyPredict, Module, caller_adapter, context, copy_program
from tunesmith.modules.predict import Predict
from tunesmith.signatures import Signature

__all__ = ["FieldDelta", "heard"]

_MARK = "tunesmith_heard"


@dataclass(frozen=True, slots=True)
class FieldDelta:
    """Some more of an output field.

    Attributes:
        predictor: path of the predictor, `self` where the program is one.
        field: the output field.
        text: what comes behind the field's earlier deltas of the same call.
        call: which call of this predictor it is, from 0; a call that is repeated is another one.
        restart: whether `text` stands for all of the field instead: the reply turned out to mean something else than
            was read so far (a label in other letters, a type that changes its text).

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


def heard(program: Module, line: Line) -> Module:
    """Return a copy of `program` of which each predictor tells `line` what is written for it, as `FieldDelta`s."""
    copied = copy_program(program)
    counts: Counter[str] = Counter()
    paths = {id(predictor): path for path, predictor in copied.named_predictors()}
    for name, predictor in copied.named_sub_modules(DspyPredict):
        path = paths.get(id(predictor), name.removeprefix("self."))
        predictor.__dict__[_MARK] = _Ear(path, line, counts)
        predictor.__dict__["forward"] = MethodType(_forward, predictor)
        predictor.__dict__["aforward"] = MethodType(_aforward, predictor)
    return copied


def _forward(self: DspyPredict, **kwargs: Any) -> Any:
    with context(adapter=_HeardAdapter(_adapter_of(self, kwargs), self.__dict__[_MARK])):
        return type(self).forward(self, **kwargs)


async def _aforward(self: DspyPredict, **kwargs: Any) -> Any:
    with context(adapter=_HeardAdapter(_adapter_of(self, kwargs), self.__dict__[_MARK])):
        return await type(self).aforward(self, **kwargs)


def _adapter_of(predictor: DspyPredict, kwargs: dict[str, Any]) -> Adapter:
    """Return the adapter that the predictor would use by itself."""
    bound = bound_format(predictor)
    if bound is not None:
        return get_format(bound)
    found = caller_adapter()
    if isinstance(found, _HeardAdapter):  # a predictor inside of a predictor's own `forward`
        return found.inner
    if found is None:
        found = predictor.chosen_format(kwargs) if isinstance(predictor, Predict) else ChatAdapter()
    return found


class _Ear:
    """Where one predictor's words go. Copies of the predictor, as `dspy.BestOfN` makes them, share it."""

    def __init__(self, path: str, line: Line, counts: Counter[str]) -> None:
        self.path, self.line, self._counts = path, line, counts
        self._lock = threading.Lock()

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Ear":
        return self

    def next_call(self) -> int:
        with self._lock:
            self._counts[self.path] += 1
            return self._counts[self.path] - 1


class _HeardAdapter:
    """An adapter whose calls are heard; it lasts for one prediction."""

    def __init__(self, inner: Adapter, ear: _Ear) -> None:
        self.inner, self._ear = inner, ear

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def __call__(
        self, lm: Any, lm_kwargs: dict[str, Any], signature: type[Signature], demos: list[Any], inputs: dict[str, Any]
    ) -> list[dict[str, Any]]:
        calls: list[_Call] = []
        found = self.inner(self._heard(lm, signature, demos, calls), lm_kwargs, signature, demos, inputs)
        self._settle(signature, calls, found)
        return found

    async def acall(
        self, lm: Any, lm_kwargs: dict[str, Any], signature: type[Signature], demos: list[Any], inputs: dict[str, Any]
    ) -> list[dict[str, Any]]:
        calls: list[_Call] = []
        found = await self.inner.acall(self._heard(lm, signature, demos, calls), lm_kwargs, signature, demos, inputs)
        self._settle(signature, calls, found)
        return found

    def _heard(self, lm: Any, signature: type[Signature], demos: list[Any], calls: "list[_Call]") -> Any:
        self._ear.line.check()
        if not isinstance(lm, LM):
            return lm

        def hear() -> Callable[[str], None]:
            reader = field_reader(self.inner, signature, lm.capabilities, shown=bool(demos))
            calls.append(_Call(self._ear, reader))
            return calls[-1].hear

        return listening(lm, hear)

    def _settle(self, signature: type[Signature], calls: "list[_Call]", found: list[dict[str, Any]]) -> None:
        """Say what is known of the fields only now; the last calls are those that gave the outputs."""
        whole = [_Call(self._ear, None) for _ in range(len(found) - len(calls))]
        for call, outputs in zip([*whole, *calls][-len(found) :], found, strict=True):
            call.settle(signature, outputs)


class _Call:
    """One reply and what was said of its fields."""

    def __init__(self, ear: _Ear, reader: FieldReader | None) -> None:
        self._ear, self._reader, self._number = ear, reader, ear.next_call()
        self._sent: dict[str, str] = {}

    def hear(self, text: str) -> None:
        self._ear.line.check()  # also where a text has no field in it, and nothing is said
        if self._reader is not None:
            self._say(self._reader.feed(text))

    def settle(self, signature: type[Signature], outputs: Mapping[str, Any]) -> None:
        if self._reader is not None:
            self._say(self._reader.finish())
        for name in signature.output_fields:
            if name in outputs:
                rest = settled(signature, name, outputs[name], self._sent.get(name, ""))
                if rest is not None and rest[0]:
                    self._ear.line.say(FieldDelta(self._ear.path, name, rest[0], self._number, rest[1]))

    def _say(self, pieces: list[tuple[str, str]]) -> None:
        for name, run in itertools.groupby(pieces, key=operator.itemgetter(0)):
            text = "".join(piece for _, piece in run)
            self._sent[name] = self._sent.get(name, "") + text
            self._ear.line.say(FieldDelta(self._ear.path, name, text, self._number))
