"""What a program takes: the signature it stands for, or the names of its inputs."""

import inspect
from dataclasses import dataclass

from tunesmith.errors import UsageError
from tunesmith.modules import Module
from tunesmith.signatures import Signature, input_types

__all__ = ["ProgramInputs", "program_inputs"]


@dataclass(frozen=True, slots=True)
class ProgramInputs:
    """The inputs of a program.

    Attributes:
        names: of the input fields.
        signature: types them and the labels, `None` where only the names are known.
    """

    names: tuple[str, ...]
    signature: type[Signature] | None = None

    @classmethod
    def of(cls, signature: type[Signature]) -> "ProgramInputs":
        """Return the inputs that a signature declares."""
        return cls(tuple(input_types(signature)), signature)


def program_inputs(program: Module) -> ProgramInputs:
    """Return what `program` takes.

    A program that stands for one signature (a predictor, a chain of thought, `dspy.ReAct`) has its types, without the
    reasoning that a chain of thought adds; of any other the parameters of `forward` count.

    Raises:
        UsageError: the program does not say.
    """
    own = getattr(program, "signature", None)
    if isinstance(own, type) and issubclass(own, Signature):
        return ProgramInputs.of(own)
    forward = getattr(type(program), "forward", None)  # DSPy warns whoever looks it up in an instance
    parameters = [] if forward is None else list(inspect.signature(forward).parameters.values())[1:]
    names = tuple(p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))
    if names:
        return ProgramInputs(names)
    predictors = program.named_predictors()
    if len(predictors) == 1:
        return ProgramInputs.of(_without_reasoning(predictors[0][1].signature))
    raise UsageError(
        f"{type(program).__name__} does not say what its inputs are. Give `forward` named parameters, or write "
        "`inputs = ['...']` under [data] in tunesmith.toml."
    )


def _without_reasoning(signature: type[Signature]) -> type[Signature]:
    outputs = signature.output_fields
    if "reasoning" in outputs and len(outputs) > 1:
        return signature.delete("reasoning")
    return signature
