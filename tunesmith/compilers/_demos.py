"""Pools of demos per predictor, and draws from them."""

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial

from tunesmith.errors import DataError, UsageError
from tunesmith.formats import Format, carries, default_format, get_format
from tunesmith.modules import Module, bound_format, caller_adapter, inputs_text, words_of
from tunesmith.signatures import Demo, Example, Signature, labels, takes_none

__all__ = [
    "CHOICES",
    "COST_OF_CHOICE",
    "Count",
    "Pool",
    "carried",
    "check_count",
    "closed_labels",
    "count_of",
    "draw",
    "in_turn",
    "labelled_pool",
    "labelled_pools",
    "most",
]

_MOST_GROUPS = 20

CHOICES = ("random", "diverse")
"""How demos are drawn from a pool."""

COST_OF_CHOICE = (
    "Demos that are chosen for each call leave a prompt nothing but its instruction in common with the one before. "
    "llama.cpp, Ollama and other engines that keep what they have read of a prompt then read all demos in each call: "
    "on the embedded model such a call takes five times as long as one with 4 fixed demos, and ten times with 8."
)
"""What a plan and a report say of candidates that choose the demos of each call."""

Count = int | Mapping[str, int]
"""Demos of every predictor, or by predictor path; a predictor that a mapping does not name has none."""


def count_of(count: Count, path: str) -> int:
    """Return how many demos the predictor at `path` has."""
    return count.get(path, 0) if isinstance(count, Mapping) else count


def most(count: Count) -> int:
    """Return how many demos the predictor with the most has."""
    return max(count.values(), default=0) if isinstance(count, Mapping) else count


def check_count(name: str, count: Count, paths: Iterable[str]) -> None:
    """Refuse a mapping that names a predictor which the program does not have.

    Raises:
        UsageError: it does.
    """
    known = tuple(paths)
    unknown = [path for path in count if path not in known] if isinstance(count, Mapping) else []
    if unknown:
        raise UsageError(
            f"`{name}` names {', '.join(unknown)}, which the program does not have. Its predictors are: "
            f"{', '.join(known)}."
        )


@dataclass(frozen=True, slots=True)
class Pool:
    """The demos that examples give for one predictor, and why the others give none.

    Attributes:
        demos: in the order of the examples.
        total: how many examples there are.
        lacking: how many lack which fields.
        misfits: how many hold a value that does not fit its field.
        first: which of those is the first, and why it does not fit.
    """

    demos: list[Demo]
    total: int
    lacking: Counter[tuple[str, ...]] = field(default_factory=Counter)
    misfits: int = 0
    first: str = ""

    @property
    def reasons(self) -> str:
        """Why examples are not demos, empty if all are."""
        found = [f"{count} {_verb(count, 'lack')} {_listed(names)}" for names, count in self.lacking.most_common(3)]
        if self.misfits:
            found.append(
                f"{self.misfits} {_verb(self.misfits, 'hold')} a value that does not fit; the first is {self.first}"
            )
        return "; ".join(found)

    def note(self, path: str) -> str | None:
        """Return what to note of the examples that are left out, `None` if there are none."""
        if not self.reasons:
            return None
        left = self.total - len(self.demos)
        note = f"Labelled demos of `{path}`: {left} of {self.total} training examples are left out: {self.reasons}"
        note = note if note.endswith(".") else f"{note}."
        return note if self.demos else f"{note} None is left."


def labelled_pool(signature: type[Signature], examples: Sequence[Example]) -> Pool:
    """Return the examples that hold every field of `signature`, as demos in order, and why the others do not."""
    demos: list[Demo] = []
    lacking: Counter[tuple[str, ...]] = Counter()
    misfits: list[str] = []
    fields, inputs = signature.fields, signature.input_fields  # DSPy makes them anew each time
    none_fits = cache(partial(takes_none, signature))

    def lacks(example: Example, name: str) -> bool:
        """Return whether an example has no value for a field that a demo must have."""
        if name in example:
            return example[name] is None and not none_fits(name)
        return name not in inputs or (inputs[name].is_required() and not none_fits(name))

    for number, example in enumerate(examples, 1):
        absent = tuple(name for name in fields if lacks(example, name))
        if absent:
            lacking[absent] += 1
            continue
        try:
            demos.append(Demo.of(signature, {name: example[name] for name in fields if name in example}))
        except DataError as error:  # the field may have another meaning in this predictor
            misfits.append(f"example {number}: {error}")
    return Pool(demos, len(examples), lacking, len(misfits), misfits[0] if misfits else "")


def labelled_pools(program: Module, examples: Sequence[Example]) -> dict[str, Pool]:
    """Return `labelled_pool` for every predictor path."""
    return {path: labelled_pool(p.signature, examples) for path, p in program.named_predictors()}


