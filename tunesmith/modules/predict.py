"""`Predict` and `ChainOfThought`: DSPy's classes, with tunesmith's formats as the default."""

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from tunesmith import formats  # as a whole: a loaded program has its formats, and chooses none
from tunesmith.errors import UsageError, shown
from tunesmith.formats import get_format, values_of
from tunesmith.lm import BaseLM, check_values
from tunesmith.modules.binding import settle, with_settings
from tunesmith.modules.calling import plain_forward, predicted
from tunesmith.modules.module import (
    DspyChainOfThought,
    DspyPredict,
    as_signature,
    caller_adapter,
    context,
    signature_of,
)
from tunesmith.signatures import Signature

__all__ = ["ChainOfThought", "Predict"]

_ELSEWHERE = {
    "format": "The format of a predictor is set by `tunesmith.modules.bind(predict, 'json')`",
    "instructions": "The instructions belong to the signature: `ts.Signature('text -> label', 'Sort the text.')`",
}


class Predict(DspyPredict):
    """One LM call from typed inputs to typed outputs.

    The same as `dspy.Predict`, except that without a configured `dspy.settings.adapter` it uses tunesmith's default
    format: `bare` for one output, else `json`, with the reply constrained and one call per prediction.

    Args:
        signature: a `dspy.Signature` class, or text such as `"question -> answer"`.
        callbacks: DSPy callbacks of this predictor.
        **config: request options of this predictor, such as `temperature` or `max_tokens`.

    Raises:
        SignatureError: the text cannot be parsed, or DSPy reserves the name of a field.
        UsageError: an option has a value that a request cannot have.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> with dspy.context(lm=ts.ScriptedLM("4")):
        ...     ts.Predict("question -> answer: int")(question="2 + 2?").answer
        4
    """

    def __init__(self, signature: Any, callbacks: list[Any] | None = None, **config: Any) -> None:
        for name in _ELSEWHERE.keys() & config.keys():  # DSPy would take it for a request option
            raise UsageError(f"{_ELSEWHERE[name]}. Given: {name}={shown(config[name])}.")
        check_values(config)
        super().__init__(as_signature(signature), callbacks, **config)

    @plain_forward
    def forward(self, **kwargs: Any) -> Any:
        """Predict; called by `__call__`."""
        _check_call(kwargs)
        own = caller_adapter()
        adapter = self.chosen_format(kwargs) if own is None else own
        prediction = predicted(self, adapter, kwargs)
        if prediction is not None:
            return prediction
        if own is not None:
            return super().forward(**kwargs)  # type: ignore[no-untyped-call]
        with context(adapter=adapter):
            return super().forward(**kwargs)  # type: ignore[no-untyped-call]

    async def aforward(self, **kwargs: Any) -> Any:
        """Predict asynchronously; called by `acall`."""
        _check_call(kwargs)
        if caller_adapter() is not None:
            return await super().aforward(**kwargs)  # type: ignore[no-untyped-call]
        with context(adapter=self.chosen_format(kwargs)):
            return await super().aforward(**kwargs)  # type: ignore[no-untyped-call]

    def dump_state(self, json_mode: bool = True) -> dict[str, Any]:  # noqa: FBT001, FBT002 - DSPy's signature
        """Return DSPy's state, with the request options and the format of this predictor."""
        return with_settings(self, super().dump_state(json_mode))  # type: ignore[no-untyped-call]

    def load_state(self, state: dict[str, Any], *, allow_unsafe_lm_state: bool = False) -> "Predict":
        """Load a state that `dump_state` of any predictor returned. A state of plain DSPy does not change the format.

        Raises:
            UsageError: the state names an unknown format.
        """
        before = self.config
        super().load_state(state, allow_unsafe_lm_state=allow_unsafe_lm_state)
        settle(self, before, state)
        return self

    def chosen_format(self, kwargs: dict[str, Any]) -> Any:
        """Return the default format of a call with these arguments."""
        given = kwargs.get("signature")
        signature = signature_of(self) if given is None else as_signature(given)
        demos = kwargs.get("demos", self.demos)
        if not demos:
            return get_format(formats.default_format(signature))
        values = list(map(values_of, demos))
        known = _CHOSEN.get(signature)
        if known is None or known[0] != values:
            empty = [demo for demo in demos if _has_empty_text(demo)]
            known = _CHOSEN[signature] = (
                [dict(one) for one in values],
                get_format(formats.default_format(signature, empty)),
            )
        return known[1]


_CHOSEN: WeakKeyDictionary[type[Signature], tuple[list[dict[str, Any]], Any]] = WeakKeyDictionary()
"""The last demos of a signature and their format: most calls have the same demos as the call before."""


def _has_empty_text(demo: Any) -> bool:
    """Return whether a demo has an empty text, which the default format may not carry."""
    values = values_of(demo).values()
    return any(type(value) is str and (not value or value.isspace()) for value in values)


_OF_A_CALL: Mapping[str, tuple[type | tuple[type, ...], str]] = {
    "config": (Mapping, "a mapping of request options, as in `config={'temperature': 0.5}`"),
    "demos": ((list, tuple), "a list of examples"),
    "lm": (BaseLM, "a model, as in `lm=ts.lm('embedded')`"),
}


def _check_call(kwargs: Mapping[str, Any]) -> None:
    """Check the arguments of a call that are not inputs.

    Raises:
        UsageError: one has a wrong type.
    """
    for name, (kind, words) in _OF_A_CALL.items():
        value = kwargs.get(name)
        if value is not None and not isinstance(value, kind):
            raise UsageError(f"`{name}` of a call must be {words}. Given: {shown(value)}.")


class ChainOfThought(DspyChainOfThought):
    """Reason in words first, then give the outputs. The reasoning is an output field, `reasoning`.

    The same as `dspy.ChainOfThought` (Wei et al. 2022, "Chain-of-Thought Prompting", zero-shot form), with tunesmith's
    `Predict` inside.

    Args:
        signature: a `dspy.Signature` class, or text such as `"question -> answer"`.
        **config: request options, such as `temperature` or `max_tokens`.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> with dspy.context(lm=ts.ScriptedLM('{"reasoning": "Two and two.", "answer": "4"}')):
        ...     found = ts.ChainOfThought("question -> answer")(question="2 + 2?")
        >>> found.reasoning, found.answer
        ('Two and two.', '4')
    """

    def __init__(self, signature: Any, **config: Any) -> None:
        super().__init__(as_signature(signature), **config)
        self.predict = Predict(signature_of(self.predict), **self.predict.config)
