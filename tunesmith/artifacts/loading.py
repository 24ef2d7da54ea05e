"""Load a program, without running code that the caller did not allow."""

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from tunesmith.artifacts.artifact import UNKNOWN_MODEL, Artifact, verified
from tunesmith.artifacts.folder import locate, read_files
from tunesmith.artifacts.frozen import restore
from tunesmith.artifacts.rebuild import BY_NAME, find_program
from tunesmith.artifacts.schema import ADAPTER
from tunesmith.errors import ArtifactError, TunesmithError, UsageError, shown
from tunesmith.lm import LM, BaseLM
from tunesmith.modules import (
    Candidate,
    DspyPredict,
    Module,
    caller_adapter,
    class_name,
    files_beside,
    missing_functions,
    set_decisions,
    signature_of,
    with_lm,
)

if TYPE_CHECKING:
    from tunesmith.artifacts.signing import Keys

__all__ = ["load"]


def load(
    path: str | os.PathLike[str],
    *,
    lm: BaseLM | None = None,
    program: Module | Callable[[], Module] | None = None,
    allow: Sequence[str] = (),
    trusted: "Keys | None" = None,
) -> Module:
    """Verify the artifact at `path` and return its compiled program.

    Only code that the caller names is run. The program is `program`, or what `allow` names, or it is rebuilt
    from the manifest if it is a `Predict` or `ChainOfThought` over simple types, or a registered module around them.
    An artifact never contains a model's address. The result has the `Artifact` as its attribute `artifact`, unless the
    program uses that name itself. It can be called from many threads and event loops at once (`acall` there), and its
    method `with_lm(lm)` returns a copy that calls another model.

    Args:
        path: the artifact's folder.
        lm: the LM of every predictor; default the configured LM at each call. A model that differs from the
            artifact's gives a warning.
        program: the program before the compile, which is not changed, or a class or function that returns one.
        allow: `module:name` of classes and functions that may be imported and called without arguments, and of
            programs that may be imported.
        trusted: files with ed25519 public keys (PEM, or `.pub` of OpenSSH), one of which must have signed the artifact;
            needs the extra `sign`. `None`: a signature is not asked for.

    Raises:
        ArtifactError: the artifact is damaged, not signed by a trusted key, needs missing code or a missing adapter, or
            does not fit `program`.
        UsageError: an argument has a wrong type.

    Example:
        >>> import tunesmith as ts
        >>> _ = ts.save("triage", ts.Predict("text -> label"))
        >>> ts.load("triage", lm=ts.ScriptedLM("billing"))(text="Where is my invoice?").label
        'billing'
    """
    if lm is not None and not isinstance(lm, BaseLM):
        raise UsageError(f"`lm` must be an LM, for instance from `ts.lm(...)`. Given: {shown(lm)}.")
    artifact = _verified(path, trusted)
    where = f"The artifact {str(artifact.path)!r}"
    _check_adapter(artifact, where)
    # With its instruction from the start: each change makes another signature class, which takes a millisecond.
    instructions = {path: part["instruction"] for path, part in artifact.candidate_json["parts"].items()}
    with files_beside(artifact.path):
        made = find_program(artifact.manifest["program"], program, allow, where, instructions)
    missing = missing_functions(made)
    if missing:
        warnings.warn(
            f"{where} does not hold the function `{missing[0]}` of its program, so calls that need it are errors. Pass "
            f"the program with it, `ts.load(..., program=...)`, or name it: {BY_NAME}.",
            UserWarning,
            stacklevel=2,
        )
    try:
        loaded = _applied(made, artifact, where)
    except ArtifactError:
        raise
    except Exception as error:  # what is in a candidate may be anything, and pydantic may raise anything
        reason = error if isinstance(error, TunesmithError) else repr(error)
        raise ArtifactError(f"{where} does not fit the program: {reason}") from error
    if lm is not None:
        _bind(loaded, lm, artifact)
    if isinstance(getattr(loaded, "artifact", None), Artifact | None):
        loaded.__dict__["artifact"] = artifact
    if not hasattr(type(loaded), "with_lm"):
        loaded.__dict__["with_lm"] = partial(with_lm, loaded)
    return loaded


def _applied(made: Module, artifact: Artifact, where: str) -> Module:
    program = artifact.manifest["program"]
    signatures = {name: signature_of(predictor) for name, predictor in made.named_predictors()}
    loaded = Candidate.from_json(artifact.candidate_json, signatures).apply(made)
    _decide(loaded, program["predictors"])
    restore(loaded, program, where, _decide)
    return loaded


def _decide(program: Module, described: Mapping[str, Any]) -> None:
    """Set the decisions of the predictors; an artifact of version 1 holds none."""
    for path, predictor in program.named_predictors():
        if described[path]["decisions"] is not None:
            set_decisions(predictor, described[path]["decisions"])


def _verified(path: str | os.PathLike[str], trusted: "Keys | None") -> Artifact:
    folder = locate(path)
    files = read_files(folder)
    artifact = Artifact(folder, verified(folder, files))
    if trusted is not None:
        from tunesmith.artifacts.signing import check_signature  # here, because most loads ask for none

        check_signature(files, trusted, folder)
    return artifact


def _check_adapter(artifact: Artifact, where: str) -> None:
    wanted = artifact.manifest["adapter"]
    if wanted is None:
        return
    name = wanted.removeprefix(ADAPTER)
    given = caller_adapter()
    if given is None or class_name(given) != name:
        now = "none is configured" if given is None else f"{class_name(given)!r} is configured"
        raise ArtifactError(
            f"{where} was compiled under your own adapter {name!r}, and {now}. Load and call it with "
            "`dspy.configure(adapter=...)` or inside `dspy.context(adapter=...)` with that adapter."
        )


def _bind(program: Module, lm: BaseLM, artifact: Artifact) -> None:
    given = lm.identity.to_json() if isinstance(lm, LM) else {"backend": "dspy", "model": lm.model, "digest": None}
    wanted = artifact.lm
    if wanted != UNKNOWN_MODEL and any(
        given.get(name) != wanted.get(name) for name in {*given, *(wanted if isinstance(lm, LM) else ())}
    ):
        warnings.warn(
            f"The artifact was compiled for the model {_model(wanted)} and is loaded with {_model(given)}. Its scores "
            "may not hold for this model: evaluate it, or compile again.",
            UserWarning,
            stacklevel=3,
        )
    for _, predictor in program.named_sub_modules(DspyPredict):  # including frozen ones
        predictor.lm = lm  # type: ignore[attr-defined]


def _model(identity: Mapping[str, Any]) -> str:
    digest = identity.get("digest")
    parts = [
        str(identity.get("backend", "unknown backend")),
        "weights unknown" if digest is None else f"weights {str(digest)[:12]}",
        *(f"{name}={value}" for name, value in dict(identity.get("details") or {}).items()),
    ]
    return f"{identity.get('model', 'unknown')!r} ({', '.join(parts)})"
