"""The inputs of a program: its signature, or only their names."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic.fields import FieldInfo

from tunesmith.errors import UsageError
from tunesmith.modules.module import Module
from tunesmith.modules.registry import spec_of
from tunesmith.signatures import Signature, input_types, takes_none

__all__ = ["ProgramInputs", "program_inputs"]

_OURS = ("dspy", "tunesmith")
_NONE = object()


@dataclass(frozen=True, slots=True)
class ProgramInputs:
    """The inputs of a program.

    Attributes:
        names: of the input fields.
        signature: the types of inputs and labels, `None` if only the names are known.
        exact: whether the program passes its inputs unchanged to the signature's predictor and returns its prediction.
            That is unknown for the caller's own classes.
        forward: the method that is called with the inputs, if its parameters name them; else `None`.
    """

    names: tuple[str, ...]
    signature: type[Signature] | None = None
    exact: bool = False
    forward: Callable[..., Any] | None = None

    @property
    def parameters(self) -> dict[str, tuple[Any, bool]]:
        """The type of each input, `Any` if nothing says it, and whether it has to be given.

        That is not so of one that has a default, or may be `None` as its type says.
        """
        if self.signature is not None:
            infos: Mapping[str, FieldInfo] = self.signature.input_fields
            return {
                name: (kind, infos[name].is_required() and (kind is Any or not takes_none(self.signature, name)))
                for name, kind in input_types(self.signature).items()
            }
        known = {} if self.forward is None else _declared(self.forward).parameters
        return {name: _parameter(known.get(name)) for name in self.names}

    @classmethod
    def of(cls, signature: type[Signature], *, exact: bool = False) -> "ProgramInputs":
        """Return the inputs that a signature declares."""
        return cls(tuple(input_types(signature)), signature, exact)

    def misfit(self, given: Mapping[str, Any]) -> str | None:
        """Return why `forward` cannot be called with these inputs, `None` if it can."""
        if self.forward is None:
            return None
        try:
            inspect.signature(self.forward).bind(None, **given)
        except TypeError as error:
            return str(error)
        return None


def program_inputs(program: Module) -> ProgramInputs:
    """Return the inputs of `program`.

    A program with one signature (a predictor, a chain of thought, `dspy.ReAct`) has that signature's inputs and types,
    without the reasoning that a chain of thought adds. A module of tunesmith around a step has the step's inputs. Any
    other program has the parameters of its `forward`.

    Raises:
        UsageError: the inputs cannot be determined.
    """
    spec, own = spec_of(program), getattr(program, "signature", _NONE)
    step = (spec or {}).get("step")
    if isinstance(step, Module) and own is _NONE:
        return program_inputs(step)
    kind = type(program)  # DSPy logs a warning if `forward` is looked up on the instance
    forward = getattr(kind, "forward", None) or getattr(kind, "aforward", None)
    exact = getattr(forward, "__module__", "").split(".")[0] in _OURS
    named = () if forward is None else _parameters(forward)
    if isinstance(own, type) and issubclass(own, Signature) and (exact or not named):
        return ProgramInputs.of(own, exact=exact)
    if named:
        return ProgramInputs(named, forward=forward)
    predictors = program.named_predictors()
    if len(predictors) == 1 and (spec is None or own is _NONE):
        return ProgramInputs.of(_without_reasoning(predictors[0][1].signature), exact=exact)
    raise UsageError(
        f"The inputs of {type(program).__name__} are unknown. Give `forward` named parameters, or write "
        "`inputs = ['...']` under [data] in tunesmith.toml."
    )


def _declared(forward: Callable[..., Any]) -> inspect.Signature:
    """Return the parameters with their types, also if they are written as text; a text that names nothing stays one."""
    try:
        return inspect.signature(forward, eval_str=True)
    except Exception:  # noqa: BLE001 - a text may be anything
        return inspect.signature(forward)


def _parameter(parameter: inspect.Parameter | None) -> tuple[Any, bool]:
    if parameter is None:
        return Any, True
    kind = parameter.annotation
    known = kind is not parameter.empty and not isinstance(kind, str)
    return (kind if known else Any), parameter.default is parameter.empty


def _parameters(forward: Callable[..., Any]) -> tuple[str, ...]:
    parameters = list(inspect.signature(forward).parameters.values())[1:]
    return tuple(p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))


def _without_reasoning(signature: type[Signature]) -> type[Signature]:
    outputs = signature.output_fields
    if "reasoning" in outputs and len(outputs) > 1:
        return signature.delete("reasoning")
    return signature
