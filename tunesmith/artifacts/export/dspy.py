"""`dspy`: a state file and the Python file that loads it, for plain DSPy."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import fields as fields_of
from pathlib import Path
from types import UnionType
from typing import Any, ClassVar, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen, MultipleOf

from tunesmith.artifacts.export._source import Source
from tunesmith.artifacts.export._target import Export, Exported, register_export
from tunesmith.artifacts.state import program_state, write_state
from tunesmith.artifacts.typetext import IMPORTED, canonical, parse_type
from tunesmith.errors import UsageError
from tunesmith.modules import (
    Candidate,
    ChainOfThought,
    DspyChainOfThought,
    DspyPredict,
    Module,
    Predict,
    bound_format,
    signature_of,
)
from tunesmith.signatures import NAMED_TYPES, Signature, field_description, input_types, output_types, type_text

__all__ = ["Dspy"]

_KINDS: dict[type[Any], str] = {
    Predict: "Predict",
    DspyPredict: "Predict",
    ChainOfThought: "ChainOfThought",
    DspyChainOfThought: "ChainOfThought",
}
_BOUNDS = (Ge, Gt, Le, Lt, MaxLen, MinLen, MultipleOf)
_MODULES = sorted({kind.__module__ for kind in IMPORTED.values()})
_FILE = '''\
"""{title} for plain DSPy.

    import dspy
    from program import program

    dspy.configure(lm=dspy.LM("..."))
    program({inputs})
"""

{imports}from pathlib import Path
from typing import Literal

import dspy

__all__ = ["program"]


class {name}(dspy.Signature):
    {instructions}

{fields}


program = dspy.{kind}({name})
program.load(Path(__file__).with_name("state.json"))
'''


@register_export
@dataclass(frozen=True)
class Dspy(Export):
    """A state file and the Python file that loads it, for plain DSPy."""

    name: ClassVar[str] = "dspy"

    def files(self, source: Source) -> Exported:
        """Return `program.py` and `state.json`."""
        program = source.program
        kind = _KINDS.get(type(program))
        if kind is None:
            raise UsageError(
                f"Plain DSPy has no `{type(program).__name__}`. This target carries a `Predict` or a `ChainOfThought`. "
                "A program of your own class loads its artifact's `state.json` itself: `program.load(...)`."
            )
        source.check_fixed()
        ((_, predictor),) = program.named_predictors()
        signature: Any = signature_of(predictor)
        if kind == "ChainOfThought":
            signature = signature.delete("reasoning")  # DSPy adds it
        fields = "\n".join(_fields(signature))
        # Under another name, because a field may have the module's.
        modules = [module for module in _MODULES if f"_{module}." in fields]
        text = _FILE.format(
            imports="".join(f"import {module} as _{module}\n" for module in modules),
            title=source.title.replace("\\", " ").replace('"', " "),
            inputs=", ".join(f"{name}=..." for name in input_types(signature)),
            name="Task",
            instructions=repr(signature.instructions),
            fields=fields,
            kind=kind,
        )
        return Exported({"program.py": text, "state.json": _state(program)}, tuple(_notes(source, predictor)))


def _notes(source: Source, predictor: DspyPredict) -> Iterator[str]:
    chosen = bound_format(predictor)
    if chosen != "chat":
        yield (
            f"Plain DSPy sends its own format instead of `{chosen}`, so the scores may be others. Compile with "
            "`formats=['chat']` for the same messages."
        )
    yield from source.notes


def _fields(signature: type[Signature]) -> Iterator[str]:
    infos: Any = signature.fields
    sides = (("InputField", input_types(signature)), ("OutputField", output_types(signature)))
    for kind, types in sides:
        for name, annotation in types.items():
            written, bounds = _written(name, annotation)
            desc = field_description(infos[name])
            given = [] if desc is None else [f"desc={desc!r}"]
            given += [f"{bound}={value!r}" for bound, value in bounds.items()]
            yield f"    {name}: {written} = dspy.{kind}({', '.join(given)})"


def _written(name: str, annotation: Any) -> tuple[str, dict[str, Any]]:
    """Return a type as Python writes it, and its bounds."""
    inner, marks = annotation, tuple(getattr(annotation, "__metadata__", ()))
    if marks:
        inner = annotation.__origin__
    text = type_text(inner)
    try:
        same = canonical(parse_type(text)) == canonical(inner)
        simple = same and all(isinstance(mark, _BOUNDS) for mark in marks) and "(" not in text
    except ValueError:
        simple = False
    if not simple:
        raise UsageError(
            f"The field `{name}` has the type `{type_text(annotation)}`, which this target cannot write. It carries "
            "texts, numbers, truth values, labels, dates, and lists and dicts of these. With your own class, load the "
            "artifact's `state.json` by `program.load(...)`."
        )
    return _python(inner), {field.name: getattr(mark, field.name) for mark in marks for field in fields_of(mark)}


def _python(kind: Any) -> str:
    """Return a type as the file writes it."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is Union or origin is UnionType:
        return " | ".join(map(_python, args))
    if args and origin is not Literal:
        return f"{_python(origin)}[{', '.join(map(_python, args))}]"
    if kind in NAMED_TYPES:
        return f"dspy.{kind.__name__}"
    found = type_text(kind)
    return f"_{kind.__module__}.{found}" if found in IMPORTED else found


def _state(program: Module) -> str:
    candidate = Candidate.of(program)
    state = program_state(candidate.apply(program), candidate.to_json())
    with tempfile.TemporaryDirectory() as folder:  # DSPy itself writes it, to a file
        file = Path(folder) / "state.json"
        write_state(file, state)
        return file.read_text(encoding="utf-8")
