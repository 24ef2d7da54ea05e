"""Find or rebuild the program of an artifact, without running code that the caller did not allow."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields as fields_of
from types import MappingProxyType
from typing import Annotated, Any, get_args, get_origin

from tunesmith.artifacts.fitting import check_structure, check_tools, warn_of_arguments
from tunesmith.artifacts.folder import LARGEST, MANIFEST
from tunesmith.artifacts.frozen import freeze, frozen_modules, frozen_predictors
from tunesmith.artifacts.schema import is_class_name
from tunesmith.artifacts.typetext import canonical, parse_type
from tunesmith.errors import ArtifactError, UsageError, shown
from tunesmith.lm import is_portable
from tunesmith.modules import (
    ChainOfThought,
    DspyPredict,
    Module,
    Predict,
    copy_program,
    find_class,
    find_module,
    missing_functions,
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

__all__ = ["BY_NAME", "describe_program", "find_program", "note_on_loading"]

BY_NAME = "`allow=('my_module:program',)` in Python, `--allow my_module:program` on the command line"
"""How a program is named that an artifact does not hold."""

_MAIN = "__main__"

# DSPy's chain of thought, the parent of ours; `modules` does not export it.
(_DspyChainOfThought,) = ChainOfThought.__bases__

_PLAIN: dict[str, Callable[..., Any]] = {
    f"{kind.__module__}:{kind.__qualname__}": kind
    for kind in (ChainOfThought, Predict, _DspyChainOfThought, DspyPredict)
}


def describe_program(program: Module, frozen: Mapping[str, Mapping[str, Any]] = MappingProxyType({})) -> dict[str, Any]:
    """Return the manifest's `program`: its class and arguments, its predictors, frozen parts and tools.

    `rebuildable` tells whether this is enough to build the program: a `Predict` or `ChainOfThought` of tunesmith or
    DSPy with simple types and no defaults, or a registered module around them.

    Args:
        program: the program.
        frozen: the candidate of each frozen part, as JSON, by its path.

    Raises:
        UsageError: the arguments of its modules are more than an artifact may hold.
    """
    from tunesmith.modules import program_tools  # here, because a load does not describe the program

    found = {"spec": None, **program_structure(program)}
    _check_size(found["spec"])
    found["predictors"] = _described(program)
    found["frozen"] = {
        path: {"predictors": _described(part), "candidate": frozen.get(path)}
        for path, part in frozen_modules(program).items()
    }
    found["tools"] = program_tools(program)
    found["rebuildable"] = _is_rebuildable(program, found)
    return found


def _check_size(spec: Any) -> None:
    """Refuse a corpus that no artifact holds, before a compile is paid and not when it is saved."""
    size = len(json.dumps(spec, ensure_ascii=False, default=str).encode(errors="surrogatepass"))
    if size > LARGEST[MANIFEST]:
        raise UsageError(
            f"The program has {size / 2**20:.2f} MiB of texts, and an artifact holds {LARGEST[MANIFEST] // 2**20}. "
            "Keep the corpus in a file of its own, `corpus = corpus.save(path)`, and make the search of that one."
        )


def _described(program: Module) -> dict[str, Any]:
    found: dict[str, Any] = program_structure(program)["predictors"]
    for path, predictor in program.named_predictors():
        entry = found[path]
        # The instruction is part of the candidate.
        del entry["signature"]["instructions"]
        entry["config"] = _carried(predictor.config)
        entry["decisions"] = dict(predictor.fields)
    return found


def note_on_loading(program: Module) -> str | None:
    """Return advice for loading `program` if its class name is not enough, else `None`."""
    described = describe_program(program)
    why = None if described["rebuildable"] else why_not_importable(program)
    if why is None:
        return None
    name = type(program).__name__
    return (
        f"The artifact cannot be loaded by the name of its class `{name}`: {why}. Load it with "
        f"`ts.load(folder, program=...)` and a program like this one. For the command line, define the program at "
        "the top level of a module, and name it, as in `--allow my_module:program`."
    )


def _carried(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a predictor's request options, or `None` if an artifact cannot store all of them."""
    if all(is_portable(name, value) for name, value in config.items()):
        return dict(config)
    return None


def _is_rebuildable(program: Module, found: Mapping[str, Any]) -> bool:
    parts = (found, *found["frozen"].values())
    if any(entry["config"] is None for part in parts for entry in part["predictors"].values()):
        return False
    modules = (program, *frozen_modules(program).values())
    if any(_has_defaults(predictor) for module in modules for _, predictor in module.named_predictors()):
        return False
    try:
        made = _rebuilt({**found, "rebuildable": True}, {}, "The program")
        # Compare types, not texts: a user's class may be named `str`, and a validator has no text.
        return _shape_of(program_structure(made)) == _shape_of(found) and _types(made) == _types(program)
    except (ValueError, ArtifactError):
        return False


def _has_defaults(predictor: DspyPredict) -> bool:
    return not all(info.is_required() for info in signature_of(predictor).fields.values())


