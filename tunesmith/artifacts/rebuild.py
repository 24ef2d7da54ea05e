"""A program to load an artifact into, without running code that nobody asked for."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tunesmith.artifacts.shape import CLASS_NAME
from tunesmith.artifacts.typetext import parse_type
from tunesmith.errors import ArtifactError, SignatureError, UsageError, shown
from tunesmith.lm import is_portable
from tunesmith.modules import (
    ChainOfThought,
    DspyPredict,
    Module,
    Predict,
    find_class,
    find_module,
    program_structure,
    signature_of,
    why_not_importable,
)
from tunesmith.signatures import (
    InputField,
    OutputField,
    Signature,
    input_types,
    output_types,
)

__all__ = ["check_structure", "describe_program", "find_program", "make_signature", "note_on_loading"]

_MAIN = "__main__"

# DSPy's own chain of thought is the parent of ours; `modules` does not name it.
(_DspyChainOfThought,) = ChainOfThought.__bases__

_PLAIN: dict[str, Callable[..., Any]] = {
    f"{kind.__module__}:{kind.__qualname__}": kind
    for kind in (ChainOfThought, Predict, _DspyChainOfThought, DspyPredict)
}


def describe_program(program: Module) -> dict[str, Any]:
    """Return the manifest's `program`: class, predictors with their signatures and own options.

    `rebuildable` says whether the program can be made from that alone: `Predict` or `ChainOfThought`, of tunesmith or
    DSPy, over simple types without defaults, or a registered module around them.
    """
    found = program_structure(program)
    for path, predictor in program.named_predictors():
        entry = found["predictors"][path]
        # The instruction belongs to the candidate, and is there.
        del entry["signature"]["instructions"]
        entry["config"] = _carried(predictor.config)
    found["rebuildable"] = _is_rebuildable(program, found)
    return found


def note_on_loading(program: Module) -> str | None:
    """Return what to know about loading `program` again, `None` if its name is enough."""
    described = describe_program(program)
    why = None if described["rebuildable"] else why_not_importable(program)
    if why is None:
        return None
    name = type(program).__name__
    return (
        f"The class `{name}` cannot be made from its name when the artifact is loaded: {why}. Load it with "
        f"`ts.load(folder, program=...)`, giving a program as you made this one; to use the command line, define it at "
        "the top of a module and make it without arguments."
    )


def _carried(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a predictor's request options, `None` where an artifact cannot carry them all."""
    if all(is_portable(name, value) for name, value in config.items()):
        return dict(config)
    return None


def _is_rebuildable(program: Module, found: Mapping[str, Any]) -> bool:
    if not all(_is_plain(predictor, found["predictors"][path]) for path, predictor in program.named_predictors()):
        return False
    try:
        return _shape_of(program_structure(_rebuilt({**found, "rebuildable": True}))) == _shape_of(found)
    except (ValueError, ArtifactError):
        return False


def _is_plain(predictor: DspyPredict, entry: Mapping[str, Any]) -> bool:
    signature = signature_of(predictor)
    defaults = [name for name, info in signature.fields.items() if not info.is_required()]
    # An empty `fields` is a predictor without DSPy's decision thresholds, which are in `state.json` only.
    if defaults or predictor.fields or entry["config"] is None:
        return False
    types = {**input_types(signature), **output_types(signature)}
    try:
        # Compared as types and not as texts: a class of the user may be called `str`, and a validator has no text.
        return all(parse_type(field["type"]) == types[field["name"]] for field in entry["signature"]["fields"])
    except (ValueError, ArtifactError):
        return False


def _shape_of(structure: Mapping[str, Any]) -> Any:
    predictors = structure["predictors"].items()
    found = [(path, one["class"], one["fingerprint"]) for path, one in predictors]
    return structure["class"], structure.get("spec"), found


def find_program(
    described: Mapping[str, Any],
    program: Module | Callable[[], Any] | None,
    allow: Sequence[str],
    where: str,
) -> Module:
    """Return a program of the manifest's class: the caller's, one rebuilt from its fields, or an allowed import.

    Args:
        described: the manifest's `program`.
        program: an instance, or a class or function that is called without arguments.
        allow: `module:Class` names that may be imported and called without arguments.
        where: the artifact, for messages.

    Raises:
        ArtifactError: there is no way to a program, or it is not of the artifact's structure.
        UsageError: `program` or `allow` is something else.
    """
    allowed = _checked_allow(allow)
    name = described["class"]
    if program is not None:
        made = program if isinstance(program, Module) else _called(program, "The function or class given as `program=`")
    elif described["rebuildable"]:
        made = _rebuilt(described)
    elif (usable := _usable(name, allowed)) is not None:
        made = _called(_imported(usable), f"The allowed class {usable!r}")
    else:
        raise ArtifactError(
            f"{where} is a program of the class {name!r}, and code is not imported unasked. Pass the program itself, "
            f"`ts.load(..., program={name.rpartition(':')[2].rpartition('.')[2]}(...))`{_hint(name)}."
        )
    check_structure(made, described, where)
    return made


def _usable(name: str, allowed: Sequence[str]) -> str | None:
    """Return the allowed name of the class `name`.

    A script of a package may be run as a file (`three:Triage`) and imported as a part of it (`shop.three:Triage`); and
    a class that was saved as `__main__`'s has another module by now.
    """
    module, _, local = name.partition(":")

    def same(one: str) -> bool:
        other, _, there = one.partition(":")
        return there == local and (module == _MAIN or other.rpartition(".")[2] == module)

    return next((one for one in (name, *allowed) if one in allowed and (one == name or same(one))), None)


