"""`StateMachine`: modules that run one after another, each next one chosen by what the last returned."""

from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from typing import Any

from tunesmith.errors import UsageError, shown
from tunesmith.modules.agents.tool import result_text
from tunesmith.modules.flow import Call, Steps, until_budget
from tunesmith.modules.flows.choosing import Choosing, pattern_of
from tunesmith.modules.flows.parts import joined_signature, prediction_fields
from tunesmith.modules.module import Module, Prediction
from tunesmith.modules.registry import calls_of, register_module
from tunesmith.modules.setting import Setting
from tunesmith.signatures import Signature

__all__ = ["StateMachine"]


@register_module
class StateMachine(Choosing):
    """Run a state, choose the next among those that may follow, and so on until a stop.

    A state is a module. It gets its inputs from those of the machine and from what the states before returned. If one
    state may follow, it does; if several may, the text `field` decides as in `ts.Router`: a rule, the nearest examples,
    the predictor `choose`, the default. Only the states that may follow count: the model reads no others, and if it
    names another that is `none`.

    The run stops if an output of the state that ran matches `until` (`until`), if no state may follow (`end`), if
    nothing decides (`none`), after `max_steps` states, or if a budget ends after the first state (`budget`).

    Returns all fields that the states returned, of two with one name the later; `states`, the names of those that ran,
    in order; and `stopped`, one of the words above. A `stopped` that a state returned is `STATE_stopped`. A run is at
    most `max_steps` states, and a choice between each two where several may follow.

    Args:
        field: name of the text that decides; the last value that the inputs or a state gave it.
        moves: of each state, the states that may follow. After a state that is not in it the run ends.
        until: output to pattern, a regular expression that is found in the output, in any case.
        start: the first state; default the first that is given.
        descriptions: of each state, for the model; a text of lines `name: description`, or a mapping.
        rules: pattern of the text to state.
        examples: text to state.
        default: state that follows if nothing decides.
        scored: whether `choose` is a `Classify`, which needs a model with log-probabilities.
        threshold: least probability of a state that a model chose, if `scored`.
        similarity: least similarity of an example that decides; above 1 none does.
        neighbours: examples that vote, each with its similarity.
        max_steps: most states of one run.
        order: names of the states in order; default the order in which they are given.
        **states: the modules by name.

    Raises:
        UsageError: there are fewer than two states, a name is taken or unknown, a pattern is not one, or no state knows
            `field`.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> machine = ts.StateMachine(
        ...     "verdict",
        ...     moves={"write": ["check"], "check": ["write"]},
        ...     until={"verdict": "^good"},
        ...     write=ts.Predict("topic -> line"),
        ...     check=ts.Predict("line -> verdict"),
        ... )
        >>> with dspy.context(lm=ts.ScriptedLM("Snow.", "too short", "Snow falls.", "good")):
        ...     found = machine(topic="winter")
        >>> found.line, found.states, found.stopped
        ('Snow falls.', ['write', 'check', 'write', 'check'], 'until')
    """

    max_steps: int = Setting(6, choices=(3, 6, 9), low=1, help="most states of one run")

    noun = "state"
    added = ("states", "stopped")

    def __init__(
        self,
        field: str,
        moves: Mapping[str, Sequence[str]],
        until: Mapping[str, str] | None = None,
        start: str | None = None,
        descriptions: Mapping[str, str] | str = "",
        rules: Mapping[str, str] | None = None,
        examples: Mapping[str, str] | None = None,
        default: str | None = None,
        *,
        scored: bool = False,
        threshold: float = 0.0,
        similarity: float = 0.6,
        neighbours: int = 3,
        max_steps: int = 6,
        order: Sequence[str] | None = None,
        **states: Module,
    ) -> None:
        super().__init__(field, descriptions, rules, examples, default, scored=scored, order=order, modules=states)
        self.threshold, self.similarity, self.neighbours = threshold, similarity, neighbours
        self.max_steps = max_steps
        self.start = self.names[0] if start is None else start
        self.moves, self.until = _moves(moves), dict(until or {})
        self._patterns_until = {name: pattern_of(text) for name, text in self.until.items()}
        for name in (self.start, *self.moves, *(name for some in self.moves.values() for name in some)):
            if name not in self.names:
                raise UsageError(f"There is no state {name!r}. There are: {', '.join(self.names)}.")
        if all(len(some) < 2 for some in self.moves.values()):
            del self.choose  # nothing is left to choose, so there is nothing to tune
        self.signature = self._joined()

    def spec(self) -> Mapping[str, Any]:
        """Return the constructor's arguments except the settings."""
        return {**super().spec(), "moves": self.moves, "until": self.until, "start": self.start}

    def calls(self) -> Mapping[str, int]:
        """Return how often a run of the most calls runs each inner module."""
        cost = {"choose": 1, **{name: calls_of(getattr(self, name))[0] for name in self.names}}
        most: dict[str, Counter[str]] = {}
        for _ in range(self.max_steps):
            most = {name: Counter([name]) + self._dearest(name, most, cost) for name in self.names}
        return dict(most[self.start])

    def steps(self, **inputs: Any) -> Steps:
        """Walk from state to state."""
        found: dict[str, Any] = {}
        states: list[str] = []
        stopped = yield from until_budget(self._walk(inputs, found, states), states)
        return Prediction(**{**found, "states": states, "stopped": stopped})

    def _walk(self, inputs: Mapping[str, Any], found: dict[str, Any], states: list[str]) -> Generator[Call, Any, str]:
        """Run states, put what they return into `found` and their names into `states`; return why it stopped."""
        state: str | None = self.start
        while state is not None:
            outputs = prediction_fields(
                (yield self.parts.call(self, state, {**inputs, **found})), f"The state `{state}`"
            )
            found.update(outputs | self.beside(state, outputs))
            states.append(state)
            following = self.moves.get(state, [])
            if self._is_over(outputs):
                return "until"
            if not following:
                return "end"
            if len(states) >= self.max_steps:
                return "max_steps"
            state = following[0] if len(following) == 1 else (yield from self._next({**inputs, **found}, following))
        return "none"

    def _next(self, fields: Mapping[str, Any], following: Sequence[str]) -> Generator[Call, Any, str | None]:
        choice = yield from self.choice(result_text(fields.get(self.field, "")), following)
        return choice.route

    def _is_over(self, outputs: Mapping[str, Any]) -> bool:
        return any(
            name in outputs and pattern.search(result_text(outputs[name]))
            for name, pattern in self._patterns_until.items()
        )

    def _dearest(self, name: str, most: Mapping[str, Counter[str]], cost: Mapping[str, int]) -> Counter[str]:
        """Return the calls after a state, on the walk that costs most."""
        following = [most[one] for one in self.moves.get(name, ()) if one in most]
        if not following:
            return Counter()
        dearest = max(following, key=lambda calls: sum(times * cost[one] for one, times in calls.items()))
        return dearest + Counter(choose=len(following) > 1)

    def _joined(self) -> type[Signature] | None:
        """Return the signature: the inputs of the first state, and those of others that no state gives."""
        typed = [self.parts.output_types(name) for name in self.names]
        outputs = {name: kind for some in typed if some is not None for name, kind in some.items()}
        inputs = self.parts.input_types(self.start)
        for name in self.names:
            given = self.parts.input_types(name)
            inputs |= {one: kind for one, kind in given.items() if one not in outputs and one not in inputs}
        chosen = any(len(some) > 1 for some in self.moves.values())
        if chosen and None not in typed and self.field not in {**inputs, **outputs}:
            raise UsageError(f"`field` must be an input or output of a state. Given: {shown(self.field)}.")
        return None if None in typed else joined_signature(inputs, outputs, self.parts.defaults())


def _moves(given: Any) -> dict[str, list[str]]:
    listed = isinstance(given, Mapping) and all(
        isinstance(some, Sequence) and not isinstance(some, str) for some in given.values()
    )
    if not listed:
        raise UsageError(f"`moves` maps a state to a list of states, as in {{'a': ['b', 'c']}}. Given: {shown(given)}.")
    return {name: list(some) for name, some in given.items()}