def _types(program: Module) -> dict[tuple[str, str], Any]:
    modules = {"": program, **frozen_modules(program)}
    signatures = {
        (place, path): signature_of(predictor)
        for place, module in modules.items()
        for path, predictor in module.named_predictors()
    }
    return {
        path: (
            [(name, canonical(kind)) for name, kind in (input_types(signature) | output_types(signature)).items()],
            [_noted(info) for info in signature.fields.values()],
        )
        for path, signature in signatures.items()
    }


def _noted(info: Any) -> Any:
    """Return the bounds of a field in words, which DSPy's own format shows."""
    return (info.json_schema_extra or {}).get("constraints")


def _shape_of(structure: Mapping[str, Any]) -> Any:
    predictors = structure["predictors"].items()
    found = [(path, one["class"], one["fingerprint"]) for path, one in predictors]
    return structure["class"], structure.get("spec"), found


def find_program(
    described: Mapping[str, Any],
    program: Module | Callable[[], Any] | None,
    allow: Sequence[str],
    where: str,
    instructions: Mapping[str, str] = MappingProxyType({}),
) -> Module:
    """Return a program of the manifest's class: the caller's, a rebuilt one, or an allowed import.

    Args:
        described: the manifest's `program`.
        program: an instance, or a class or function to call without arguments.
        allow: `module:name` of classes and functions that may be imported and called without arguments, and of
            programs that may be imported.
        where: the artifact, for messages.
        instructions: for a rebuilt program, by predictor path; without one it is empty.

    Returns:
        the program, whose parts are frozen as the artifact's are; the caller's own is not changed.

    Raises:
        ArtifactError: no program is available, or its structure differs from the artifact's.
        UsageError: `program` or `allow` has a wrong type.
    """
    allowed = _checked_allow(allow)
    name = described["class"]
    if program is not None:
        made = program if isinstance(program, Module) else _called(program, "What is given as `program=`")
    elif described["rebuildable"]:
        rebuilt = _rebuilt_as_described(described, where, instructions)
        lacks = bool(allowed) and bool(missing_functions(rebuilt))
        made = _offered(described, allowed, where, rebuilt) if lacks else rebuilt
        if made is rebuilt:
            return rebuilt
    elif (usable := _usable(name, allowed)) is not None:
        made = _called(_imported(usable), f"The allowed class {usable!r}")
    else:
        made = _offered(described, allowed, where)
    made = _checked(made, described, where)
    check_tools(made, described, where)
    warn_of_arguments(made, described, where)
    return made


def _checked(made: Module, described: Mapping[str, Any], where: str) -> Module:
    """Return the program with the artifact's frozen parts, if it has the same predictors."""
    if described["frozen"]:
        made = freeze(copy_program(made), described, where)
    check_structure(made, described, where)
    return made


def _rebuilt_as_described(described: Mapping[str, Any], where: str, instructions: Mapping[str, str]) -> Module:
    made = _rebuilt(described, instructions, where)
    check_structure(made, described, where)
    if described["spec"] is not None and program_structure(made).get("spec") != described["spec"]:
        raise ArtifactError(
            f"{where} has arguments that its class {described['class']!r} does not take. Pass the program itself with "
            "`program=`, or compile again."
        )
    return made


def _needed(described: Mapping[str, Any], where: str) -> str:
    """Return what to do about a program that can be neither rebuilt nor imported."""
    name = described["class"]
    call = f"`ts.load(..., program={name.rpartition(':')[2].rpartition('.')[2]}(...))`"
    if name not in _PLAIN and find_module(name) is None:
        return (
            f"{where} needs the class {name!r}, which is not imported without permission. Pass the program itself, "
            f"{call}{_hint(name)}."
        )
    tools = sorted({tool["name"] for tools in described["tools"].values() for tool in tools})
    held = f"the tools {', '.join(tools)}" if tools else "types, defaults, options or functions of your own"
    return f"{where} has {held}, which no artifact holds. Pass the program with them, {call}, or name it: {BY_NAME}."


