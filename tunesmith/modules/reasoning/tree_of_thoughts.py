"""`TreeOfThoughts`: search a tree of thoughts, and answer from the best branch."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, ClassVar, Literal

from tunesmith.data import Score
from tunesmith.errors import ParseError, UsageError, shown
from tunesmith.modules.fence import fenced
from tunesmith.modules.flow import Call, Steps, until_budget
from tunesmith.modules.module import DspyPredict, Module, Prediction, as_signature, copy_program, settings, signature_of
from tunesmith.modules.predict import Predict
from tunesmith.modules.reasoning.reward import FUNCTION, Hidden, Rewarded, missing_function
from tunesmith.modules.reasoning.rollouts import MOST_ROLLOUTS, Rollouts, keep_trace
from tunesmith.modules.registry import register_module
from tunesmith.modules.setting import Setting
from tunesmith.modules.step import check_step, texts_type, with_inputs
from tunesmith.signatures import Example, InputField, OutputField, Signature, is_generated

__all__ = ["TreeOfThoughts"]

_THOUGHTS, _CHOICES = "thoughts", "choices"
_ADDED = (_THOUGHTS, "value", "nodes", "stopped")
_JUDGING = ("value", "vote")
_VALUES = {"sure": 20.0, "likely": 1.0, "impossible": 0.001}  # as in the paper's code
_LABEL = Literal["sure", "likely", "impossible"]


@dataclass(eq=False, slots=True)
class _Node:
    """A state: the thoughts so far, and the calls that wrote them."""

    thoughts: tuple[str, ...] = ()
    calls: tuple[Call, ...] = ()
    value: float | None = None
    pruned: bool = False
    goal: bool = False

    @property
    def key(self) -> str:
        return "\n".join(" ".join(thought.split()).casefold() for thought in self.thoughts)

    @property
    def rank(self) -> tuple[bool, bool, int, float]:
        return self.goal, not self.pruned, len(self.thoughts), self.worth

    @property
    def worth(self) -> float:
        return float("-inf") if self.value is None else self.value


def _has_beam(module: Any) -> bool:
    return module.search == "bfs" and module.depth > 1


@register_module
class TreeOfThoughts(Rewarded):
    """Search a tree whose branches are thoughts, and answer from the best branch.

    Yao et al. 2023, "Tree of Thoughts: Deliberate Problem Solving with Large Language Models" (arXiv 2305.10601),
    section 3: algorithm 1 (`bfs`), which keeps the `beam` best states of each depth, and algorithm 2 (`dfs`), which
    goes on with the best state, leaves states below `prune` alone, and goes back. The predictor `generate` proposes the
    next thoughts of a state, `evaluate` judges states, and `answer` reads the outputs from the best one. Equal states
    are one, judged once. Differences: thoughts are typed fields, not lines that are searched; `answer` is a call of its
    own; a judgement that cannot be read counts as none.

    One run of `bfs` is, for each depth, the states kept before (times `generated` for `sample`) and the new states
    times `evaluations` (for `vote`: `evaluations`), and at the end 1. A function that evaluates costs no call.

    Returns the outputs with `thoughts`, a list; `value` of that state; `nodes`, how many states there were; and
    `stopped`: `depth`, `goal`, `value`, `nodes`, `exhausted` (there is nothing more to try), or `budget`, with which
    the outputs are `None`. The trace holds the calls that wrote the thoughts, and `answer`.

    Args:
        answer: a signature, such as `"numbers -> expression"`, or a `ts.Predict`. An input `thoughts` is added.
        generate: `propose` has one call list different next thoughts, for tasks with small steps; `sample` draws them
            one by one, for steps as long as a paragraph.
        evaluate: `value` rates each state as sure (20), likely (1) or impossible (0.001), and takes the mean; `vote`
            asks which of the new states is the best, and takes its share; else a function of (example, prediction) that
            returns a number, with `prediction.thoughts`, or a predictor whose last output is a number or a bool.
        goal: a function of (example, prediction) that says whether the thoughts are complete, which ends the search.
        search: `bfs` or `dfs`.
        depth: most thoughts of a state.
        generated: most next thoughts of a state.
        evaluations: how often states are judged.
        beam: how many states `bfs` keeps at each depth.
        prune: value below which `dfs` does not go on.
        enough: value of a state at full depth that ends `dfs`.
        max_nodes: most states.
        temperature: of thoughts that are sampled, and of judgements if there are several.

    Raises:
        UsageError: an argument cannot be used.
        ParseError: the outputs cannot be read.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> def value(example, state):
        ...     return float("7" in state.thoughts[-1])
        >>> program = ts.TreeOfThoughts("numbers -> sum: int", evaluate=value, depth=1)
        >>> with dspy.context(lm=ts.ScriptedLM('["3 + 4 = 8", "3 + 4 = 7"]', "7")):
        ...     found = program(numbers="3 4")
        >>> found.sum, found.thoughts
        (7, ['3 + 4 = 7'])
    """

    reward_name: ClassVar[str] = "evaluate"
    search: str = Setting("bfs", only=("bfs", "dfs"), help="in which order states are tried")
    depth: int = Setting(3, choices=(1, 2, 3), low=1, help="most thoughts of a state")
    generated: int = Setting(5, choices=(3, 5), low=1, high=MOST_ROLLOUTS, help="most next thoughts of a state")
    evaluations: int = Setting(3, choices=(1, 3), low=1, high=MOST_ROLLOUTS, help="how often states are judged")
    beam: int = Setting(5, choices=(1, 3, 5), low=1, used=_has_beam, help="states that `bfs` keeps at each depth")
    prune: float = Setting(0.1, help="value below which `dfs` does not go on")
    enough: float = Setting(20.0, help="value of a state at full depth that ends `dfs`")
    max_nodes: int = Setting(100, low=1, help="most states")
    temperature: float = Setting(0.7, low=0.0, high=2.0, help="temperature of samples and judgements")

    def __init__(
        self,
        answer: Any,
        generate: str = "propose",
        evaluate: Any = "value",
        goal: Any = None,
        *,
        search: str = "bfs",
        depth: int = 3,
        generated: int = 5,
        evaluations: int = 3,
        beam: int = 5,
        prune: float = 0.1,
        enough: float = 20.0,
        max_nodes: int = 100,
        temperature: float = 0.7,
    ) -> None:
        super().__init__()
        if generate not in ("propose", "sample"):
            raise UsageError(f"`generate` must be `propose` or `sample`. Given: {shown(generate)}.")
        if goal is not None and goal != FUNCTION and not callable(goal):
            raise UsageError(f"`goal` must be a function of (example, prediction). Given: {shown(goal)}.")
        self.answer = _answering(answer)
        self.signature = signature_of(self.answer).delete(_THOUGHTS)
        self.how = generate
        self.generate = Predict(_generating(self.signature, generate))
        if isinstance(evaluate, str) and evaluate not in (*_JUDGING, FUNCTION):
            raise UsageError(
                f"`evaluate` must be `value`, `vote`, a function or a predictor. Given: {shown(evaluate)}."
            )
        self.judged = evaluate if isinstance(evaluate, str) and evaluate in _JUDGING else None
        if self.judged is None:
            self._set_reward(evaluate)
        else:
            self._set_reward(Predict(_evaluating(self.signature, self.judged)))
        self._goal = Hidden(goal)
        self.search, self.depth, self.generated, self.evaluations = search, depth, generated, evaluations
        self.beam, self.prune, self.enough = beam, prune, enough
        self.max_nodes, self.temperature = max_nodes, temperature

    @property
    def missing(self) -> list[str]:
        """Names of arguments that are functions, which a loaded program has not."""
        return [*super().missing, *(["goal"] if isinstance(self._goal.value, str) else [])]

    def spec(self) -> Mapping[str, Any]:
        """Return the constructor's arguments except the settings."""
        evaluate = self._reward_spec() if self.judged is None else {"evaluate": self.judged}
        goal = None if self._goal.value is None else FUNCTION
        return {"answer": self.answer, "generate": self.how, "goal": goal, **evaluate}

    def calls(self) -> Mapping[str, int]:
        """Return how often one run runs each inner module at most."""
        if self.search == "bfs":
            expanded = 1 + (self.depth - 1) * self.beam
        else:
            expanded = sum(self.generated**depth for depth in range(self.depth))
        expanded = min(expanded, self.max_nodes)  # each state that is expanded gave at least one
        states = min(expanded * self.generated, self.max_nodes)
        judged = (self.depth if self.search == "bfs" else expanded) if self.judged == "vote" else states
        times = expanded * (self.generated if self.how == "sample" else 1)
        return {"generate": times, **self._reward_calls(judged * self.evaluations), "answer": 1}

    def steps(self, **inputs: Any) -> Steps:
        """Search, then answer."""
        nodes: dict[str, _Node] = {}
        outputs = dict.fromkeys(self.signature.output_fields)
        stopped = yield from until_budget(self._found(inputs, nodes, outputs), nodes)
        best = _best(nodes)
        added = {_THOUGHTS: list(best.thoughts), "value": best.value, "nodes": len(nodes), "stopped": stopped}
        return Prediction(**{**outputs, **added})

    def _found(
        self, inputs: Mapping[str, Any], nodes: dict[str, _Node], outputs: dict[str, Any]
    ) -> Generator[Call, Any, str]:
        """Fill `nodes` and `outputs`, and return why the search stopped."""
        stopped = yield from (self._bfs if self.search == "bfs" else self._dfs)(inputs, nodes)
        best = _best(nodes)
        for call in best.calls:
            keep_trace(call, self.generate)
        found = yield Call(self.answer, {**inputs, _THOUGHTS: _text(best.thoughts)})
        outputs.update(dict(found.items()))
        return stopped

    def _bfs(self, inputs: Mapping[str, Any], nodes: dict[str, _Node]) -> Generator[Call, Any, str]:
        kept = [_Node()]
        for _ in range(self.depth):
            new: list[_Node] = []
            for node in kept:
                new += yield from self._next(inputs, node, nodes)
            yield from self._judge(inputs, new)
            if any(node.goal for node in new):
                return "goal"
            if not new or len(nodes) >= self.max_nodes:
                return "nodes" if new else "exhausted"
            kept = sorted(new, key=lambda node: -node.worth)[: self.beam]
        return "depth"

    def _dfs(self, inputs: Mapping[str, Any], nodes: dict[str, _Node]) -> Generator[Call, Any, str]:
        stack = [_Node()]
        while stack:
            node = stack.pop()
            if len(node.thoughts) == self.depth:
                if node.worth >= self.enough:
                    return "value"
                continue
            if len(nodes) >= self.max_nodes:
                return "nodes"
            new = yield from self._next(inputs, node, nodes)
            yield from self._judge(inputs, new)
            if any(one.goal for one in new):
                return "goal"
            for one in new:
                one.pruned = one.value is not None and one.value < self.prune
            stack += sorted((one for one in new if not one.pruned), key=lambda one: -one.worth)[::-1]
        return "exhausted"

    def _next(
        self, inputs: Mapping[str, Any], node: _Node, nodes: dict[str, _Node]
    ) -> Generator[Call, Any, list[_Node]]:
        """Return the new states after `node`, and put them into `nodes`."""
        given = {**inputs, _THOUGHTS: _text(node.thoughts)}
        new: list[_Node] = []
        for number in range(self.generated if self.how == "sample" else 1):
            if len(nodes) >= self.max_nodes:
                break
            call = self._draw(self.generate, given, number, once=self.how == "propose")
            try:
                found = yield call
            except ParseError:
                continue
            texts = [found.thought] if self.how == "sample" else found.proposals[: self.generated]
            for text in filter(None, map(str.strip, texts)):
                made = _Node((*node.thoughts, text), (*node.calls, call))
                if made.key not in nodes and len(nodes) < self.max_nodes:
                    made.goal = self._is_goal(inputs, made)
                    nodes[made.key] = made
                    new.append(made)
        return new

    def _judge(self, inputs: Mapping[str, Any], new: list[_Node]) -> Generator[Call, Any, None]:
        """Give new states their values."""
        if self.judged == "vote":
            yield from self._vote(inputs, new)
            return
        for node in new:
            if not isinstance(self.evaluate, Module):
                score = yield from self._scored(inputs, Prediction(thoughts=list(node.thoughts)))
                node.value = score.value
                continue
            replies = yield from self._judgements({**inputs, _THOUGHTS: _text(node.thoughts)})
            values = [float(Score.of(_VALUES.get(one, one)).value) for one in replies]
            node.value = fmean(values) if values else None

    def _vote(self, inputs: Mapping[str, Any], new: list[_Node]) -> Generator[Call, Any, None]:
        if not new:
            return
        choices = "\n".join(f"{number}. {fenced(_text(node.thoughts))}" for number, node in enumerate(new, 1))
        replies = yield from self._judgements({**inputs, _CHOICES: choices})
        for number, node in enumerate(new, 1):
            node.value = replies.count(number) / max(1, len(replies))

    def _judgements(self, given: Mapping[str, Any]) -> Generator[Call, Any, list[Any]]:
        """Return the last output of each judgement that can be read."""
        replies = []
        for number in range(self.evaluations):
            try:
                found = yield self._draw(self.evaluate, given, number, once=self.evaluations == 1)
            except ParseError:
                continue
            replies.append(found[self._reward_field])
        return replies

    def _draw(self, predictor: Module, given: Mapping[str, Any], number: int, *, once: bool) -> Call:
        """Return a call with a trace of its own: one of several draws, or the only one, which has no temperature."""
        if once:
            return Call(predictor, given, {"trace": None if settings.trace is None else []})
        return Rollouts(predictor, given, self.temperature).call(number)

    def _is_goal(self, inputs: Mapping[str, Any], node: _Node) -> bool:
        goal = self._goal.value
        if goal == FUNCTION:
            raise missing_function("goal")
        example = Example(**inputs).with_inputs(*inputs)
        return goal is not None and bool(goal(example, Prediction(thoughts=list(node.thoughts))))


