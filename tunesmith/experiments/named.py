"""Programs and metrics by name: `module:attr`, imported with the project's folder first.

Only names that the user wrote into a project file or an option come here; an artifact names nothing to import.
"""

import difflib
import importlib
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from tunesmith.errors import UsageError, shown
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


def find_program(reference: str, root: Path) -> Module:
    """Return the program that `module:attr` names: an instance, a class or a function without arguments.

    Raises:
        UsageError: as `find_object`, or it is not a program.
    """
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


def find_metric(reference: str, root: Path) -> Metric:
    """Return the metric that `reference` names: `module:attr`, or a built-in one as `exact_match:field`.

    Raises:
        UsageError: as `find_object`, or it is not a metric.
    """
    name, _, fields = reference.partition(":")
    built_in = named_metrics()
    if name in built_in:
        given = [field.strip() for field in fields.split(",") if field.strip()]
        try:
            metric: Metric = built_in[name](*given)
        except TypeError as error:
            raise UsageError(
                f"`{reference}`: the metric `{name}` does not take these fields. Write `{name}:field`."
            ) from error
        return metric
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