def _usable(name: str, allowed: Sequence[str]) -> str | None:
    """Return the name in `allowed` that means the class `name`.

    The same class may have two names: a script of a package run as a file (`three:Triage`) or imported
    (`shop.three:Triage`), or a class saved as part of `__main__`.
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
        return f", or allow its class by its import name, as in `--allow my_module:{local}`"
    return (
        f", or allow the import with `allow=({name!r},)` in Python, or `--allow {name}` on the command line, in the "
        "folder of that module"
    )


def _checked_allow(allow: object) -> tuple[str, ...]:
    if isinstance(allow, str) or not isinstance(allow, Sequence):
        raise UsageError(f"`allow` must be a list of names of the form `module:name`. Given: {shown(allow)}.")
    for name in allow:
        if not isinstance(name, str) or not is_class_name(name):
            raise UsageError(f"A name in `allow` must have the form `module:name`. Given: {shown(name)}.")
    return tuple(allow)


def _imported(name: str) -> type[Module]:
    try:
        found = find_class(name)
    except (Exception, SystemExit) as error:  # an imported module may raise anything
        raise ArtifactError(
            f"The allowed class {name!r} cannot be imported: {error!r}. Make its module importable, or pass the "
            "program itself with `program=`."
        ) from error
    if not isinstance(found, type) or not issubclass(found, Module):
        raise ArtifactError(f"The allowed class {name!r} is not a `dspy.Module`: {shown(found)}.")
    return found


def _offered(
    described: Mapping[str, Any], allowed: Sequence[str], where: str, otherwise: Module | None = None
) -> Module:
    """Return the program among the allowed names that fits, else `otherwise`, else the first one.

    Raises:
        ArtifactError: none is a program.
    """
    problems = list[str]()
    for made in _programs(allowed, problems):
        try:
            return _checked(made, described, where)
        except ArtifactError:
            otherwise = made if otherwise is None else otherwise
    if otherwise is None:
        raise ArtifactError(" ".join([_needed(described, where), *problems]))
    return otherwise


def _programs(allowed: Sequence[str], problems: list[str]) -> Iterator[Module]:
    """Yield the programs among the allowed names, no classes; what cannot be imported is added to `problems`."""
    for name in allowed:
        try:
            found = find_class(name)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - it may be of another artifact
            problems.append(f"The allowed {name!r} cannot be imported: {error!r}.")
            continue
        if isinstance(found, Module):
            yield found
        elif not isinstance(found, type):
            yield _called(found, f"The allowed {name!r}")


def _called(make: Any, title: str) -> Module:
    if not callable(make):
        raise UsageError(f"{title} must be a program, or a class or function that returns one. Given: {shown(make)}.")
    try:
        made = make()
    except (Exception, SystemExit) as error:  # user code may raise anything
        raise ArtifactError(
            f"{title} cannot be called without arguments: {error!r}. Create the program and pass it with `program=`."
        ) from error
    if not isinstance(made, Module):
        raise UsageError(f"{title} did not return a `dspy.Module`. Given: {shown(made)}.")
    return made


def _rebuilt(described: Mapping[str, Any], instructions: Mapping[str, str], where: str) -> Module:
    name = described["class"]
    try:
        predictors = {
            path: (_signature(one["signature"], instructions.get(path, "")), one["config"])
            for path, one in (*described["predictors"].items(), *frozen_predictors(described))
        }
        if described["spec"] is not None:
            return freeze(_module(described, predictors), described, where)
        ((path, made),) = predictors.items()  # a ValueError if there are several
        return _predictor(name, path, *made)
    except Exception as error:  # for arguments of any kind, constructors and pydantic raise anything
        raise ArtifactError(
            f"A program of the class {name!r} cannot be built from its manifest: {str(error).rstrip('.')}. Or pass the "
            "program itself with `program=`."
        ) from error


def _module(
    described: Mapping[str, Any], predictors: Mapping[str, tuple[type[Signature], Mapping[str, Any]]]
) -> Module:
    """Return a registered module, built from its arguments."""
    kind = find_module(described["class"])
    if kind is None:
        raise TypeError(f"there is no module {described['class']}")
    arguments = {}
    for name, argument in described["spec"].items():
        if argument.get("spec") is not None:
            arguments[name] = _module(argument, predictors)
        elif argument.get("path") is not None:
            # The predictor of a `ChainOfThought` at `step` is at `step.predict`.
            inside = [
                path for path in predictors if path == argument["path"] or path.startswith(argument["path"] + ".")
            ]
            if not inside:
                raise ValueError(f"`{argument['path']}` is a {argument['class']}, which cannot be rebuilt")
            path = inside[0]
            within = path[len(argument["path"]) + 1 :] or "self"
            arguments[name] = _predictor(argument["class"], within, *predictors[path])
        else:
            arguments[name] = argument["value"]
    return kind(**arguments)


def _predictor(name: str, path: str, signature: type[Signature], config: Mapping[str, Any]) -> Module:
    """Return a `Predict` or `ChainOfThought` whose own predictor is at `path`."""
    if name not in _PLAIN:
        raise TypeError(f"{name} is neither `Predict` nor `ChainOfThought`")
    program: Module = _PLAIN[name](signature, **config)
    # A chain of thought adds a second `reasoning` to the signature, so set the original signature again.
    dict(program.named_predictors())[path].signature = signature
    return program


def _signature(described: Mapping[str, Any], instruction: str = "") -> type[Signature]:
    """Return the signature that a manifest describes.

    Raises:
        ValueError, TypeError, NameError: the fields are not a valid signature.
    """
    made = {}
    for field in described["fields"]:
        make: Any = InputField if field["role"] == "input" else OutputField
        options = {} if field["desc"] is None else {"desc": field["desc"]}
        kind = parse_type(field["type"])
        if get_origin(kind) is Annotated:  # DSPy notes bounds in the field that declares them
            kind, *bounds = get_args(kind)
            options |= {part.name: getattr(bound, part.name) for bound in bounds for part in fields_of(bound)}
        made[field["name"]] = (kind, make(**options))
    build: Any = Signature  # called, it gives a class
    found: type[Signature] = build(made, instruction, described["name"])
    return found
