"""Save a program."""

import importlib.metadata
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith.artifacts.artifact import UNKNOWN_MODEL, Artifact, verified, verify
from tunesmith.artifacts.folder import MANIFEST, STATE, locate, read_files, replace_folder
from tunesmith.artifacts.manifest import SCHEMA_VERSION, plain, render, seal, sha256_of
from tunesmith.artifacts.rebuild import describe_program, note_on_loading
from tunesmith.artifacts.selected import short_keys
from tunesmith.artifacts.shape import ADAPTER
from tunesmith.artifacts.state import program_state, write_state
from tunesmith.errors import ArtifactError, DataError, UsageError, shown
from tunesmith.modules import (
    Candidate,
    DspyPredict,
    Module,
    bound_format,
    caller_adapter,
    class_name,
    copy_program,
)
from tunesmith.signatures import Demo, Example

__all__ = ["save"]


def save(
    folder: str | os.PathLike[str],
    program: Module,
    *,
    candidate: Candidate | None = None,
    baseline: Candidate | None = None,
    lm_identity: Mapping[str, Any] | None = None,
    metric: str | None = None,
    datasets: Mapping[str, str] | None = None,
    scores: Mapping[str, Any] | None = None,
    verdict: str | None = None,
    charged: Mapping[str, Any] | None = None,
    paid: Mapping[str, Any] | None = None,
    selected_on: Mapping[str, Sequence[Example]] | None = None,
    notes: Sequence[str] = (),
    seed: int | None = None,
    extra: Mapping[str, Any] | None = None,
    adapter: str | None = None,
    created: str | None = None,
) -> Artifact:
    """Write a program as a folder of JSON, whole or not at all, and return it verified.

    `save(folder, program)` works for any program: compiled by `ts.compile`, by a compiler of DSPy's, or by hand. What
    is not given is said to be unknown in the manifest. The same arguments give the same bytes with the same versions
    of Python, tunesmith and DSPy. An artifact that is already in `folder` is replaced; anything else there is left
    alone.

        ts.save("triage", program)
        program = ts.load("triage", lm=ts.lm("embedded"))

    Args:
        folder: where; its parents are made. The folder itself is readable by its owner only.
        program: the program, `candidate` applied.
        candidate: what the compile chose; by default what `program` uses now. A predictor without a format of its own
            stays without one.
        baseline: the program as it was given.
        lm_identity: `Identity.to_json()` of the model.
        metric: name of the metric, `None` where there was none.
        datasets: fingerprint per split.
        scores: scores with their intervals.
        verdict: what the compile concluded.
        charged: calls, tokens and seconds the run was charged for.
        paid: what reached an engine; not part of the identity. `test_opened` in it, how often the test split was
            opened, is kept beside it.
        selected_on: the examples that took part in choosing it, per split, with their inputs marked. The manifest keeps
            a short key of each one's inputs, no text, so that `Artifact.known` finds them again.
        notes: what was decided for the user, in words.
        seed: of every draw.
        extra: whatever else belongs to the identity.
        adapter: `module:Class` of the caller's own adapter, where one was in charge. Without a `candidate`, the
            configured one is taken if a predictor has no format of its own.
        created: when, as text; not part of the identity.

    Raises:
        UsageError: `program` is none or does not use `candidate`, or `folder` holds something that is no artifact.
        ArtifactError: a value has no place in an artifact, or the disk refuses. What was there before is untouched.

    Example:
        >>> import tunesmith as ts
        >>> ts.save("triage", ts.Predict("text -> label"), notes=["Written by hand."]).manifest["notes"][0]
        'Written by hand.'
    """
    if not isinstance(program, Module) or not isinstance(folder, (str, os.PathLike)):
        raise UsageError(
            "`ts.save(folder, program)` takes the name of a folder, then a program (`result.program` of `ts.compile`). "
            f"Given: {shown(folder)}, {shown(program)}."
        )
    target = locate(folder)
    if candidate is None:
        program = _fitting(program)
        candidate = _as_it_is(program)
        program = candidate.apply(program)
        if caller_adapter() is not None and any(part.format is None for part in candidate.parts.values()):
            adapter = class_name(caller_adapter()) if adapter is None else adapter
    _warn_of_frozen(program)
    hint = note_on_loading(program)
    if hint is not None and hint not in notes:
        notes = [*notes, hint]
        warnings.warn(hint, UserWarning, stacklevel=2)
    notes = [*notes, *_unknown(baseline=baseline, model=lm_identity, data=datasets, scores=scores, cost=charged)]
    try:
        chosen = plain("candidate", candidate.to_json())
        given = None if baseline is None else plain("baseline", baseline.to_json())
    except (TypeError, ValueError) as error:
        raise ArtifactError(f"A demo of the candidate has no JSON form: {error}. Leave it out.") from error
    if set(chosen["parts"]) != {path for path, _ in program.named_predictors()}:
        raise UsageError(
            f"The candidate is for the predictors {', '.join(sorted(chosen['parts']))}, the program has others. "
            "Give `candidate.apply(program)`."
        )
    state = program_state(program, chosen["parts"])
    content = {
        "schema_version": SCHEMA_VERSION,
        "program": describe_program(program),
        "candidate": chosen,
        "baseline": given,
        "sampling": chosen["sampling"],
        "lm": UNKNOWN_MODEL if lm_identity is None else lm_identity,
        "metric": metric,
        "datasets": datasets or {},
        "scores": scores or {},
        "verdict": "unknown" if verdict is None else verdict,
        "charged": charged or {},
        "seed": seed,
        "versions": _versions(),
        "adapter": None if adapter is None else ADAPTER + adapter.removeprefix(ADAPTER),
        "extra": {} if extra is None else extra,
        "notes": notes,
    }
    if selected_on is not None:
        content["selected_on"] = {split: short_keys(examples) for split, examples in selected_on.items()}
    content = {name: plain(name, _mapping(value)) for name, value in content.items()}
    spent = dict(paid or {})
    opened = spent.pop("test_opened", None)
    unhashed = plain("paid", {"created": created, "paid": spent, "test_opened": opened})

    def fill(new: Path) -> None:
        write_state(new / STATE, state)
        raw = (new / STATE).read_bytes()
        manifest = seal({**content, "state_sha256": sha256_of(raw)}, unhashed)
        (new / MANIFEST).write_bytes(render(manifest))
        # What cannot be verified must not replace what can.
        verified(target, read_files(new))

    replace_folder(target, fill)
    return verify(target)


