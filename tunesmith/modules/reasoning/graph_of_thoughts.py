"""`GraphOfThoughts`: thoughts that are made, scored, kept and joined by a graph of operations."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from typing import Any

from tunesmith.data import canonical_json
from tunesmith.errors import BudgetExceeded, ParseError, UsageError, shown
from tunesmith.modules.flow import BUDGET, Call, Flow, Steps
from tunesmith.modules.flows.parts import Parts, joined_signature, prediction_fields
from tunesmith.modules.module import Prediction, settings
from tunesmith.modules.operations import Answer, Operation, Score, Shape, Split, Thought, operation_of
from tunesmith.modules.reasoning.reward import missing_function
from tunesmith.modules.reasoning.rollouts import MOST_ROLLOUTS, Rollouts, keep_trace
from tunesmith.modules.registry import register_module
from tunesmith.modules.setting import Setting
from tunesmith.signatures import to_json_value

__all__ = ["GraphOfThoughts"]

_ADDED = ("score", "log", "stopped")


@register_module
class GraphOfThoughts(Flow):
    """Run a graph of operations on thoughts, and return the best thought.

    Besta et al. 2023, "Graph of Thoughts: Solving Elaborate Problems with Large Language Models" (arXiv 2308.09687),
    sections 3 and 4.2. The operations are in `tunesmith.modules.operations`: `Split`, `Generate`, `Improve`, `Score`,
    `KeepBest`, `Aggregate` and `ValidateAndImprove`. Each runs when those named in its `after` have run. Difference:
    thoughts know of which part they are, so that `KeepBest` keeps the best of each part and `Aggregate` joins the
    parts, without a branch of the graph for each.

    Returns the fields that the operations made, of the best whole thought of the last operation that has one, with its
    `score`; `log`, for each operation its name, `calls`, `thoughts` and best `score`; and `stopped`: `done`, `calls`
    (there were none left), or `budget`. If nothing whole was made, the fields are `None`. The trace holds the calls
    that made the thought.

    Args:
        operations: in any order in which each comes after those of its `after`, the last at the end.
        inputs: names of inputs that functions alone read.
        order: names of the modules in order; default the order in which they are given.
        max_calls: most runs of modules. Operations then go on without.
        most_times: most tries of an operation, whatever it says.
        temperature: of operations that try more than once.
        **modules: those that the operations run, by name.

    Raises:
        UsageError: an operation or a module cannot be used, or the graph has a cycle. At a call: a thought lacks what a
            module reads.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> from tunesmith.modules import operations as op
        >>> graph = [
        ...     op.Generate("titles", "write", times=2),
        ...     op.Score("scored", function=lambda thought: -len(thought.title)),
        ...     op.KeepBest("best"),
        ... ]
        >>> program = ts.GraphOfThoughts(graph, write=ts.Predict("text -> title"))
        >>> with dspy.context(lm=ts.ScriptedLM("A long title", "Short")):
        ...     program(text="We went skiing.").title
        'Short'
    """

    max_calls: int = Setting(100, low=1, help="most runs of modules")
    most_times: int = Setting(
        MOST_ROLLOUTS, choices=(1, 3, 10, MOST_ROLLOUTS), low=1, high=MOST_ROLLOUTS, help="most tries of an operation"
    )
    temperature: float = Setting(0.7, low=0.0, high=2.0, help="temperature of operations that try more than once")

    def __init__(
        self,
        operations: Sequence[Any],
        inputs: Sequence[str] = (),
        order: Sequence[str] | None = None,
        max_calls: int = 100,
        most_times: int = MOST_ROLLOUTS,
        temperature: float = 0.7,
        **modules: Any,
    ) -> None:
        super().__init__()
        self.operations = _linked(operations)
        self.max_calls, self.most_times, self.temperature = max_calls, most_times, temperature
        self.parts = Parts(self, "module", modules, order, least=0)
        for operation in self.operations:
            if operation.by and operation.by not in modules:
                raise UsageError(
                    f"The operation `{operation.name}` runs `{operation.by}`. The modules are: "
                    f"{', '.join(modules) or 'none'}. Give `{operation.by}=ts.Predict(...)`."
                )
        self.inputs = list(inputs)
        typed, self.outputs = self._fields()
        self.signature = joined_signature(typed, self.outputs)

    def _fields(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the types of the inputs, which no operation makes, and of what the operations make."""
        inputs: dict[str, Any] = dict.fromkeys(self.inputs, Any)
        made: dict[str, Any] = {}
        hidden: set[str] = set()
        for operation in self.operations:
            if operation.by:
                for name, kind in self.parts.input_types(operation.by).items():
                    read = operation.reads.get(name, name)
                    if read not in made and read not in hidden:
                        inputs[read] = kind
                if not isinstance(operation, Score):
                    made |= self.parts.output_types(operation.by) or {}
            if isinstance(operation, Split):
                hidden.add(operation.into)
        taken = [name for name in made if name in _ADDED]
        if taken:
            raise UsageError(f"A module has an output `{taken[0]}`, which GraphOfThoughts adds itself. Rename it.")
        return inputs, {name: kind for name, kind in made.items() if name not in inputs}

    @property
    def missing(self) -> list[str]:
        """Names of operations with a function, which a loaded program has not."""
        return [one.name for one in self.operations if isinstance(one.function, str)]

    def spec(self) -> Mapping[str, Any]:
        """Return the constructor's arguments except the settings."""
        modules = {name: getattr(self, name) for name in self.parts.names}
        operations = [one.to_json() for one in self.operations]
        return {"operations": operations, "inputs": self.inputs, "order": self.parts.names, **modules}

    def calls(self) -> Mapping[str, int]:
        """Return how often one run runs each inner module at most."""
        shapes: dict[str, Shape] = {}
        found = dict.fromkeys(self.parts.names, 0)
        left = self.max_calls
        for operation in self.operations:
            before = [shapes[name] for name in operation.before] or [Shape()]
            shape = Shape(sum(one.thoughts for one in before), before[0].splits)
            shapes[operation.name], calls = operation.cost(shape, min(operation.times, self.most_times))
            if operation.by:
                found[operation.by] += min(calls, left)
                left -= min(calls, left)
        return found

    def steps(self, **inputs: Any) -> Steps:
        """Run the operations."""
        run = _Run(self, inputs)
        yield from run.all()
        best = run.best()
        if best is None and run.ended is not None:
            raise run.ended
        for name, call in () if best is None else best.calls:
            keep_trace(call, getattr(self, name))
        fields = {} if best is None else best.fields
        made = {name: fields.get(name) for name in self.outputs or fields}
        added = {"score": None if best is None else best.score, "log": run.log, "stopped": run.stopped}
        return Prediction(**{**made, **added})


