"""Whether the prompts of a candidate fit the context of the model, known before anything is paid for them."""

from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith.compilers._job import Job
from tunesmith.compilers._quotations import strings
from tunesmith.data import fields_of
from tunesmith.errors import TunesmithError
from tunesmith.evaluation import Row
from tunesmith.lm import as_lm
from tunesmith.modules import Candidate, Module, render
from tunesmith.signatures import Example, field_names

__all__ = ["Fitting"]

_BYTES_PER_TOKEN = 4  # until the engine has counted a prompt of this program
_FRAME = 2000  # bytes that a format and a schema surely do not exceed around the texts of a candidate
_LEEWAY = 0.9  # estimates are a tenth off; a prompt that may fit is tried


class Fitting:
    """Compares prompts with the context, by the longest example.

    Args:
        job: the compile.
        base: the program as given.
        examples: what candidates are evaluated on.
    """

    def __init__(self, job: Job, base: Candidate, examples: Sequence[Example]) -> None:
        self._job, self._base = job, base
        models = {path: job.lm if p.lm is None else as_lm(p.lm) for path, p in job.program.named_predictors()}
        self._rooms = {path: room for path, lm in models.items() if (room := lm.context_tokens) is not None}
        sizes = [_size(fields_of(example)) for example in examples] if self._rooms else [0]
        self.longest = max(range(len(sizes)), key=sizes.__getitem__)
        self._example = dict(fields_of(examples[self.longest])) if self._rooms else {}
        self._known: dict[Candidate, str | None] = {base: None}

    def why_not(self, candidate: Candidate, row: Row | None) -> str | None:
        """Return what does not fit, as a clause; `None` if it fits, or if the context is not known.

        Args:
            candidate: whose prompts they are.
            row: what the program as given made of the longest example, if it was run on it: the engine has counted
                the tokens of that prompt, so that others can be estimated by their length.
        """
        if candidate not in self._known:
            self._known[candidate] = self._why_not(candidate, row)
        return self._known[candidate]

    def count(self) -> int:
        """Return how many candidates do not fit."""
        return sum(why is not None for why in self._known.values())

    def first(self) -> str:
        """Return the reason of the first one."""
        return next((why for why in self._known.values() if why is not None), "")

    def _why_not(self, candidate: Candidate, row: Row | None) -> str | None:
        tight = [path for path, room in self._rooms.items() if self._at_most(candidate, path) >= room]
        if not tight:
            return None
        program, density = dict(candidate.apply(self._job.program).named_predictors()), self._density(row)
        for path in tight:
            size = self._bytes(path, program[path])
            tokens = None if size is None else int(size * density)
            if tokens is not None and tokens * _LEEWAY > self._rooms[path]:
                return (
                    f"the prompt of `{path}` for the longest validation example has about {tokens:,} tokens with its "
                    f"reply, and the context {self._rooms[path]:,}"
                )
        return None

    def _at_most(self, candidate: Candidate, path: str) -> int:
        """Return how many bytes a prompt has at most, and so how many tokens, without rendering it."""
        part = candidate.parts[path]
        return _size([part.instruction, *([demo.inputs, demo.outputs] for demo in part.demos), self._example]) + _FRAME

    def _bytes(self, path: str, predictor: Module) -> int | None:
        """Return the bytes of the first request and of the labelled reply; `None` if it cannot be told."""
        names = field_names(predictor.signature)
        inputs = {name: self._example.get(name, "") for name in names.inputs}
        try:
            seen = render(predictor, lm=self._job.lm if predictor.lm is None else predictor.lm, **inputs)
        except TunesmithError:  # another step gives such an input, and it has no empty value
            return None
        reply = {name: self._example.get(name) for name in names.outputs}
        return sum(len(message["content"].encode("utf-8", "replace")) for message in seen.messages) + _size(reply)

    def _density(self, row: Row | None) -> float:
        """Return tokens per byte: as the engine counted them for the program as given, if that made one call."""
        if row is None or row.calls != 1 or not row.tokens or row.outputs is None:
            return 1 / _BYTES_PER_TOKEN
        ((path, predictor),) = self._base.apply(self._job.program).named_predictors()[:1]
        size = self._bytes(path, predictor)
        said = _size(row.outputs) - _size({name: self._example.get(name) for name in row.outputs})
        return 1 / _BYTES_PER_TOKEN if not size else row.tokens / (size + said)


def _size(value: Any) -> int:
    """Return the bytes of the texts and numbers in a value."""
    if isinstance(value, Mapping):
        value = list(value.values())
    return sum(len(text.encode("utf-8", "replace")) for text in strings(value, numbers=True))
