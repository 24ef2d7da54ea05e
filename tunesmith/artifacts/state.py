"""`state.json`: instructions, demos, request options and formats, as `program.load` of DSPy reads them."""

import copy
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunesmith.errors import ArtifactError, UsageError
from tunesmith.modules import DspyPredict, Module, saved_settings

__all__ = ["check_state", "program_state", "write_state"]

_ENTRIES = {"demos", "lm", "signature", "traces", "train"}
_MORE = {"config", "fields", "tunesmith_format"}
_METADATA = "metadata"
_ROOT = "self"  # what DSPy calls the path of a program that is itself a predictor; its own state then is flat


class _Finished(Module):
    """Gives a finished state to DSPy's own `save`, so that the file is DSPy's to the byte."""

    def __init__(self, state: dict[str, Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # DSPy
        self.finished = state

    def dump_state(self, json_mode: bool = True) -> dict[str, Any]:  # noqa: FBT001, FBT002 - DSPy's signature
        return dict(self.finished)


def program_state(program: Module, parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return DSPy's state of `program` with the demos of `parts`, and nothing else that a program may carry.

    No LM (a path to somewhere), no traces, no training rows. Demos are JSON already, because DSPy would write a
    pydantic model, a date or a set in another way each, or refuse it.

    Args:
        program: the compiled program; it is not changed.
        parts: `parts` of the candidate's JSON.

    Raises:
        UsageError: `program` does not use that candidate, or a predictor has a name that DSPy's file cannot hold.
    """
    state: dict[str, Any] = {}
    for path, parameter in program.named_parameters():
        if path == _METADATA:
            raise UsageError(
                f"A predictor cannot be called {_METADATA!r}: DSPy's state file uses that name. Rename the attribute."
            )
        state[path] = (
            _predictor_state(path, parameter, parts[path])
            if isinstance(parameter, DspyPredict)
            else parameter.dump_state()
        )
    return state[_ROOT] if isinstance(program, DspyPredict) and set(state) == {_ROOT} else state


def _predictor_state(path: str, predictor: DspyPredict, part: Mapping[str, Any]) -> dict[str, Any]:
    signature: Any = predictor.signature
    instruction = inspect.cleandoc(part["instruction"])  # as DSPy gives it back
    if signature.instructions != instruction or len(predictor.demos) != len(part["demos"]):
        raise UsageError(
            f"The program does not use the candidate at {path!r}: instruction or demos differ. Give "
            "`candidate.apply(program)`."
        )
    bare = copy.copy(predictor)
    bare.lm, bare.traces, bare.train = None, [], []
    bare.demos = [_demo(demo, list(signature.fields)) for demo in part["demos"]]
    state: dict[str, Any] = DspyPredict.dump_state(bare)
    return {**state, **saved_settings(predictor.config, part["format"])}


def _demo(demo: Mapping[str, Any], order: list[str]) -> dict[str, Any]:
    """Return a demo as DSPy writes one: a flat object in the signature's order, marked where a program made it."""
    values = {**demo["inputs"], **demo["outputs"]}
    mark = {"augmented": True} if demo["augmented"] else {}
    return {**mark, **{name: values[name] for name in order if name in values}}


def write_state(file: Path, state: dict[str, Any]) -> None:
    """Write `state` to `file` as `program.save` does, with the versions DSPy adds.

    Raises:
        OSError: the disk refuses.
        ArtifactError: DSPy cannot write it, for instance an integer above 64 bits.
    """
    try:
        _Finished(state).save(file)  # type: ignore[no-untyped-call]  # DSPy
    except RuntimeError as error:  # what DSPy makes of every failure, a full disk included
        if isinstance(error.__context__, OSError):
            raise error.__context__ from error
        raise ArtifactError(
            f"{file.name} cannot hold a demo of the candidate: {error.__context__}. DSPy writes integers of "
            "64 bits and Unicode text; leave that demo out."
        ) from error


def check_state(state: dict[str, Any], manifest: Mapping[str, Any], where: str) -> None:
    """Check that `state` holds the instructions and demos of the manifest's candidate, and no LM.

    Raises:
        ArtifactError: it does not.
    """
    predictors = manifest["program"]["predictors"]
    if set(predictors) == {_ROOT} and _ROOT not in state:
        state = {_ROOT: {n: v for n, v in state.items() if n != _METADATA}, _METADATA: state.get(_METADATA)}
    missing = sorted({*predictors, _METADATA} - set(state))
    if missing:
        raise _disagrees(where, f"it lacks {', '.join(missing)}")
    for path, entry in state.items():
        if not isinstance(entry, dict) or entry.get("lm") is not None:
            raise _disagrees(where, f"{path!r} holds a language model, or is no object")
    for path, predictor in predictors.items():
        part = manifest["candidate"]["parts"][path]
        _check_predictor(path, state[path], part, predictor, where)


def _check_predictor(
    path: str, entry: dict[str, Any], part: Mapping[str, Any], predictor: Mapping[str, Any], where: str
) -> None:
    fields = predictor["signature"]["fields"]
    if set(entry) - _MORE != _ENTRIES or entry["traces"] != [] or entry["train"] != []:
        raise _disagrees(where, f"{path!r} has other entries than instructions and demos")
    settings = {"config": predictor["config"], "tunesmith_format": part["format"]}
    for name, promised in settings.items():
        if name in entry and entry[name] != promised and promised is not None:
            raise _disagrees(where, f"{path!r} has another `{name}` than {promised!r}")
    signature = entry["signature"]
    if not isinstance(signature, dict) or not isinstance(signature.get("fields"), list):
        raise _disagrees(where, f"{path!r} has no signature")
    if len(signature["fields"]) != len(fields):
        raise _disagrees(where, f"{path!r} has another number of fields")
    if signature.get("instructions") != inspect.cleandoc(part["instruction"]):
        raise _disagrees(where, f"{path!r} has another instruction")
    order = [field["name"] for field in fields]
    if entry["demos"] != [_demo(demo, order) for demo in part["demos"]]:
        raise _disagrees(where, f"{path!r} has other demos")


def _disagrees(where: str, how: str) -> ArtifactError:
    return ArtifactError(f"{where} does not agree with the manifest: {how}. Restore the file, or compile again.")