class _Run:
    """One run of a graph."""

    def __init__(self, graph: GraphOfThoughts, inputs: Mapping[str, Any]) -> None:
        self.graph, self.inputs = graph, inputs
        self.made: dict[str, list[Thought]] = {}
        self.log: list[dict[str, Any]] = []
        self.used = 0
        self.stopped = "done"
        self.ended: BudgetExceeded | None = None

    def all(self) -> Generator[Call, Any, None]:
        """Run each operation. If there are no calls left, each makes what it can without."""
        for operation in self.graph.operations:
            before = [thought for name in operation.before for thought in self.made[name]]
            used = self.used
            made = yield from operation.run(self, before if operation.before else [Thought(self.inputs)])
            self.made[operation.name] = made
            scores = [one.score for one in made if one.score is not None]
            entry = {"operation": operation.name, "calls": self.used - used, "thoughts": len(made)}
            self.log.append({**entry, "score": max(scores, default=None)})

    def best(self) -> Thought | None:
        """Return the best whole thought of the last operation that made one."""
        for made in reversed(self.made.values()):
            whole = [one for one in made if not one.part and one.calls]
            if whole:
                return max(whole, key=lambda one: one.worth)
        return None

    def times(self, operation: Operation) -> int:
        """Return how often the operation's module tries."""
        return min(operation.times, self.graph.most_times)

    def tell(self, operation: Operation, thought: Thought) -> Any:
        """Return what the operation's function says of a thought."""
        function = operation.function
        if not callable(function):
            raise missing_function(f"function` of the operation `{operation.name}")
        return function(Prediction(**thought.fields))

    def ask(
        self, operation: Operation, given: Mapping[str, Any], number: int = 0
    ) -> Generator[Call, Any, Answer | None]:
        """Run the operation's module on fields, as draw `number`."""
        if self.used >= self.graph.max_calls:
            self.stopped = "calls"
        if self.stopped != "done":
            return None
        self.used += 1
        parts, module = self.graph.parts, getattr(self.graph, operation.by)
        types = parts.input_types(operation.by)
        fields = dict(given) | {name: given[read] for name, read in operation.reads.items() if read in given}
        fields = {name: _given(value, types.get(name)) for name, value in fields.items()}
        call = parts.call(self.graph, operation.by, fields)
        if self.times(operation) > 1:
            call = Rollouts(module, call.inputs, self.graph.temperature).call(number)
        else:
            call = Call(module, call.inputs, {"trace": None if settings.trace is None else []})
        try:
            found = yield call
        except ParseError:
            return None
        except BudgetExceeded as error:
            self.stopped, self.ended = BUDGET, error
            self.used -= 1
            return None
        return prediction_fields(found, f"The module `{operation.by}`"), (operation.by, call)


def _given(value: Any, kind: Any) -> Any:
    """Return the value for an input: a text input gets a list as lines."""
    if kind is not str or isinstance(value, str):
        return value
    if isinstance(value, list):
        texts = [one if isinstance(one, str) else canonical_json(to_json_value(one)) for one in value]
        return "\n".join(f"{number}. {text}" for number, text in enumerate(texts, 1))
    return canonical_json(to_json_value(value))


def _linked(given: Sequence[Any]) -> list[Operation]:
    """Return the operations in an order in which each comes after those that it needs.

    Raises:
        UsageError: there is none, two have one name, one names another that is not there, or the graph has a cycle.
    """
    if isinstance(given, str) or not isinstance(given, Sequence) or not given:
        raise UsageError(f"`operations` is a list of at least one operation. Given: {shown(given)}.")
    found: dict[str, Operation] = {}
    last: list[str] = []
    for operation in map(operation_of, given):
        if operation.name in found:
            raise UsageError(f"Two operations are called `{operation.name}`. Rename one.")
        found[operation.name] = replace(operation, after=last) if operation.after is None else operation
        last = [operation.name]
    for operation in found.values():
        for name in operation.before:
            if name not in found:
                raise UsageError(
                    f"The operation `{operation.name}` comes after `{name}`. The operations are: {', '.join(found)}."
                )
    try:
        order = list(TopologicalSorter({one.name: one.before for one in found.values()}).static_order())
    except CycleError as error:
        raise UsageError(f"The operations wait for each other in a circle: {', '.join(error.args[1])}.") from None
    return [found[name] for name in order]
