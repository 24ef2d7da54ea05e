"""The operations of `GraphOfThoughts`: what makes, scores, keeps and joins thoughts."""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields, replace
from math import prod
from typing import Any, ClassVar, Protocol

from tunesmith.errors import UsageError, shown
from tunesmith.modules.flow import Call
from tunesmith.modules.reasoning.reward import FUNCTION

__all__ = [
    "Aggregate",
    "Generate",
    "Improve",
    "KeepBest",
    "Operation",
    "Score",
    "Shape",
    "Split",
    "Thought",
    "ThoughtRun",
    "ValidateAndImprove",
    "operation_of",
]


@dataclass(frozen=True, slots=True, eq=False)
class Thought:
    """A state of the graph.

    Attributes:
        fields: its values by name, with the inputs of the program.
        part: numbers of the parts that it is of, from the outermost `Split` on; empty: it is of the whole.
        score: what the last `Score` gave; `None` before, and after a change.
        calls: the calls that made it, with the names of their modules.
    """

    fields: Mapping[str, Any]
    part: tuple[int, ...] = ()
    score: float | None = None
    calls: tuple[tuple[str, Call], ...] = ()

    @property
    def worth(self) -> float:
        """The score, below all others if there is none."""
        return float("-inf") if self.score is None else self.score

    def changed(self, outputs: Mapping[str, Any], made: tuple[str, Call]) -> "Thought":
        """Return the thought with these fields too, which has no score yet."""
        return replace(self, fields={**self.fields, **outputs}, score=None, calls=(*self.calls, made))


@dataclass(frozen=True, slots=True)
class Shape:
    """How many thoughts there are at most, and into how many parts each `Split` before cut."""

    thoughts: int = 1
    splits: tuple[int, ...] = ()


Answer = tuple[Mapping[str, Any], tuple[str, Call]]


class ThoughtRun(Protocol):
    """What an operation can do in a run."""

    def ask(
        self, operation: "Operation", given: Mapping[str, Any], number: int = 0
    ) -> Generator[Call, Any, Answer | None]:
        """Run the operation's module on fields, as draw `number`; `None`: no call is left, or it cannot be read."""
        ...

    def tell(self, operation: "Operation", thought: Thought) -> Any:
        """Return what the operation's function says of a thought."""
        ...

    def times(self, operation: "Operation") -> int:
        """Return how often the operation's module tries."""
        ...


Made = Generator[Call, Any, list[Thought]]


