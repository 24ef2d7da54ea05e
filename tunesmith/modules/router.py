"""`Router`: send inputs to one of several modules, by rules, by similar examples, or by a model."""

import math
import re
from collections import defaultdict
from collections.abc import Generator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from tunesmith.errors import ParseError, UsageError, shown
from tunesmith.modules.classify import Classify
from tunesmith.modules.flow import Call, Flow, Steps
from tunesmith.modules.module import Module, Prediction
from tunesmith.modules.parts import Parts, joined_signature, prediction_fields
from tunesmith.modules.predict import Predict
from tunesmith.modules.registry import calls_of, register_module
from tunesmith.modules.retrieval.words import words_of
from tunesmith.modules.setting import Setting
from tunesmith.signatures import InputField, OutputField, Signature

__all__ = ["NO_ROUTE", "Router"]

NO_ROUTE = "none"
"""The label of a model that finds no route."""
_HOW = f"Choose the route that the text needs. Say `{NO_ROUTE}` if it needs none of them."


class _Choice(NamedTuple):
    """A route (`None` if there is none), what chose it, and how sure that is, if known."""

    route: str | None
    by: str
    confidence: float | None = None


@register_module
class Router(Flow):
    """Send the inputs to one of several modules.

    The first of these that decides does: a rule, the `neighbours` nearest examples if one is at least as similar as
    `similarity`, the predictor `choose`. If that says `none`, cannot be read, or is less sure than `threshold`, the
    route is `default`. Rules and examples cost no call, `choose` one.

    Returns the route's prediction with `route`, its name; `routed_by`: `rule`, `example`, `model` or `default`; and
    `confidence`: the similarity of the nearest example, or the probability of the route if `scored`. Without a default,
    `route` and the outputs are `None`.

    Args:
        field: name of the text input that decides.
        descriptions: of each route, for the model; a text of lines `name: description`, or a mapping.
        rules: pattern to route. A pattern is a regular expression that is found in the text, in any case.
        examples: text to route. Similarity is the cosine of the words that two texts have, from 0 to 1.
        default: route of what nothing decides.
        scored: whether `choose` is a `Classify`, which needs a model with log-probabilities. Else `threshold` does
            nothing.
        threshold: least probability of a route that a model chose.
        similarity: least similarity of an example that decides; above 1 none does.
        neighbours: examples that vote, each with its similarity.
        order: names of the routes in order; default the order in which they are given.
        **routes: the modules by name. Each gets those of the inputs that it takes.

    Raises:
        UsageError: there are fewer than two routes, a name is taken or unknown, or a pattern is not one.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> router = ts.Router(
        ...     "text",
        ...     descriptions={"sums": "arithmetic", "talk": "everything else"},
        ...     rules={"^[0-9]": "sums"},
        ...     sums=ts.Predict("text -> answer"),
        ...     talk=ts.Predict("text -> answer"),
        ... )
        >>> with dspy.context(lm=ts.ScriptedLM("4", "talk", "Hello.")):
        ...     first, second = router(text="2 + 2?"), router(text="Good morning.")
        >>> (first.answer, first.routed_by), (second.answer, second.routed_by)
        (('4', 'rule'), ('Hello.', 'model'))
    """

    threshold: float = Setting(0.0, choices=(0.0, 0.5, 0.8), low=0.0, high=1.0, help="least probability of a choice")
    similarity: float = Setting(0.6, choices=(0.4, 0.6, 2.0), low=0.0, help="least similarity of an example")
    neighbours: int = Setting(3, choices=(1, 3), low=1, help="examples that vote")
    descriptions: str = Setting("", help="lines `route: description`, which the model reads")

    _noun = "route"
    _added: tuple[str, ...] = ("route", "routed_by", "confidence")

    def __init__(
        self,
        field: str,
        descriptions: Mapping[str, str] | str = "",
        rules: Mapping[str, str] | None = None,
        examples: Mapping[str, str] | None = None,
        default: str | None = None,
        *,
        scored: bool = False,
        threshold: float = 0.0,
        similarity: float = 0.6,
        neighbours: int = 3,
        order: Sequence[str] | None = None,
        **routes: Module,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.field, self.rules, self.examples = field, dict(rules or {}), dict(examples or {})
        self.default, self.scored = default, scored
        self._patterns = [(_pattern(text), route) for text, route in self.rules.items()]
        self._words = [(frozenset(words_of(text)), route) for text, route in self.examples.items()]
        names = list(routes if order is None else order)
        choose: Any = _choice_signature(names)
        self.choose = Classify(choose) if scored else Predict(choose)
        self.parts, self.names = Parts(self, self._noun, routes, order, least=2), names
        self._check_names(descriptions)
        self._check_parts()
        self.signature = self._joined()
        self.threshold, self.similarity, self.neighbours = threshold, similarity, neighbours
        self.descriptions = descriptions if isinstance(descriptions, str) else _lines(descriptions, self.names)

    def spec(self) -> Mapping[str, Any]:
        """Return the constructor's arguments except the settings."""
        given = {name: getattr(self, name) for name in ("field", "rules", "examples", "default", "scored")}
        return {**given, "order": self.names, **{name: getattr(self, name) for name in self.names}}

    def calls(self) -> Mapping[str, int]:
        """Return how often one run runs each inner module at most: a choice, and the route with the most calls."""
        return {"choose": 1, max(self.names, key=lambda name: calls_of(getattr(self, name))[0]): 1}

    def steps(self, **inputs: Any) -> Steps:
        """Choose a route and run it."""
        text = str(inputs.get(self.field, ""))
        choice = self._ruled(text) or self._neighbouring(text) or (yield from self._modelled(text))
        if choice.route is None:
            choice = choice._replace(route=self.default, by="default")
        outputs: dict[str, Any] = {}
        if choice.route is not None:
            found = yield self.parts.call(self, choice.route, inputs)
            outputs = prediction_fields(found, f"The route `{choice.route}`")
        elif self.signature is not None:
            outputs = dict.fromkeys(self.signature.output_fields)
        return Prediction(**{**outputs, "route": choice.route, "routed_by": choice.by, "confidence": choice.confidence})

    def _ruled(self, text: str) -> _Choice | None:
        return next((_Choice(route, "rule") for pattern, route in self._patterns if pattern.search(text)), None)

    def _neighbouring(self, text: str) -> _Choice | None:
        words = frozenset(words_of(text))
        alike = ((_cosine(words, other), route) for other, route in self._words)
        nearest = sorted(alike, key=lambda one: -one[0])[: self.neighbours]
        if not nearest or nearest[0][0] < self.similarity or not nearest[0][0]:
            return None
        votes: dict[str, float] = defaultdict(float)
        for weight, route in nearest:
            votes[route] += weight
        return _Choice(max(votes, key=votes.__getitem__), "example", nearest[0][0])

    def _modelled(self, text: str) -> Generator[Call, Any, _Choice]:
        try:
            found = yield Call(self.choose, {"text": text, "routes": self.descriptions or ", ".join(self.names)})
        except ParseError:
            return _Choice(None, "model")
        confidence = found.confidence if self.scored else None
        unsure = self.scored and self.threshold > 0 and (confidence is None or confidence < self.threshold)
        return _Choice(None if unsure or found.route == NO_ROUTE else found.route, "model", confidence)

    def _check_names(self, descriptions: Mapping[str, str] | str) -> None:
        described = [] if isinstance(descriptions, str) else list(descriptions)
        default = [] if self.default is None else [self.default]
        for name in (*self.rules.values(), *self.examples.values(), *default, *described):
            if name not in self.names:
                raise UsageError(f"There is no {self._noun} {name!r}. There are: {', '.join(self.names)}.")

    def _check_parts(self) -> None:
        for name in self.names:
            if name == NO_ROUTE:
                raise UsageError(
                    f"A {self._noun} cannot be called `{name}`, which means that there is none. Rename it."
                )
            taken = [one for one in self._added if one in (self.parts.output_types(name) or ())]
            if taken:
                raise UsageError(
                    f"The {self._noun} `{name}` has an output `{taken[0]}`, which `{type(self).__name__}` adds itself. "
                    "Rename it."
                )

    def _joined(self) -> type[Signature] | None:
        inputs: dict[str, Any] = {}
        outputs: dict[str, Any] = {}
        for name in self.names:
            given = self.parts.inputs(name)
            if given is not None and self.field not in given:
                raise UsageError(f"`field` must be an input of each route. Those of `{name}`: {', '.join(given)}.")
            inputs = {**self.parts.input_types(name), **inputs}
            outputs = {**(self.parts.output_types(name) or {}), **outputs}
        return joined_signature(inputs, outputs)


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text, re.IGNORECASE)
    except re.error as error:
        raise UsageError(f"A rule must be a regular expression: {error}. Given: {shown(text)}.") from error


def _choice_signature(names: list[str]) -> type[Signature]:
    build: Any = Signature  # called, it gives a class
    labels: Any = Literal[(*names, NO_ROUTE)]
    fields = {"routes": (str, InputField()), "text": (str, InputField()), "route": (labels, OutputField())}
    made: type[Signature] = build(fields, _HOW)
    return made


def _lines(descriptions: Mapping[str, str], names: list[str]) -> str:
    return "\n".join(f"{name}: {descriptions[name]}" if name in descriptions else name for name in names)


def _cosine(first: frozenset[str], second: frozenset[str]) -> float:
    return len(first & second) / math.sqrt(len(first) * len(second)) if first and second else 0.0
