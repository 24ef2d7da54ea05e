"""Programs and metrics by name: `module:attr`, imported with the project's folder first, or declared without code.

Only names that the user wrote into a project file or an option come here; an artifact names nothing to import.
"""

import difflib
import importlib
import inspect
import sys
import tomllib
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from tunesmith import modules
from tunesmith.errors import UsageError, shown
from tunesmith.experiments.settings import ProgramSettings
from tunesmith.metrics import Metric, named_metrics
from tunesmith.modules import Module
from tunesmith.signatures import Signature, declared

__all__ = ["find_metric", "find_object", "find_program", "find_signature"]

_imported: set[str] = set()


def find_object(reference: str, root: Path) -> Any:
    """Return what `module:attr` names; `root` is looked in first.

    Raises:
        UsageError: it is not such a name, the module or attribute does not exist, or importing it fails.
    """
    module_name, colon, path = reference.partition(":")
    names = [*module_name.split("."), *path.split(".")]
    if not colon or not all(name.isidentifier() for name in names):
        raise UsageError(f"A name is written `module:attr`, as in `program:program`. Given: {shown(reference)}.")
    found: Any = _module(module_name, root)
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise UsageError(f"`{reference}`: there is no `{name}`.{_known(name, found)}") from None
    return found


def find_program(reference: str | ProgramSettings, root: Path) -> Module:
    """Return the program that `module:attr` names: an instance, a class or a function without arguments.

    A text such as `question -> answer` declares a program of one step, as a table of `tunesmith.toml` does.

    Raises:
        UsageError: as `find_object`, or it is not a program.
        SignatureError: the text declares none.
    """
    if isinstance(reference, ProgramSettings):
        return _declared_program(reference)
    if "->" in reference:
        return _declared_program(ProgramSettings(signature=reference))
    found = find_object(reference, root)
    if isinstance(found, Module):
        return found
    if isinstance(found, type) and issubclass(found, Signature):
        raise UsageError(f"`{reference}` is a signature. Make a program of it: `ts.Predict({found.__name__})`.")
    made = None
    if callable(found):
        try:
            made = found()
        except Exception as error:
            raise UsageError(
                f"`{reference}` could not make the program: {_described(error, root)}. "
                "It is called without arguments; name a finished instance instead if it needs some."
            ) from error
    if isinstance(made, Module):
        return made
    given = shown(found if made is None else made)
    raise UsageError(
        f"`{reference}` is not a program. Given: {given}. A program is a `dspy.Module`, such as `ts.Predict(...)`, "
        "a class of one, or a function without arguments that returns one."
    )


def _declared_program(given: ProgramSettings) -> Module:
    text = " ".join(given.signature.split())
    signature: Any = declared(text) if given.instructions is None else declared(text, given.instructions)
    for name, description in given.descriptions.items():
        if name not in signature.fields:
            raise UsageError(
                f"The signature {shown(text)} has no field {shown(name)}. It has: {', '.join(signature.fields)}."
            )
        signature = signature.with_updated_fields(name, desc=description)
    found: Module = getattr(modules, given.module)(signature)
    return found


def find_metric(reference: str, root: Path) -> Metric:
    """Return the metric that `reference` names: `module:attr`, or a built-in one with its arguments.

    These follow the name, as in `exact_match:field` or `numeric_close:field,rel=0.01`.

    Raises:
        UsageError: as `find_object`, or it is not a metric.
    """
    name, _, arguments = reference.partition(":")
    built_in = named_metrics()
    if name in built_in:
        return _built_in(name, built_in[name], arguments)
    if ":" not in reference:
        raise UsageError(
            f"A metric is written `module:attr` or as a built-in one, `exact_match:field`. Given: {shown(reference)}. "
            f"Built in are: {', '.join(built_in)}."
        )
    try:
        found = find_object(reference, root)
    except UsageError as error:
        if getattr(error.__cause__, "name", None) == name:
            error.add_note(f"Metrics that need no module are {', '.join(built_in)}.")
        raise
    if not callable(found):
        raise UsageError(
            f"`{reference}` is not a metric. Given: {shown(found)}. A metric is a function of "
            "(example, prediction, trace=None)."
        )
    return found


def _built_in(name: str, make: Callable[..., Any], arguments: str) -> Metric:
    parts = [part.strip() for part in arguments.split(",") if part.strip()]
    pairs = {key.strip(): _value(text.strip()) for key, equals, text in (p.partition("=") for p in parts) if equals}
    try:
        found: Metric = make(*(part for part in parts if "=" not in part), **pairs)
    except TypeError as error:
        known = inspect.signature(make).parameters.values()
        words = [f"{one.name}=..." for one in known if one.kind is one.KEYWORD_ONLY]
        more = f" It also takes {', '.join(words)}, as in `{name}:field,{words[0]}`." if words else ""
        raise UsageError(
            f"`{name}:{arguments}`: the metric `{name}` does not take these fields. Write `{name}:field`.{more}"
        ) from error
    return found


def _value(text: str) -> Any:
    """Return a number, `true` or `false` as such, and anything else as the text it is."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def find_signature(reference: str, root: Path) -> type[Signature]:
    """Return the signature that `module:attr` names, or that a text such as `text -> label` declares.

    Raises:
        UsageError: as `find_object`, or it is not a signature.
        SignatureError: the text declares none.
    """
    if "->" in reference:
        return declared(reference)
    found = find_object(reference, root)
    if isinstance(found, type) and issubclass(found, Signature):
        return found
    raise UsageError(f"`{reference}` is not a signature class. Given: {shown(found)}.")


def _module(name: str, root: Path) -> ModuleType:
    folder = str(root.resolve())
    if sys.path[:1] != [folder]:
        sys.path.insert(0, folder)
    _make_way(name, root)
    importlib.invalidate_caches()
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise UsageError(f"There is no module `{name}` in {folder}, nor is one installed.") from error
        raise UsageError(f"Importing `{name}` failed: {_described(error, root)}.") from error
    except (Exception, SystemExit) as error:
        raise UsageError(f"Importing `{name}` failed: {_described(error, root)}.") from error
    _imported.add(name)
    return module


def _make_way(name: str, root: Path) -> None:
    """Forget a module that was imported from another project under the same name.

    Raises:
        UsageError: the name belongs to something else that is imported already.
    """
    own = _own_file(name, root)
    loaded = sys.modules.get(name)
    if own is None or loaded is None:
        return
    file = getattr(loaded, "__file__", None)
    if file is not None and Path(file).resolve() == own.resolve():
        return
    if name not in _imported:
        raise UsageError(f"The name of {own} is taken by another module ({file or 'built in'}). Rename the file.")
    del sys.modules[name]


def _known(name: str, found: Any) -> str:
    words = [word for word in getattr(found, "__dict__", {}) if not word.startswith("_")]
    near = difflib.get_close_matches(name, words, n=1)
    if near:
        return f" Did you mean `{near[0]}`?"
    return f" There is: {', '.join(words[:12])}." if words else ""


def _own_file(name: str, root: Path) -> Path | None:
    stem = root.joinpath(*name.split("."))
    for path in (stem.with_name(f"{stem.name}.py"), stem / "__init__.py"):
        if path.is_file():
            return path
    return None


def _described(error: BaseException, root: Path) -> str:
    """Return type, text and the last place inside the project of what the user's code raised."""
    text = f"{type(error).__name__}: {error}"
    inside = str(root.resolve())
    places = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(inside)]
    return f"{text} ({places[-1].filename}:{places[-1].lineno})" if places else text
