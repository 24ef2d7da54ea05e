"""Lists of texts in a question, cut until it is short enough to be asked."""

from collections.abc import Mapping
from typing import Any

from tunesmith.compilers._job import Job
from tunesmith.compilers._quotations import strings
from tunesmith.errors import TunesmithError
from tunesmith.lm import LM
from tunesmith.modules import Module, render

__all__ = ["BestLast", "shortened"]

_BYTES_PER_TOKEN = 4
_ITEM = 6  # bytes around one text of a list
_REPLY = 512  # tokens of the context that are left for a reply, but no more than half of it


class BestLast(list[str]):
    """Texts of which the last ones matter most: a question that is too long loses the first ones."""


def shortened(job: Job, program: Module, lm: LM, inputs: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """Return the inputs of a step, and how many texts were dropped from the ends of their lists so that it fits.

    A proposal may send as many tokens as the compile's limit says that an example may cost, and as many as the context
    of `lm` holds. The longest list loses its last text first, a `BestLast` its first one. Tokens are estimated by
    four bytes each. What is too long without any list is left as it is.

    Args:
        job: has the limits.
        program: the step.
        lm: the model that is asked.
        inputs: texts, lists of texts, and others, which stay.
    """
    found, dropped = dict(inputs), 0
    lists = {name: list(value) for name, value in inputs.items() if isinstance(value, (list, tuple)) and value}
    first = {name for name, value in inputs.items() if isinstance(value, BestLast)}
    most = _most_tokens(job, lm)
    if most is None or not lists:
        return found, 0
    sizes = {name: [_size(item) + _ITEM for item in items] for name, items in lists.items()}
    room = most * _BYTES_PER_TOKEN - _frame(program, lm, {**inputs, **{name: [] for name in lists}})
    while sum(map(sum, sizes.values())) > room and any(sizes.values()):
        longest = max(sizes, key=lambda name: sum(sizes[name]))
        place = 0 if longest in first else -1
        sizes[longest].pop(place)
        lists[longest].pop(place)
        dropped += 1
    return {**found, **lists} if dropped else found, dropped


def _most_tokens(job: Job, lm: LM) -> int | None:
    limit, room = job.limits.get("tokens"), lm.context_tokens
    most = [] if limit is None else [int(limit)]
    if room is not None:
        reply = lm.kwargs.get("max_tokens") or _REPLY
        most.append(room - min(reply, room // 2))
    return min(most, default=None)


def _frame(program: Module, lm: LM, inputs: Mapping[str, Any]) -> int:
    """Return the bytes of the first request that are not in lists."""
    try:
        messages = render(program, lm=lm, **inputs).messages
    except TunesmithError:  # an input that may not be empty
        return _size(list(inputs.values()))
    return sum(len(message["content"].encode("utf-8", "replace")) for message in messages)


def _size(value: Any) -> int:
    return sum(len(text.encode("utf-8", "replace")) for text in strings(value, numbers=True))
