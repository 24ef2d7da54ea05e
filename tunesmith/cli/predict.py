"""`tunesmith predict`: run an artifact."""

import json
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from itertools import chain
from pathlib import Path
from typing import Any

from tunesmith.cli.choosing import chosen_artifact, chosen_lm
from tunesmith.cli.failures import DONE, ERROR
from tunesmith.cli.fields import json_values, pairs_of, row_of, typed_pairs
from tunesmith.cli.output import emit, note, say
from tunesmith.cli.progress import shown_progress
from tunesmith.cli.reports import CacheWatch
from tunesmith.errors import DataError, ModelMissing, ModelUnavailable, RowError, UsageError, shown
from tunesmith.formats import LABEL_LOGPROBS
from tunesmith.lm import LM, Meter, StopSignal, metered
from tunesmith.modules import Module, ProgramInputs, copy_program, forgetful, program_inputs
from tunesmith.signatures import Example, NameTwiceError, unique_object

__all__ = ["run"]


def run(
    *,
    artifact: Path,
    fields: tuple[str, ...],
    spec: str | None,
    slots: int | None,
    no_store: bool,
    allow: tuple[str, ...],
    trusted: tuple[Path, ...],
    as_json: bool,
    quiet: bool,
) -> int:
    """Run the compiled program in ARTIFACT."""
    model = chosen_lm(spec, slots=slots, store=not no_store, artifact=artifact)
    program = chosen_artifact(artifact, allow, model, trusted=trusted)
    watch, call = CacheWatch(model), _Caller(program, model)
    if fields in ((), ("-",)):
        code = _predict_lines(call, explicit=fields == ("-",), quiet=quiet)
        for text in watch.notes():
            note(f"warning: {text}")
        return code
    values = pairs_of(fields, call.inputs)
    inputs = typed_pairs(values, call.inputs)
    with shown_progress(quiet=quiet, waiting=f"waiting for {model.model}: loading and long replies take time"):
        found = call(inputs)
    if as_json:
        emit(found)
    else:
        for name, value in found.items():
            if name == LABEL_LOGPROBS:  # a number per label, which no reader of an answer asks for
                continue
            say(f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}")
    return DONE


class _Caller:
    """Calls the program with its model and returns JSON values."""

    def __init__(self, program: Module, model: LM) -> None:
        self.inputs: ProgramInputs = program_inputs(program)
        self.model, self.meter = model, Meter()
        self._program = copy_program(program)  # also makes asynchronous parts callable

    def __call__(self, inputs: Example) -> dict[str, Any]:
        try:
            with forgetful(lm=self.model), metered(self.meter):
                prediction: Any = self._program(**dict(inputs))
        except StopSignal as stop:
            raise stop.error from None
        return json_values(prediction.items())


def _predict_lines(call: _Caller, *, explicit: bool, quiet: bool) -> int:
    stdin = sys.stdin.buffer
    lines = _numbered(stdin)
    if not explicit:
        first = None if stdin.isatty() else next(lines, None)
        if first is None:
            names = ", ".join(call.inputs.names)
            raise UsageError(f"There are no inputs. Give {names} as FIELD=VALUE, or pipe JSONL to stdin.")
        lines = chain([first], lines)
    done = failed = 0
    for found in _in_order(lambda line: _answer(call, *line), lines, call.model.slots):
        emit(found, indent=None)
        done, failed = done + 1, failed + ("error" in found and "line" in found)
    spent = call.meter
    note(f"{done} lines, {failed} failed; {spent.charged.calls} calls, {spent.paid.calls} of them paid", quiet=quiet)
    return ERROR if failed else DONE


def _numbered(stream: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(stream, 1):
        if line.strip():
            yield number, line


def _answer(call: _Caller, number: int, line: bytes) -> dict[str, Any]:
    """Return the outputs for one line, or its error."""
    try:
        return call(row_of(_decoded(number, line), call.inputs, "stdin"))
    except (Exception, SystemExit) as error:  # a program may raise anything; it belongs to the line
        if isinstance(error, (ModelMissing, ModelUnavailable)):
            raise  # all other lines would fail too
        message = _row_text(error) if isinstance(error, RowError) else str(error)
        return {"error": {"type": type(error).__name__.lstrip("_"), "message": message}, "line": number}


def _decoded(number: int, line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"), object_pairs_hook=unique_object)
    except NameTwiceError as error:
        raise DataError(f"In the line, {error}. Rename or remove one of the two.") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"The line is not JSON in UTF-8: {error}.") from error
    if not isinstance(row, dict):
        raise DataError(f"A line must be one JSON object. Given: {shown(row)}.")
    return row


def _row_text(error: RowError) -> str:
    return error.problem if error.field is None else f"field `{error.field}`: {error.problem}"


def _in_order(
    work: Callable[[tuple[int, bytes]], dict[str, Any]], lines: Iterable[tuple[int, bytes]], slots: int
) -> Iterator[dict[str, Any]]:
    """Yield the result of `work` for each line, in order, with up to `slots` lines at once."""
    if slots <= 1:
        yield from map(work, lines)
        return
    waiting: deque[Future[dict[str, Any]]] = deque()
    with ThreadPoolExecutor(slots, thread_name_prefix="tunesmith") as pool:
        try:
            for line in lines:
                waiting.append(pool.submit(copy_context().run, work, line))
                if len(waiting) >= 2 * slots:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