@dataclass(frozen=True)
class Operation:
    """Base of operations. A subclass has `run`, and says by `cost` what that costs at most.

    Attributes:
        name: of the operation, for `after` and the log.
        by: name of the module that it runs.
        function: of a thought's fields, as a prediction, in place of a module.
        after: names of the operations whose thoughts it gets; empty: the inputs; `None`: the one before it in the list.
        reads: name of a thought's field for an input of the module, if the names differ.
        times: how often the module tries, each as another rollout.

    Raises:
        UsageError: it has not what its class needs.
    """

    needs: ClassVar[tuple[tuple[str, ...], ...]] = (("by",),)
    """The sets of `by` and `function` of which it must have one."""

    name: str
    by: str = ""
    _: KW_ONLY
    function: Callable[..., Any] | str | None = None
    after: Sequence[str] | str | None = None
    reads: Mapping[str, str] = field(default_factory=dict)
    times: int = 1

    def __post_init__(self) -> None:
        kind = type(self).__name__
        if not isinstance(self.name, str) or not self.name:
            raise UsageError(f"An operation has a name: `{kind}('name', ...)`. Given: {shown(self.name)}.")
        if self.function not in (None, FUNCTION) and not callable(self.function):
            raise UsageError(f"`function` of `{self.name}` must be a function. Given: {shown(self.function)}.")
        given = tuple(one for one in ("by", "function") if getattr(self, one))
        if given not in self.needs:
            wanted = ", or ".join(" and ".join(f"`{one}`" for one in each) for each in self.needs)
            raise UsageError(
                f"The operation `{self.name}` is a `{kind}` and needs {wanted or 'no `by` and no `function`'}. "
                f"Given: {', '.join(given) or 'neither'}."
            )
        for name in self.numbers():
            if type(getattr(self, name)) is not int or getattr(self, name) < 1:
                raise UsageError(f"`{name}` of `{self.name}` must be a whole number of at least 1.")

    @property
    def before(self) -> list[str]:
        """The names in `after`."""
        return [self.after] if isinstance(self.after, str) else list(self.after or ())

    @classmethod
    def numbers(cls) -> list[str]:
        """Return the names of its fields that are counts."""
        return [one.name for one in fields(cls) if one.type is int]

    def run(self, run: ThoughtRun, thoughts: list[Thought]) -> Made:
        """Yield calls, and return the thoughts that come of `thoughts`."""
        raise NotImplementedError

    def cost(self, shape: Shape, times: int) -> tuple[Shape, int]:
        """Return the shape of the result, and how often the module runs at most, if it tries `times` times."""
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        """Return the operation as JSON, in which a function is only marked."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        function = None if self.function is None else FUNCTION
        return {**values, "kind": type(self).__name__, "reads": dict(self.reads), "function": function}


@dataclass(frozen=True)
class Split(Operation):
    """Cut a thought into parts: a thought for each, with the part in the field `into`.

    The parts are the last output of the module, or what the function returns: a list.

    Attributes:
        into: name of the field of a part.
        most: most parts; further ones are left out.
    """

    needs: ClassVar[tuple[tuple[str, ...], ...]] = (("by",), ("function",))
    _: KW_ONLY
    into: str = "part"
    most: int = 2

    def run(self, run: ThoughtRun, thoughts: list[Thought]) -> Made:
        """Cut each thought."""
        new: list[Thought] = []
        for thought in thoughts:
            changed = thought
            if self.by:
                answer = yield from run.ask(self, thought.fields)
                if answer is None:
                    continue
                changed = thought.changed(*answer)
                parts = list(answer[0].values())[-1]
            else:
                parts = run.tell(self, thought)
            for number, part in enumerate(list(parts)[: self.most]):
                inside = {**changed.fields, self.into: part}
                new.append(replace(changed, fields=inside, part=(*thought.part, number), score=None))
        return new

    def cost(self, shape: Shape, times: int) -> tuple[Shape, int]:
        """Return shape and calls."""
        return Shape(shape.thoughts * self.most, (*shape.splits, self.most)), shape.thoughts if self.by else 0


@dataclass(frozen=True)
class Generate(Operation):
    """Make `times` new thoughts of each: its fields, and the outputs of the module."""

    keeps: ClassVar[bool] = False

    def run(self, run: ThoughtRun, thoughts: list[Thought]) -> Made:
        """Ask for each thought."""
        new = list(thoughts) if self.keeps else []
        for thought in thoughts:
            for number in range(run.times(self)):
                answer = yield from run.ask(self, thought.fields, number)
                if answer is not None:
                    new.append(thought.changed(*answer))
        return new

    def cost(self, shape: Shape, times: int) -> tuple[Shape, int]:
        """Return shape and calls."""
        new = shape.thoughts * times
        return replace(shape, thoughts=new + shape.thoughts * self.keeps), new


@dataclass(frozen=True)
class Improve(Generate):
    """Make `times` better thoughts of each, which stays among them. `Score` and `KeepBest` then choose."""

    keeps: ClassVar[bool] = True


@dataclass(frozen=True)
class Score(Operation):
    """Give each thought a score: the last output of the module, or what the function returns. More is better."""

    needs: ClassVar[tuple[tuple[str, ...], ...]] = (("by",), ("function",))

    def run(self, run: ThoughtRun, thoughts: list[Thought]) -> Made:
        """Score each thought."""
        new: list[Thought] = []
        for thought in thoughts:
            if not self.by:
                new.append(replace(thought, score=float(run.tell(self, thought))))
                continue
            answer = yield from run.ask(self, thought.fields)
            new.append(thought if answer is None else replace(thought, score=float(list(answer[0].values())[-1])))
        return new

    def cost(self, shape: Shape, times: int) -> tuple[Shape, int]:
        """Return shape and calls."""
        return shape, shape.thoughts if self.by else 0


@dataclass(frozen=True)
class KeepBest(Operation):
    """Keep the `n` thoughts with the highest scores, of each part if they are of parts. Of equal ones, the first."""

    needs: ClassVar[tuple[tuple[str, ...], ...]] = ((),)
    _: KW_ONLY
    n: int = 1

    def run(self, run: ThoughtRun, thoughts: list[Thought]) -> Made:
        """Keep the best."""
        yield from ()
        kept = [sorted(group, key=lambda one: -one.worth)[: self.n] for group in grouped(thoughts, None).values()]
        return [one for group in kept for one in group]

    def cost(self, shape: Shape, times: int) -> tuple[Shape, int]:
        """Return shape and calls."""
        return replace(shape, thoughts=min(shape.thoughts, self.n * prod(shape.splits))), 0


@dataclass(frozen=True)
class Aggregate(Operation):
    """Join the thoughts of all parts of a whole, `times` times. The module gets a list of each field that it reads."""

    def run(self, run: ThoughtRun, thoughts: list[Thought]) -> Made:
        """Join each whole."""
        new: list[Thought] = []
        for part, group in grouped(thoughts, -1).items():
            group = sorted(group, key=lambda one: one.part)
            names = list(dict.fromkeys(name for one in group for name in one.fields))
            listed = {name: [one.fields[name] for one in group if name in one.fields] for name in names}
            shared = {name: each[0] for name, each in listed.items() if all(one is each[0] for one in each)}
            calls = {id(call): (name, call) for one in group for name, call in one.calls}
            whole = Thought(shared, part, None, tuple(calls.values()))
            for number in range(run.times(self)):
                answer = yield from run.ask(self, listed, number)
                if answer is not None:
                    new.append(whole.changed(*answer))
        return new

    def cost(self, shape: Shape, times: int) -> tuple[Shape, int]:
        """Return shape and calls."""
        new = prod(shape.splits[:-1]) * times
        return Shape(new, shape.splits[:-1]), new


@dataclass(frozen=True)
class ValidateAndImprove(Operation):
    """Improve each thought that is not valid, until the function says that it is, at most `times` times."""

    needs: ClassVar[tuple[tuple[str, ...], ...]] = (("by", "function"),)
    _: KW_ONLY
    times: int = 3

    def run(self, run: ThoughtRun, thoughts: list[Thought]) -> Made:
        """Improve each thought."""
        new: list[Thought] = []
        for first in thoughts:
            thought = first
            for number in range(run.times(self)):
                if run.tell(self, thought):
                    break
                answer = yield from run.ask(self, thought.fields, number)
                if answer is not None:
                    thought = thought.changed(*answer)
            new.append(thought)
        return new

    def cost(self, shape: Shape, times: int) -> tuple[Shape, int]:
        """Return shape and calls."""
        return shape, shape.thoughts * times


def grouped(thoughts: Sequence[Thought], last: int | None) -> dict[tuple[int, ...], list[Thought]]:
    """Return the thoughts by `part[:last]`, in order."""
    found: dict[tuple[int, ...], list[Thought]] = {}
    for thought in thoughts:
        found.setdefault(thought.part[:last], []).append(thought)
    return found


def operation_of(value: Any) -> Operation:
    """Return an operation, also of its JSON.

    Raises:
        UsageError: it is neither.
    """
    if isinstance(value, Operation):
        return value
    kinds = {kind.__name__: kind for kind in _KINDS}
    if not isinstance(value, Mapping) or value.get("kind") not in kinds:
        raise UsageError(
            f"An operation is one of {', '.join(kinds)}, such as `Generate('x', 'y')`. Given: {shown(value)}."
        )
    return kinds[value["kind"]](**{name: one for name, one in value.items() if name != "kind"})


_KINDS: tuple[type[Operation], ...] = (Split, Generate, Improve, Score, KeepBest, Aggregate, ValidateAndImprove)