def _best(nodes: Mapping[str, _Node]) -> _Node:
    """Return the best state: one that is complete, or else the deepest that is not pruned, with the highest value."""
    return max(nodes.values(), key=lambda node: node.rank, default=_Node())


def _text(thoughts: Sequence[str]) -> str:
    return "\n".join(f"{number}. {fenced(text)}" for number, text in enumerate(thoughts, 1)) or "none yet"


def _answering(answer: Any) -> DspyPredict:
    """Return the predictor that answers, with an input `thoughts`.

    Raises:
        UsageError: it is neither a signature nor a predictor, or has a field that the module adds.
    """
    made: Any = answer if isinstance(answer, Module) else Predict(as_signature(answer))
    if not isinstance(made, DspyPredict):
        raise UsageError(f"`answer` must be a signature or a `ts.Predict(...)`. Given: {shown(answer)}.")
    check_step(made, _ADDED)
    signature = signature_of(made)
    if _THOUGHTS not in signature.input_fields:
        made = copy_program(made)
        words = f"{signature.instructions}\nTake the answer from the thoughts."
        made.signature = with_inputs(signature, words, thoughts="thoughts so far")
    return made


def _generating(signature: type[Signature], how: str) -> type[Signature]:
    """Return the signature of the predictor that writes the next thoughts."""
    goal = "Think in small steps towards"
    if how == "sample":
        return _helping(signature, f"{goal} {{outputs}}. Write the next thought.", "thought", str, "the next thought")
    words = f"{goal} {{outputs}}. Propose several different next thoughts, the most promising first."
    return _helping(signature, words, "proposals", texts_type(10, 150), "possible next thoughts")


def _evaluating(signature: type[Signature], how: str) -> type[Signature]:
    """Return the signature of the predictor that judges states."""
    if how == "vote":
        words = "Each choice has thoughts towards {outputs}. Say which choice is the most promising."
        changed = _helping(signature, words, "best", int, "number of the choice").delete(_THOUGHTS)
        return changed.prepend(_CHOICES, InputField(desc="thoughts so far, by number"), str)
    words = "Say whether these thoughts can lead to {outputs}: sure, likely or impossible."
    return _helping(signature, words, "rating", _LABEL, "how promising they are")


def _helping(signature: type[Signature], words: str, name: str, kind: Any, desc: str) -> type[Signature]:
    """Return a signature with the inputs, `thoughts` and one output."""
    outputs = ", ".join(f"`{output}`" for output in signature.output_fields)
    task = "" if is_generated(signature, signature.instructions) else f"{signature.instructions}\n"
    made: Any = with_inputs(signature, task + words.format(outputs=outputs), thoughts="thoughts so far")
    for output in signature.output_fields:
        made = made.delete(output)
    found: type[Signature] = made.append(name, OutputField(desc=desc), kind)
    return found
