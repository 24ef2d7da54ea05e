"""The step that a module is made around, and the signatures of the predictors that help it."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import WithJsonSchema

from tunesmith.data import canonical_json
from tunesmith.errors import UsageError, shown
from tunesmith.modules.inputs import program_inputs
from tunesmith.modules.module import DspyPredict, Module, Prediction, signature_of
from tunesmith.modules.registry import is_registered, spec_of
from tunesmith.signatures import InputField, Signature, to_json_value

__all__ = ["as_text", "check_step", "outputs_of", "step_signature", "texts_type", "with_inputs"]


def check_step(step: Any, added: tuple[str, ...]) -> None:
    """Check a step whose prediction gets the fields `added`.

    Raises:
        UsageError: it is not a module, or its last predictor has an output of such a name.
    """
    if not isinstance(step, Module):
        raise UsageError(f"`step` must be a module, such as `ts.ChainOfThought(...)`. Given: {shown(step)}.")
    taken = set(outputs_of(step)) & set(added)
    if taken:
        raise UsageError(f"The step has an output `{min(taken)}`, which this module adds itself. Rename the output.")


def outputs_of(step: Module) -> list[str]:
    """Return the outputs of a step: those of its last predictor that it declares, else all that it declares.

    A module that declares none has those of the step that it is around; one of the user's own those of its last
    predictor, which is a guess.
    """
    predictors = step.named_predictors()
    last = list(signature_of(predictors[-1][1]).output_fields) if predictors else []
    declared, inner = getattr(step, "signature", None), (spec_of(step) or {}).get("step")
    if isinstance(declared, type) and issubclass(declared, Signature) and is_registered(step):
        return [name for name in last if name in declared.output_fields] or list(declared.output_fields)
    return outputs_of(inner) if isinstance(inner, Module) else last


def step_signature(step: Any) -> type[Signature]:
    """Return the signature of a step with one predictor: of the predictor, or of the step if that has other inputs.

    So that of a `ts.RAG` has no passages, which the RAG finds itself.

    Raises:
        UsageError: `step` is not a module, or has not one predictor.
    """
    predictors = step.named_predictors() if isinstance(step, Module) else []
    if len(predictors) != 1:
        raise UsageError(
            "`step` must be a predictor, such as `ts.ChainOfThought(...)`, or a module around one. "
            f"Given: {shown(step)}."
        )
    predictor: DspyPredict = predictors[0][1]
    found, inputs = signature_of(predictor), program_inputs(step)
    return inputs.signature if inputs.signature is not None and set(found.input_fields) - set(inputs.names) else found


def with_inputs(signature: type[Signature], instruction: str, **added: str) -> type[Signature]:
    """Return a signature with more text inputs (name and description) and another instruction.

    Raises:
        UsageError: the signature has a field of that name.
    """
    changed: Any = signature
    for name, desc in added.items():
        if name in signature.fields:
            raise UsageError(f"The step has a field `{name}`, but this module adds that field itself. Rename it.")
        changed = changed.append(name, InputField(desc=desc), str)
    made: type[Signature] = changed.with_instructions(instruction)
    return made


def texts_type(most: int, length: int = 200) -> Any:
    """Return `list[str]`, of which an engine that is held to a schema writes at least one and at most `most` texts.

    A small model goes on until the end of the reply. Other replies are read whatever they hold.
    """
    item = {"type": "string", "maxLength": length}
    return Annotated[list[str], WithJsonSchema({"type": "array", "minItems": 1, "maxItems": most, "items": item})]


def as_text(values: Mapping[str, Any] | Prediction) -> str:
    """Return values as lines `name: value`."""
    texts = {
        name: value if isinstance(value, str) else canonical_json(to_json_value(value))
        for name, value in values.items()
    }
    return "\n".join(f"{name}: {text}" for name, text in texts.items())
