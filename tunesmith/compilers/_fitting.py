"""Whether the prompts of a candidate fit the context of the model, known before anything is paid for them."""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from tunesmith.compilers._job import Job
from tunesmith.compilers._quotations import strings
from tunesmith.data import fields_of
from tunesmith.errors import TunesmithError
from tunesmith.evaluation import Row
from tunesmith.lm import Request, as_lm
from tunesmith.modules import Candidate, Module, render
from tunesmith.signatures import Example, field_names

__all__ = ["Fitting"]

_BYTES_PER_TOKEN = 4  # if no engine has counted what a longer input adds
_TEMPLATE_TOKENS = 5  # that a chat template puts around a message
_LEAST_APART = 40  # bytes between two prompts that show what a byte more takes
_FRAME = 2000  # bytes that a format and a schema surely do not exceed around the texts of a candidate
_LEEWAY = 0.9  # estimates are a tenth off; a prompt that may fit is tried


class _Prompt(NamedTuple):
    """A first request, with its bytes and its messages, and the bytes of the labelled reply."""

    request: Request
    size: int
    messages: int
    reply: int


class Fitting:
    """Compares prompts with the context, by the longest example.

    Args:
        job: the compile.
        base: the program as given.
        examples: what candidates are evaluated on.
    """

    def __init__(self, job: Job, base: Candidate, examples: Sequence[Example]) -> None:
        self._job, self._base = job, base
        self._models = {path: job.lm if p.lm is None else as_lm(p.lm) for path, p in job.program.named_predictors()}
        self._rooms = {path: room for path, lm in self._models.items() if (room := lm.context_tokens) is not None}
        self._examples = examples if self._rooms else ()
        self._sizes = [_size(fields_of(example)) for example in self._examples]
        self._longest: Example | None = max(
            zip(self._sizes, self._examples, strict=True), key=itemgetter(0), default=(0, None)
        )[1]
        self._known: dict[Candidate, str | None] = {base: None}

    def why_not(self, candidate: Candidate, rows: Sequence[Row]) -> str | None:
        """Return what does not fit, as a clause; `None` if it fits, or if the context is not known.

        Args:
            candidate: whose prompts they are.
            rows: what the program as given made of the first examples. If the engine cannot count a prompt that is not
                sent, what it counted there tells how many tokens a longer one has.
        """
        if candidate not in self._known:
            self._known[candidate] = self._why_not(candidate, rows)
        return self._known[candidate]

    def count(self) -> int:
        """Return how many candidates do not fit."""
        return sum(why is not None for why in self._known.values())

    def first(self) -> str:
        """Return the reason of the first one."""
        return next((why for why in self._known.values() if why is not None), "")

    def _why_not(self, candidate: Candidate, rows: Sequence[Row]) -> str | None:
        example = self._longest
        if example is None:
            return None
        tight = [path for path, room in self._rooms.items() if self._at_most(candidate, path, example) >= room]
        predictors = dict(candidate.apply(self._job.program).named_predictors()) if tight else {}
        for path in tight:
            prompt = self._prompt(path, predictors[path], example)
            counted = None if prompt is None else self._models[path].count_tokens(prompt.request)
            if prompt is None:
                continue
            tokens = self._estimated(prompt, rows) * _LEEWAY if counted is None else counted
            if tokens + prompt.reply / _BYTES_PER_TOKEN > self._rooms[path]:
                about = f"{counted:,}" if counted is not None else f"about {self._estimated(prompt, rows):,.0f}"
                return (
                    f"the prompt of `{path}` for the longest validation example has {about} tokens, and the context "
                    f"has {self._rooms[path]:,} for it and its reply"
                )
        return None

    def _at_most(self, candidate: Candidate, path: str, example: Example) -> int:
        """Return how many bytes a prompt has at most, and so how many tokens, without rendering it."""
        part, given = candidate.parts[path], fields_of(example)
        return _size([part.instruction, *([demo.inputs, demo.outputs] for demo in part.demos), given]) + _FRAME

    def _prompt(self, path: str, predictor: Module, example: Example) -> _Prompt | None:
        """Return the first request and the labelled reply on an example; `None` if it cannot be told."""
        names, given = field_names(predictor.signature), fields_of(example)
        try:
            seen = render(predictor, lm=self._models[path], **{name: given.get(name, "") for name in names.inputs})
        except TunesmithError:  # another step gives such an input, and it has no empty value
            return None
        texts = [message["content"] for message in seen.messages]
        reply = _size({name: given.get(name) for name in names.outputs})
        return _Prompt(seen.request, _size(texts), len(texts), reply)

    def _estimated(self, prompt: _Prompt, rows: Sequence[Row]) -> float:
        """Return about how many tokens a prompt has.

        The engine has counted those of the program as given. Of two of them that differ in the input alone, the longer
        one shows how many tokens a byte more takes: templates and instructions have more of them for a byte than text.
        """
        plain = prompt.size / _BYTES_PER_TOKEN + prompt.messages * _TEMPLATE_TOKENS
        seen = [number for number, row in enumerate(rows) if row.calls == 1 and row.tokens and row.outputs is not None]
        if not seen or len(self._base.parts) > 1:
            return plain
        long, short = (pick(seen, key=self._sizes.__getitem__) for pick in (max, min))
        ((path, predictor),) = self._base.apply(self._job.program).named_predictors()
        given = self._prompt(path, predictor, self._examples[long])
        if given is None:
            return plain
        apart, more = self._sizes[long] - self._sizes[short], rows[long].tokens - rows[short].tokens
        density = more / apart if apart >= _LEAST_APART and more > 0 else 1 / _BYTES_PER_TOKEN
        added = density * (prompt.size - given.size) + _TEMPLATE_TOKENS * (prompt.messages - given.messages)
        return rows[long].tokens + added


def _size(value: Any) -> int:
    """Return the bytes of the texts and numbers in a value."""
    if isinstance(value, Mapping):
        value = list(value.values())
    return sum(len(text.encode("utf-8", "replace")) for text in strings(value, numbers=True))
