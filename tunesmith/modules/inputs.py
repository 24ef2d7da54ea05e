"""What a program takes: the signature it stands for, or the names of its inputs."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith.errors import UsageError
from tunesmith.modules.module import Module
from tunesmith.signatures import Signature, input_types

__all__ = ["ProgramInputs", "program_inputs"]

_OURS = ("dspy", "tunesmith")


@dataclass(frozen=True, slots=True)
class ProgramInputs:
    """The inputs of a program.

    Attributes:
        names: of the input fields.
        signature: types them and the labels, `None` where only the names are known.
        exact: whether the program passes on what it is given, and returns what the signature's predictor returned. Code
            of the caller's may do anything in between.
        forward: what is called with the inputs, where it names them; else `None`.
    """

    names: tuple[str, ...]
    signature: type[Signature] | None = None
    exact: bool = False
    forward: Callable[..., Any] | None = None

    @classmethod
    def of(cls, signature: type[Signature], *, exact: bool = False) -> "ProgramInputs":
        """Return the inputs that a signature declares."""
        return cls(tuple(input_types(signature)), signature, exact)

    def misfit(self, given: Mapping[str, Any]) -> str | None:
        """Return why `forward` cannot be called with these inputs, `None` where it can."""
        if self.forward is None:
            return None
        try:
            inspect.signature(self.forward).bind(None, **given)
        except TypeError as error:
            return str(error)
        return None


def program_inputs(program: Module) -> ProgramInputs:
    """Return what `program` takes.

    A program that stands for one signature (a predictor, a chain of thought, `dspy.ReAct`) has its types, without the
    reasoning that a chain of thought adds; of any other the parameters of `forward` count.

    Raises:
        UsageError: the program does not say.
    """
    kind = type(program)  # DSPy warns whoever looks a method up in an instance
    forward = getattr(kind, "forward", None) or getattr(kind, "aforward", None)
    exact = getattr(forward, "__module__", "").split(".")[0] in _OURS
    own = getattr(program, "signature", None)
    named = () if forward is None else _parameters(forward)
    if isinstance(own, type) and issubclass(own, Signature) and (exact or not named):
        return ProgramInputs.of(own, exact=exact)
    if named:
        return ProgramInputs(named, forward=forward)
    predictors = program.named_predictors()
    if len(predictors) == 1:
        return ProgramInputs.of(_without_reasoning(predictors[0][1].signature), exact=exact)
    raise UsageError(
        f"{type(program).__name__} does not say what its inputs are. Give `forward` named parameters, or write "
        "`inputs = ['...']` under [data] in tunesmith.toml."
    )


def _parameters(forward: Callable[..., Any]) -> tuple[str, ...]:
    parameters = list(inspect.signature(forward).parameters.values())[1:]
    return tuple(p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))


def _without_reasoning(signature: type[Signature]) -> type[Signature]:
    outputs = signature.output_fields
    if "reasoning" in outputs and len(outputs) > 1:
        return signature.delete("reasoning")
    return signature
