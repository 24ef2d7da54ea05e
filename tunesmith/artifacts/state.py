"""`state.json`: instructions, demos, request options and formats, in the form that DSPy's `program.load` reads."""

import copy
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunesmith import modules  # as a whole: few programs choose their demos
from tunesmith.errors import ArtifactError, UsageError
from tunesmith.modules import DspyPredict, Module, nearest_path, saved_settings

__all__ = ["check_state", "program_state", "write_state"]

_ENTRIES = {"demos", "lm", "signature", "traces", "train"}
_MORE = {"config", "fields", "tunesmith_format", "tunesmith_offsets"}
_METADATA = "metadata"
_ROOT = "self"  # DSPy's path for a program that is itself a predictor, whose state is flat


class _Finished(Module):
    """Passes a state to DSPy's own `save`, so that the file is byte-identical to DSPy's."""

    def __init__(self, state: dict[str, Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # DSPy
        self.finished = state

    def dump_state(self, json_mode: bool = True) -> dict[str, Any]:  # noqa: FBT001, FBT002 - DSPy's signature
        return dict(self.finished)


def program_state(program: Module, candidate: Mapping[str, Any]) -> dict[str, Any]:
    """Return DSPy's state of `program` with the demos of `candidate`, without LM, traces and training rows.

    The demos are JSON values already, because DSPy would write pydantic models, dates and sets in different ways, or
    fail. Of demos that are chosen for each call, the state has the first, as fixed ones.

    Args:
        program: the compiled program; it is not changed.
        candidate: its JSON.

    Raises:
        UsageError: `program` does not use that candidate, or DSPy's file cannot store the name of a predictor.
    """
    state: dict[str, Any] = {}
    for path, parameter in program.named_parameters():
        if path == _METADATA:
            raise UsageError(
                f"A predictor cannot be named {_METADATA!r}: DSPy's state file uses that name. Rename the attribute."
            )
        state[path] = (
            _predictor_state(path, parameter, candidate)
            if isinstance(parameter, DspyPredict)
            else parameter.dump_state()
        )
    return state[_ROOT] if isinstance(program, DspyPredict) and set(state) == {_ROOT} else state


def _predictor_state(path: str, predictor: DspyPredict, candidate: Mapping[str, Any]) -> dict[str, Any]:
    signature: Any = predictor.signature
    part = candidate["parts"][path]
    instruction = inspect.cleandoc(part["instruction"])  # DSPy cleans it too
    if signature.instructions != instruction or len(predictor.demos) != len(part["demos"]):
        raise UsageError(
            f"The program does not use the candidate at {path!r}: instruction or demos differ. Give "
            "`candidate.apply(program)`."
        )
    bare = copy.copy(predictor)
    bare.lm, bare.traces, bare.train = None, [], []
    bare.demos = _demos(path, candidate, list(signature.fields))
    state: dict[str, Any] = DspyPredict.dump_state(bare)
    return {**state, **saved_settings(predictor.config, part["format"], part["settings"].get("offsets", {}))}


def _demos(path: str, candidate: Mapping[str, Any], order: list[str]) -> list[dict[str, Any]]:
    """Return the demos of a predictor in DSPy's form, of a pool the first `k`."""
    pool, chosen = candidate["parts"][path]["demos"], candidate.get("settings", {}).get(nearest_path(path))
    return [_demo(demo, order) for demo in (pool if chosen is None else pool[: chosen.get("k", modules.Nearest().k)])]


def _demo(demo: Mapping[str, Any], order: list[str]) -> dict[str, Any]:
    """Return a demo in DSPy's form: a flat object in the signature's order, with `augmented` if a program made it."""
    values = {**demo["inputs"], **demo["outputs"]}
    mark = {"augmented": True} if demo["augmented"] else {}
    return {**mark, **{name: values[name] for name in order if name in values}}


def write_state(file: Path, state: dict[str, Any]) -> None:
    """Write `state` to `file` like `program.save`, with the versions that DSPy adds.

    Raises:
        OSError: the file cannot be written.
        ArtifactError: DSPy cannot write it, for instance an integer above 64 bits.
    """
    try:
        _Finished(state).save(file)  # type: ignore[no-untyped-call]  # DSPy
    except RuntimeError as error:  # DSPy raises it for every failure, also a full disk
        if isinstance(error.__context__, OSError):
            raise error.__context__ from error
        raise ArtifactError(
            f"{file.name} cannot store a demo of the candidate: {error.__context__}. DSPy writes only 64-bit "
            "integers and Unicode text; remove that demo."
        ) from error


def check_state(state: dict[str, Any], manifest: Mapping[str, Any], where: str) -> None:
    """Check that `state` has the instructions and demos of the manifest's candidate, and no LM.

    Raises:
        ArtifactError: they differ.
    """
    predictors = manifest["program"]["predictors"]
    if set(predictors) == {_ROOT} and _ROOT not in state:
        state = {_ROOT: {n: v for n, v in state.items() if n != _METADATA}, _METADATA: state.get(_METADATA)}
    missing = sorted({*predictors, _METADATA} - set(state))
    if missing:
        raise _disagrees(where, f"it lacks {', '.join(missing)}")
    for path, entry in state.items():
        if not isinstance(entry, dict) or entry.get("lm") is not None:
            raise _disagrees(where, f"{path!r} holds a language model, or is not an object")
    for path, predictor in predictors.items():
        _check_predictor(path, state[path], manifest["candidate"], predictor, where)


def _check_predictor(
    path: str, entry: dict[str, Any], candidate: Mapping[str, Any], predictor: Mapping[str, Any], where: str
) -> None:
    part = candidate["parts"][path]
    fields = predictor["signature"]["fields"]
    if set(entry) - _MORE != _ENTRIES or entry["traces"] != [] or entry["train"] != []:
        raise _disagrees(where, f"{path!r} has entries besides instructions and demos")
    settings = {
        "config": predictor["config"],
        "fields": predictor["decisions"],
        "tunesmith_format": part["format"],
        "tunesmith_offsets": part["settings"].get("offsets", {}),
    }
    for name, promised in settings.items():
        if name in entry and entry[name] != promised and promised is not None:
            raise _disagrees(where, f"the `{name}` of {path!r} is not {promised!r}")
    signature = entry["signature"]
    if not isinstance(signature, dict) or not isinstance(signature.get("fields"), list):
        raise _disagrees(where, f"{path!r} has no signature")
    if len(signature["fields"]) != len(fields):
        raise _disagrees(where, f"{path!r} has another number of fields")
    if signature.get("instructions") != inspect.cleandoc(part["instruction"]):
        raise _disagrees(where, f"{path!r} has another instruction")
    if entry["demos"] != _demos(path, candidate, [field["name"] for field in fields]):
        raise _disagrees(where, f"{path!r} has other demos")


def _disagrees(where: str, how: str) -> ArtifactError:
    return ArtifactError(f"{where} differs from the manifest: {how}. Restore the file, or compile again.")