def _hint(name: str) -> str:
    module, _, local = name.partition(":")
    if "<locals>" in name:
        return "; its class is defined inside a function and cannot be imported"
    if module == _MAIN:
        return f", or allow its class under the name it is imported by, as in `--allow my_module:{local}`"
    return (
        f", or allow the import with `allow=({name!r},)` in Python or `--allow {name}` on the command line, in the "
        "folder of that module"
    )


def _checked_allow(allow: object) -> tuple[str, ...]:
    if isinstance(allow, str) or not isinstance(allow, Sequence):
        raise UsageError(f"`allow` is a list of `module:Class` names. Given: {shown(allow)}.")
    for name in allow:
        if not isinstance(name, str) or CLASS_NAME.fullmatch(name) is None:
            raise UsageError(f"`allow` holds names of the form `module:Class`. Given: {shown(name)}.")
    return tuple(allow)


def _imported(name: str) -> type[Module]:
    try:
        found = find_class(name)
    except (Exception, SystemExit) as error:  # an import may run and raise anything
        raise ArtifactError(
            f"The allowed class {name!r} cannot be imported: {error!r}. Make its module importable, or pass the "
            "program itself with `program=`."
        ) from error
    if not isinstance(found, type) or not issubclass(found, Module):
        raise ArtifactError(f"The allowed class {name!r} is no `dspy.Module`: {shown(found)}.")
    return found


def _called(make: Any, title: str) -> Module:
    if not callable(make):
        raise UsageError(f"`program` is a program, or a class or function that makes one. Given: {shown(make)}.")
    try:
        made = make()
    except (Exception, SystemExit) as error:  # the caller's code may raise anything
        raise ArtifactError(
            f"{title} cannot be called without arguments: {error!r}. Make the program yourself and pass it with "
            "`program=`."
        ) from error
    if not isinstance(made, Module):
        raise UsageError(f"{title} gave no `dspy.Module`. Given: {shown(made)}.")
    return made


def check_structure(program: Module, described: Mapping[str, Any], where: str) -> None:
    """Check that `program` has the predictors of the manifest, with the same typed fields.

    Raises:
        ArtifactError: it has others; the message names them.
    """
    found = program_structure(program)["predictors"]
    wanted = described["predictors"]
    if set(found) != set(wanted):
        raise ArtifactError(
            f"{where} is for the predictors {', '.join(sorted(wanted))}; the program has "
            f"{', '.join(sorted(found)) or 'none'}. Pass the program it was compiled from, or compile again."
        )
    for path, predictor in wanted.items():
        if found[path]["fingerprint"] != predictor["fingerprint"]:
            raise ArtifactError(
                f"{where} was compiled for other fields at {path!r}: {_fields(predictor)}; the program has "
                f"{_fields(found[path])}. Pass the program it was compiled from, or compile again."
            )


def _fields(predictor: Mapping[str, Any]) -> str:
    texts = {"input": [], "output": []}  # type: dict[str, list[str]]
    for field in predictor["signature"]["fields"]:
        desc = "" if field["desc"] is None else f" ({field['desc']})"
        texts[field["role"]].append(f"{field['name']}: {field['type']}{desc}")
    return f"{', '.join(texts['input'])} -> {', '.join(texts['output'])}"


def _rebuilt(described: Mapping[str, Any]) -> Module:
    name, predictors = described["class"], described["predictors"]
    try:
        if described.get("spec") is not None:
            return _module(described, predictors)
        ((path, predictor),) = predictors.items()  # a ValueError if there are several
        return _predictor(name, path, predictor)
    except (ValueError, TypeError, KeyError, NameError, AttributeError, SignatureError, UsageError) as error:
        raise ArtifactError(
            f"A program of the class {name!r} cannot be made from its manifest: {error}. Pass the program itself with "
            "`program=`."
        ) from error


def _module(described: Mapping[str, Any], predictors: Mapping[str, Any]) -> Module:
    """Return a registered module, made of its arguments."""
    kind = find_module(described["class"])
    if kind is None:
        raise TypeError(f"there is no module {described['class']}")
    arguments = {}
    for name, argument in described["spec"].items():
        if argument.get("spec") is not None:
            arguments[name] = _module(argument, predictors)
        elif argument.get("path") is not None:
            # The predictor of a `ChainOfThought` at `step` is at `step.predict`.
            path = next(
                path for path in predictors if path == argument["path"] or path.startswith(argument["path"] + ".")
            )
            within = path[len(argument["path"]) + 1 :] or "self"
            arguments[name] = _predictor(argument["class"], within, predictors[path])
        else:
            arguments[name] = argument["value"]
    return kind(**arguments)


def _predictor(name: str, path: str, predictor: Mapping[str, Any]) -> Module:
    """Return a `Predict` or `ChainOfThought` whose own predictor is at `path`."""
    if name not in _PLAIN:
        raise TypeError(f"{name} is neither `Predict` nor `ChainOfThought`")
    full = make_signature(predictor["signature"]["fields"])
    program: Module = _PLAIN[name](full, **predictor["config"])
    # A chain of thought has put a second `reasoning` before ours, so the signature is set as it was.
    dict(program.named_predictors())[path].signature = full
    return program


def make_signature(fields: Sequence[Mapping[str, Any]], type_of: Callable[[str], Any] = parse_type) -> type[Signature]:
    """Return a signature of the manifest's fields, without an instruction; `type_of` makes a type of its text.

    Raises:
        ValueError, TypeError, NameError: the fields make no signature.
    """
    made = {}
    for field in fields:
        make: Any = InputField if field["role"] == "input" else OutputField
        options = {} if field["desc"] is None else {"desc": field["desc"]}
        made[field["name"]] = (type_of(field["type"]), make(**options))
    build: Any = Signature  # called, it gives a class
    found: type[Signature] = build(made, "")
    return found
