"""The types of a program's inputs and outputs in JSON, as a service and its documentation have them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, NotRequired, get_args, get_origin

from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.config import ExtraValues
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from typing_extensions import TypedDict

from tunesmith.errors import UsageError, shown
from tunesmith.formats import history_field
from tunesmith.modules.inputs import ProgramInputs, program_inputs
from tunesmith.modules.module import DspyChainOfThought, DspyPredict, Module, signature_of
from tunesmith.signatures import Signature, field_description, output_types, to_json_value

__all__ = ["Chat", "Contract", "typed_object"]


class Chat(NamedTuple):
    """The fields of a program that answers as a chat model.

    Attributes:
        asked: the text input.
        answer: the text output.
        history: the input that takes the turns before, `None` without one.
    """

    asked: str
    answer: str
    history: str | None


@dataclass(frozen=True)
class Contract:
    """What a program takes and returns.

    Attributes:
        inputs: a typed dictionary; its values are passed to the program. An input with a default, and one that may be
            `None`, may be left out; then the program is called without it.
        outputs: a typed dictionary. A module around its steps may leave an output out or have `None` for it, as one
            that abstains, and may return more.
        right: a typed dictionary of right outputs: those that a row of data has to have are required, so not the
            reasoning.
        chat: the fields of a program that answers as a chat model, else `None`.
    """

    inputs: Any
    outputs: Any
    right: Any
    chat: Chat | None

    @classmethod
    def of(cls, program: Module, name: str, *, longest: int) -> "Contract":
        """Return the contract of `program`.

        Args:
            program: to be served.
            name: begins the names of the types.
            longest: most characters of a text input whose field says nothing of it.

        Raises:
            UsageError: the inputs cannot be determined, or have a type that no JSON value has.
        """
        found = program_inputs(program)
        # Of a predictor: what it replies is what the program returns, and no more and no less.
        certain = found.exact and isinstance(program, DspyPredict | DspyChainOfThought)
        signature = _whole_signature(program) if certain else found.signature
        entries = _input_entries(found, longest)
        inputs = _typed(f"{name}Inputs", entries, "forbid")
        _check_known(inputs, entries)
        results = [] if signature is None else _output_entries(signature, certain=certain)
        outputs = _typed(f"{name}Outputs", results, None if found.exact else "allow")
        labels = frozenset[str]()
        if found.signature is not None:
            labels = frozenset(key for key, info in found.signature.output_fields.items() if _is_required(info))
        right = [] if signature is None else _output_entries(signature, certain=True)
        right = [(key, kind, key in labels) for key, kind, _ in right]
        if right and not certain and "reasoning" not in {key for key, _, _ in right} and _reasons(program):
            right.append(("reasoning", Any, False))
        rights = _typed(f"{name}RightOutputs", right, None if right else "allow")
        return cls(inputs, outputs, rights, None if found.signature is None else _chat(found.signature))


def _reasons(program: Module) -> bool:
    """Return whether a step of the program has a chain of thought, which a right answer may have too."""
    return any("reasoning" in signature_of(one).output_fields for _, one in program.named_predictors())


def _whole_signature(program: Module) -> type[Signature]:
    """Return the signature of the one predictor, with the reasoning that a chain of thought adds."""
    return signature_of(program if isinstance(program, DspyPredict) else program.named_predictors()[0][1])


Entry = tuple[str, Any, bool]
"""A name, its type and whether it has to be there."""


def _input_entries(inputs: ProgramInputs, longest: int) -> list[Entry]:
    if inputs.signature is None:
        return [(name, *entry) for name, entry in inputs.parameters.items()]
    infos: Mapping[str, FieldInfo] = inputs.signature.input_fields
    return [
        (name, _with_default(_described(_bounded(kind, longest), infos[name]), infos[name]), required)
        for name, (kind, required) in inputs.parameters.items()
    ]


def _output_entries(signature: type[Signature], *, certain: bool) -> list[Entry]:
    infos: Mapping[str, FieldInfo] = signature.output_fields
    return [
        (name, _described(kind if certain else kind | None, infos[name]), certain)
        for name, kind in output_types(signature).items()
    ]


def _bounded(kind: Any, longest: int) -> Any:
    """Return a text type that says how long a text may be."""
    inner, *limits = get_args(kind) if get_origin(kind) is Annotated else (kind,)
    if inner is not str or any(getattr(limit, "max_length", None) is not None for limit in limits):
        return kind
    return Annotated[kind, Field(max_length=longest)]


def _described(kind: Any, info: FieldInfo) -> Any:
    text = field_description(info)
    return kind if text is None else Annotated[kind, Field(description=text)]


def _with_default(kind: Any, info: FieldInfo) -> Any:
    """Return the type with its default for readers of the schema; a program fills it in by itself."""
    if info.default is PydanticUndefined:
        return kind
    try:
        return Annotated[kind, Field(json_schema_extra={"default": to_json_value(info.default)})]
    except (TypeError, ValueError, RecursionError):
        return kind


def _is_required(info: FieldInfo) -> bool:
    return info.default is PydanticUndefined and info.default_factory is None


def _typed(name: str, entries: Iterable[Entry], extra: ExtraValues | None = None) -> Any:
    kinds = {key: kind if required else NotRequired[kind] for key, kind, required in entries}
    return typed_object(name, kinds, extra)


def typed_object(name: str, kinds: Mapping[str, Any], extra: ExtraValues | None = None) -> Any:
    """Return the type of an object with these keys; `extra` says whether it may have others.

    It is a typed dictionary, because a field may have any name, also one that a pydantic model uses itself.
    """
    make: Any = TypedDict
    made = make(name, dict(kinds))
    if extra is not None:
        made.__pydantic_config__ = ConfigDict(extra=extra)
    return made


def _check_known(inputs: Any, entries: Iterable[Entry]) -> None:
    try:
        TypeAdapter(inputs).json_schema()
    except Exception as error:
        for name, kind, _ in entries:
            try:
                TypeAdapter(kind).json_schema()
            except Exception:  # noqa: BLE001 - a user's type may raise anything
                raise UsageError(
                    f"The input `{name}` has the type {shown(kind)}, which no JSON value has, so the program cannot "
                    "be served. Take a text, a number, a list or a pydantic model instead."
                ) from error
        raise UsageError("The inputs of the program have no JSON schema, so it cannot be served.") from error


def _chat(signature: type[Signature]) -> Chat | None:
    """Return the fields of a program with one text input and one text output, and maybe a history."""
    history = history_field(signature)
    inputs = {name: info for name, info in signature.input_fields.items() if name != history}
    outputs = signature.output_fields
    if len(inputs) != 1 or len(outputs) != 1:
        return None
    (asked, info), (answer, other) = *inputs.items(), *outputs.items()
    return Chat(asked, answer, history) if info.annotation is str and other.annotation is str else None
