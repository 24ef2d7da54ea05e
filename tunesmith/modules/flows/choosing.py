"""`Choosing`: what chooses among named modules: rules, then similar examples, then a model."""

import math
import re
from collections import defaultdict
from collections.abc import Generator, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

from tunesmith.errors import ParseError, UsageError, shown
from tunesmith.modules.classify import Classify
from tunesmith.modules.flow import Call, Flow
from tunesmith.modules.flows.parts import Parts
from tunesmith.modules.module import Module, Prediction
from tunesmith.modules.predict import Predict
from tunesmith.modules.retrieval.words import words_of
from tunesmith.modules.setting import Setting
from tunesmith.signatures import InputField, OutputField, Signature

__all__ = ["NO_ROUTE", "Choice", "Choosing", "pattern_of"]

NO_ROUTE = "none"
"""The label of a model that finds no route."""
_HOW = f"Choose the route that the text needs. Say `{NO_ROUTE}` if it needs none of them."


class Choice(NamedTuple):
    """A module's name (`None` if there is none), what chose it, and how sure that is, if known."""

    route: str | None
    by: str
    confidence: float | None = None


def _is_scored(module: Any) -> bool:
    return bool(module.scored)


def _has_examples(module: Any) -> bool:
    return bool(module.examples)


def _may_vote(module: Any) -> bool:
    return len(module.examples) > 1 and module.similarity <= 1


class Choosing(Flow):
    """Base of the modules that choose among others: `Router`, which chooses once, and `StateMachine`.

    A subclass names what it chooses among (`noun`) and the fields that its prediction adds (`added`). The arguments are
    those of `Router`.
    """

    threshold: float = Setting(
        0.0, choices=(0.0, 0.5, 0.8), low=0.0, high=1.0, used=_is_scored, help="least probability of a choice"
    )
    similarity: float = Setting(
        0.6, choices=(0.4, 0.6, 2.0), low=0.0, used=_has_examples, help="least similarity of an example"
    )
    neighbours: int = Setting(3, choices=(1, 3), low=1, used=_may_vote, help="examples that vote")
    descriptions: str = Setting("", help="lines `route: description`, which the model reads")

    noun: ClassVar[str] = "route"
    added: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        field: str,
        descriptions: Mapping[str, str] | str,
        rules: Mapping[str, str] | None,
        examples: Mapping[str, str] | None,
        default: str | None,
        *,
        scored: bool,
        order: Sequence[str] | None,
        modules: Mapping[str, Module],
    ) -> None:
        super().__init__()
        self.field, self.rules, self.examples = field, dict(rules or {}), dict(examples or {})
        self.default, self.scored = default, scored
        self._patterns = [(pattern_of(text), route) for text, route in self.rules.items()]
        self._words = [(frozenset(words_of(text)), route) for text, route in self.examples.items()]
        self.names = list(modules if order is None else order)
        choose: Any = _choice_signature(self.names)
        self.choose = Classify(choose) if scored else Predict(choose)
        self.parts = Parts(self, self.noun, modules, order, least=2)
        self._check_names(descriptions)
        self._check_parts()
        self.descriptions = descriptions if isinstance(descriptions, str) else _lines(descriptions, self.names)

    def spec(self) -> Mapping[str, Any]:
        """Return the constructor's arguments except the settings."""
        given = {name: getattr(self, name) for name in ("field", "rules", "examples", "default", "scored")}
        return {**given, "order": self.names, **{name: getattr(self, name) for name in self.names}}

    def choice(self, text: str, names: Sequence[str]) -> Generator[Call, Any, Choice]:
        """Choose one of `names` for a text: by a rule, an example, the model, or the default."""
        found = self._ruled(text, names) or self._neighbouring(text, names) or (yield from self._modelled(text, names))
        if found.route is None:
            return found._replace(route=self.default if self.default in names else None, by="default")
        return found

    def beside(self, name: str, outputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of a part that the prediction has itself, too, with the part's name in front."""
        return {f"{name}_{one}": outputs[one] for one in self.added if one in outputs}

    def _ruled(self, text: str, names: Sequence[str]) -> Choice | None:
        found = (route for pattern, route in self._patterns if route in names and pattern.search(text))
        return next((Choice(route, "rule") for route in found), None)

    def _neighbouring(self, text: str, names: Sequence[str]) -> Choice | None:
        words = frozenset(words_of(text))
        alike = ((_cosine(words, other), route) for other, route in self._words if route in names)
        nearest = sorted(alike, key=lambda one: -one[0])[: self.neighbours]
        if not nearest or nearest[0][0] < self.similarity or not nearest[0][0]:
            return None
        votes: dict[str, float] = defaultdict(float)
        for weight, route in nearest:
            votes[route] += weight
        return Choice(max(votes, key=votes.__getitem__), "example", nearest[0][0])

    def _modelled(self, text: str, names: Sequence[str]) -> Generator[Call, Any, Choice]:
        try:
            found = yield Call(self.choose, {"text": text, "routes": self._listed(names)})
        except ParseError:
            return Choice(None, "model")
        route, confidence = self._best(found, names) if self.scored else (found.route, None)
        unsure = self.scored and self.threshold > 0 and (confidence is None or confidence < self.threshold)
        return Choice(None if unsure or route not in names else route, "model", confidence)

    def _best(self, found: Prediction, names: Sequence[str]) -> tuple[str, float | None]:
        """Return the label that is most probable if only `names` may be chosen, and how probable it then is."""
        if found.probabilities is None:
            return found.route, found.confidence
        open_ = {one: value for one, value in found.probabilities.items() if one in names or one == NO_ROUTE}
        best = max(open_, key=open_.__getitem__)
        return best, open_[best] / (sum(open_.values()) or 1.0)

    def _listed(self, names: Sequence[str]) -> str:
        """Return what the model reads of the modules that may be chosen."""
        if not self.descriptions or len(names) == len(self.names):
            return self.descriptions or ", ".join(names)
        lines = {line.partition(":")[0].strip(): line for line in self.descriptions.splitlines()}
        return "\n".join(lines.get(name, name) for name in names)

    def _check_names(self, descriptions: Mapping[str, str] | str) -> None:
        described = [] if isinstance(descriptions, str) else list(descriptions)
        default = [] if self.default is None else [self.default]
        for name in (*self.rules.values(), *self.examples.values(), *default, *described):
            if name not in self.names:
                raise UsageError(f"There is no {self.noun} {name!r}. There are: {', '.join(self.names)}.")

    def _check_parts(self) -> None:
        for name in self.names:
            if name == NO_ROUTE:
                raise UsageError(f"A {self.noun} cannot be called `{name}`, which means that there is none. Rename it.")
            taken = [one for one in self.added if one in (self.parts.output_types(name) or ())]
            if taken:
                raise UsageError(
                    f"The {self.noun} `{name}` has an output `{taken[0]}`, which `{type(self).__name__}` adds itself. "
                    "Rename it."
                )


def pattern_of(text: str) -> re.Pattern[str]:
    """Return a regular expression that matches in any case.

    Raises:
        UsageError: the text is not one.
    """
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
