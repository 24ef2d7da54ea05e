"""`Router`: send inputs to one of several modules, by rules, by similar examples, or by a model."""

from collections.abc import Mapping, Sequence
from typing import Any, Union

from tunesmith.errors import UsageError
from tunesmith.modules.flow import Steps
from tunesmith.modules.flows.choosing import Choosing
from tunesmith.modules.flows.parts import joined_signature, prediction_fields
from tunesmith.modules.module import Module, Prediction
from tunesmith.modules.registry import calls_of, register_module
from tunesmith.signatures import Signature

__all__ = ["Router"]


@register_module
class Router(Choosing):
    """Send the inputs to one of several modules.

    The first of these that decides does: a rule, the `neighbours` nearest examples if one is at least as similar as
    `similarity`, the predictor `choose`. If that says `none`, cannot be read, or is less sure than `threshold`, the
    route is `default`. Rules and examples cost no call, `choose` one.

    Returns the route's prediction with `route`, its name; `routed_by`: `rule`, `example`, `model` or `default`; and
    `confidence`: the similarity of the nearest example, or the probability of the route if `scored`. A field of that
    name that the route returned is `ROUTE_confidence`. Without a default, `route` and the outputs are `None`.

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

    noun = "route"
    added = ("route", "routed_by", "confidence")

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
        super().__init__(field, descriptions, rules, examples, default, scored=scored, order=order, modules=routes)
        self.threshold, self.similarity, self.neighbours = threshold, similarity, neighbours
        self.signature = self._joined()

    def calls(self) -> Mapping[str, int]:
        """Return how often one run runs each inner module at most: a choice, and the route with the most calls."""
        return {"choose": 1, max(self.names, key=lambda name: calls_of(getattr(self, name))[0]): 1}

    def steps(self, **inputs: Any) -> Steps:
        """Choose a route and run it."""
        if self.field not in inputs:
            raise UsageError(
                f"`{self.field}` is missing, which decides the route. Given: {', '.join(inputs) or 'none'}."
            )
        choice = yield from self.choice(str(inputs[self.field]), self.names)
        outputs: dict[str, Any] = {}
        if choice.route is not None:
            found = yield self.parts.call(self, choice.route, inputs)
            outputs = prediction_fields(found, f"The route `{choice.route}`")
            outputs |= self.beside(choice.route, outputs)
        elif self.signature is not None:
            outputs = dict.fromkeys(self.signature.output_fields)
        return Prediction(**{**outputs, "route": choice.route, "routed_by": choice.by, "confidence": choice.confidence})

    def _joined(self) -> type[Signature] | None:
        inputs: dict[str, Any] = {}
        outputs: dict[str, Any] = {}
        for name in self.names:
            given = self.parts.inputs(name)
            if given is not None and self.field not in given:
                raise UsageError(f"`field` must be an input of each route. Those of `{name}`: {', '.join(given)}.")
            inputs = {**self.parts.input_types(name), **inputs}
            for output, kind in (self.parts.output_types(name) or {}).items():
                outputs[output] = Union[outputs.get(output, kind), kind]  # noqa: UP007 - the types are not known here
        return joined_signature(inputs, outputs, self.parts.defaults())