def carried(
    program: Module, path: str, name: str | None, demos: Sequence[Demo]
) -> tuple[str | None, list[Demo], str | None]:
    """Return a format that carries the demos, those that it carries, and a note if something was changed.

    If no format is bound to the predictor, another one is taken if it carries all; else demos are left out.

    Args:
        program: whose predictor it is.
        path: of the predictor.
        name: the format it has; `None` leaves the caller's adapter in charge.
        demos: what it is to carry.
    """
    predictor = dict(program.named_predictors())[path]
    signature: type[Signature] = predictor.signature
    adapter = caller_adapter() if name is None else get_format(name)
    kept = [demo for demo in demos if not isinstance(adapter, Format) or adapter.refuses(signature, demo) is None]
    left = len(demos) - len(kept)
    if not isinstance(adapter, Format) or not left:
        return name, kept, None
    other = default_format(signature, demos)
    if name is not None and bound_format(predictor) is None and carries(other, signature, demos):
        why = f"{left} of {len(demos)} demos hold a value, such as an empty text, that no reply in `{name}` can give"
        return other, list(demos), f"The format of `{path}` is `{other}`: {why}."
    return (
        name,
        kept,
        f"Demos of `{path}`: {left} of {len(demos)} are left out, because the format `{adapter.name}` cannot carry a "
        f"value of theirs, such as an empty text; `{other}` can.",
    )


def _verb(count: int, verb: str) -> str:
    return f"{verb}s" if count == 1 else verb


def _listed(names: Sequence[str]) -> str:
    return " and ".join(f"`{name}`" for name in names)


def closed_labels(signature: type[Signature]) -> tuple[str, tuple[str, ...]] | None:
    """Return (field, labels) of the one output with a small closed set, `None` if there is none."""
    found = [
        (name, values)
        for name in signature.output_fields
        if (values := labels(signature, name)) is not None and len(values) <= _MOST_GROUPS
    ]
    return found[0] if len(found) == 1 else None


def draw(
    signature: type[Signature], pool: Sequence[Demo], count: int, rng: random.Random, choice: str = "random"
) -> tuple[Demo, ...]:
    """Return `count` demos of the pool, or all it has, in random order.

    Where the signature has one output with a closed set of labels, the draw takes the labels in turn: small models lean
    towards the label they saw most (`docs/decisions`).

    Args:
        signature: of the predictor.
        pool: its demos.
        count: how many are drawn.
        rng: draws.
        choice: one of `CHOICES`; `diverse` takes demos whose inputs share few words.
    """
    shuffled = in_turn(signature, pool, rng)
    chosen = _far_apart(signature, shuffled, count) if choice == "diverse" else shuffled[:count]
    rng.shuffle(chosen)
    return tuple(chosen)


def in_turn(signature: type[Signature], pool: Sequence[Demo], rng: random.Random) -> list[Demo]:
    """Return the demos in random order, the labels of a closed set in turn: every beginning serves them alike."""
    shuffled = list(pool)
    rng.shuffle(shuffled)
    closed = closed_labels(signature)
    return shuffled if closed is None else _in_turn(shuffled, closed[0])


def _far_apart(signature: type[Signature], pool: Sequence[Demo], count: int) -> list[Demo]:
    """Return `count` demos that cover the pool: the first, then always the one least like those that are taken.

    Gonzalez 1985, farthest-first traversal for the k-centre problem, within the label that has the fewest so far. Two
    demos are as alike as the share of words that their inputs have in common.
    """
    closed = closed_labels(signature)
    groups = [repr(demo.outputs.get(closed[0])) if closed is not None else "" for demo in pool]
    words = [frozenset(words_of(inputs_text(demo.inputs))) for demo in pool]
    alike, taken = [0.0] * len(pool), Counter[str]()
    left, found = dict.fromkeys(range(len(pool))), list[Demo]()
    while left and len(found) < count:
        fewest = min(taken[groups[one]] for one in left)
        pick = min((one for one in left if taken[groups[one]] == fewest), key=alike.__getitem__)  # the first of a tie
        del left[pick]
        taken[groups[pick]] += 1
        found.append(pool[pick])
        for one in left:
            alike[one] = max(alike[one], len(words[one] & words[pick]) / max(1, len(words[one] | words[pick])))
    return found


def _in_turn(demos: Sequence[Demo], field: str) -> list[Demo]:
    groups: dict[str, list[Demo]] = {}
    for demo in demos:
        groups.setdefault(repr(demo.outputs.get(field)), []).append(demo)
    queues = list(groups.values())
    found = []
    for turn in range(max((len(queue) for queue in queues), default=0)):
        found += [queue[turn] for queue in queues if turn < len(queue)]
    return found