def _fitting(program: Module) -> Module:
    """Return a copy of `program` without demos that do not fit their fields; each is warned about."""
    copied = copy_program(program)
    for path, predictor in copied.named_predictors():
        kept = []
        for number, demo in enumerate(predictor.demos, 1):
            try:
                if any(name in demo for name in predictor.signature.output_fields):  # others are never shown
                    Demo.of(predictor.signature, demo)
                kept.append(demo)
            except DataError as error:
                warnings.warn(f"Demo {number} of `{path}` is not saved. {error}", UserWarning, stacklevel=3)
        predictor.demos = kept
    return copied


def _as_it_is(program: Module) -> Candidate:
    """Return what `program` uses now; a predictor that is bound to no format stays so."""
    found = Candidate.of(program)
    for path, predictor in program.named_predictors():
        found = found.with_part(path, format=bound_format(predictor))
    return found


def _unknown(**given: Any) -> list[str]:
    names = [name for name, value in given.items() if value is None]
    return [f"Unknown, since it was not said when this was saved: {', '.join(names)}."] if names else []


def _warn_of_frozen(program: Module) -> None:
    """Warn of predictors that neither DSPy's state nor the manifest holds."""
    held = {id(predictor) for _, predictor in program.named_predictors()}
    frozen = [
        name.removeprefix("self.")
        for name, predictor in program.named_sub_modules(DspyPredict)
        if isinstance(predictor, DspyPredict)
        and id(predictor) not in held
        and (predictor.demos or bound_format(predictor) is not None)
    ]
    if frozen:
        warnings.warn(
            f"Not saved, since they are in a part that was compiled before and is frozen: {', '.join(frozen)}. Save "
            "that part by itself, or set `_compiled = False` on it to save it with the rest.",
            UserWarning,
            stacklevel=3,
        )


def _mapping(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {"python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    for name in ("tunesmith", "dspy"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # run from a source tree
            found[name] = None
    return found
