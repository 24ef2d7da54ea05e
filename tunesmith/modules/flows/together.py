"""Calls of a flow that do not need each other, run at the same time if the model has slots."""

import asyncio
import contextvars
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from tunesmith.lm import StopSignal, in_trial
from tunesmith.modules.flow import Call
from tunesmith.modules.module import context, settings

__all__ = ["together"]


def together(calls: Sequence[Call]) -> Call:
    """Return the call of all these, for a flow to yield; it gets the list of what they return, in order.

    As many run at once as the model has slots. In an evaluation or a compile they run one after the other, because its
    examples fill the slots. The trace has their steps in the order of the calls. If one fails, no further one begins.
    """
    return Call(_All(calls), {})


class _All:
    """The calls, as one that a flow can make."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self._calls = calls

    def __call__(self) -> list[Any]:
        count = self._at_once()
        if count <= 1:
            return [_run(call) for call in self._calls]
        found = _Found(self._calls)
        with ThreadPoolExecutor(count, thread_name_prefix="tunesmith-flow") as pool:
            for number in range(len(self._calls)):
                pool.submit(contextvars.copy_context().run, found.run, number)
        return found.in_order()

    async def acall(self) -> list[Any]:
        count = self._at_once()
        if count <= 1:
            return [await _arun(call) for call in self._calls]
        found, gate = _Found(self._calls), asyncio.Semaphore(count)

        async def one(number: int) -> None:
            async with gate:
                await found.arun(number)

        await asyncio.gather(*map(one, range(len(self._calls))))
        return found.in_order()

    def _at_once(self) -> int:
        return 1 if in_trial() else min(getattr(settings.lm, "slots", 1), len(self._calls))


class _Found:
    """What calls at the same time return. Each has a trace of its own: in one of all, their steps would mix."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self._calls = calls
        self._found: list[Any] = [None] * len(calls)
        self._traces: list[list[Any] | None] = [None if settings.trace is None else [] for _ in calls]
        self._errors: list[BaseException] = []

    def run(self, number: int) -> None:
        with self._one(number) as begins:
            if begins:
                self._found[number] = _run(self._calls[number])

    async def arun(self, number: int) -> None:
        with self._one(number) as begins:
            if begins:
                self._found[number] = await _arun(self._calls[number])

    def in_order(self) -> list[Any]:
        if self._errors:
            raise self._errors[0]
        for trace in self._traces:
            if trace:
                settings.trace.extend(trace)
        return self._found

    @contextmanager
    def _one(self, number: int) -> Iterator[bool]:
        """Run a call in this context, which says whether it may begin, and keep its error."""
        try:
            with context(trace=self._traces[number]):
                yield not self._errors
        except (Exception, StopSignal) as error:  # noqa: BLE001 - raised when no call runs any more
            self._errors.append(error)


def _run(call: Call) -> Any:
    with context(**call.options):
        return call.module(**call.inputs)


async def _arun(call: Call) -> Any:
    with context(**call.options):
        return await call.module.acall(**call.inputs)
