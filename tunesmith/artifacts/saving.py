"""Save a program."""

import importlib.metadata
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith.artifacts.artifact import UNKNOWN_MODEL, Artifact, verified, verify
from tunesmith.artifacts.folder import MANIFEST, SIGNATURE, STATE, locate, read_files, replace_folder
from tunesmith.artifacts.frozen import frozen_modules
from tunesmith.artifacts.keys import private_key
from tunesmith.artifacts.manifest import plain, render, seal, sha256_of
from tunesmith.artifacts.rebuild import describe_program, note_on_loading
from tunesmith.artifacts.schema import ADAPTER, SCHEMA_VERSION
from tunesmith.artifacts.selected import short_keys
from tunesmith.artifacts.signing import signature_file
from tunesmith.artifacts.state import program_state, write_state
from tunesmith.errors import ArtifactError, DataError, UsageError, shown
from tunesmith.modules import (
    Candidate,
    Module,
    bound_format,
    bound_offsets,
    caller_adapter,
    class_name,
    copy_program,
    files_beside,
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
    sign: str | os.PathLike[str] | None = None,
) -> Artifact:
    """Write a program as a folder of JSON, atomically, and return the verified artifact.

    `save(folder, program)` works for any program: compiled by `ts.compile`, by a DSPy compiler, or by hand. The
    manifest marks values that are not given as unknown. The same arguments give the same bytes with the same versions
    of Python, tunesmith and DSPy. An artifact in `folder` is replaced; a folder with anything else is not touched.

        ts.save("triage", program)
        program = ts.load("triage", lm=ts.lm("embedded"))

    Args:
        folder: the folder; missing parents are created. Only its owner can read it.
        program: the program with `candidate` applied.
        candidate: the result of the compile; default the present state of `program`. A predictor without its own
            format stays without one.
        baseline: the candidate of the program before the compile.
        lm_identity: `Identity.to_json()` of the model.
        metric: the name of the metric, or `None`.
        datasets: the fingerprint of each split.
        scores: scores with their intervals.
        verdict: the verdict of the compile.
        charged: charged calls, tokens and seconds.
        paid: usage that reached an engine; not part of the identity. Its entry `test_opened` counts how often the test
            split was opened and is stored separately.
        selected_on: the examples used for selection, per split, with their inputs marked. The manifest stores a short
            key of their inputs and no text, so that `Artifact.known` recognises them.
        notes: automatic decisions, as sentences.
        seed: the seed of all random choices.
        extra: other values that belong to the identity.
        adapter: `module:Class` of the user's own adapter, if the program ran under one. Without a `candidate`, default
            the configured adapter if a predictor has no format.
        created: the time as text; not part of the identity.
        sign: a file with an ed25519 private key in PEM, of OpenSSL or OpenSSH, that signs the artifact; needs the extra
            `sign`.

    Raises:
        UsageError: `program` is not a program or does not use `candidate`, `folder` holds something else, or `sign` is
            not a key.
        ArtifactError: a value cannot be stored, or the disk cannot be written. The old content is unchanged.

    Example:
        >>> import tunesmith as ts
        >>> ts.save("triage", ts.Predict("text -> label"), notes=["Written by hand."]).manifest["notes"][0]
        'Written by hand.'
    """
    if not isinstance(program, Module) or not isinstance(folder, (str, os.PathLike)):
        raise UsageError(
            "`ts.save(folder, program)` takes a folder, then a program (`result.program` of `ts.compile`). "
            f"Given: {shown(folder)}, {shown(program)}."
        )
    target, key = locate(folder), None if sign is None else private_key(sign)
    if candidate is None:
        program = _fitting(program)
        candidate = _as_it_is(program)
        program = candidate.apply(program)
        if caller_adapter() is not None and any(part.format is None for part in candidate.parts.values()):
            adapter = class_name(caller_adapter()) if adapter is None else adapter
    hint = note_on_loading(program)
    if hint is not None and hint not in notes:
        notes = [*notes, hint]
        warnings.warn(hint, UserWarning, stacklevel=2)
    notes = [*notes, *_unknown(baseline=baseline, model=lm_identity, data=datasets, scores=scores, cost=charged)]
    try:
        chosen = plain("candidate", candidate.to_json())
        given = None if baseline is None else plain("baseline", baseline.to_json())
        frozen = {path: plain(path, _as_it_is(part).to_json()) for path, part in frozen_modules(program).items()}
    except (TypeError, ValueError) as error:
        raise ArtifactError(f"A demo of the candidate has no JSON form: {error}. Remove it.") from error
    if set(chosen["parts"]) != {path for path, _ in program.named_predictors()}:
        raise UsageError(
            f"The candidate is for the predictors {', '.join(sorted(chosen['parts']))}, but the program has others. "
            "Give `candidate.apply(program)`."
        )
    notes = [*notes, *(note for note in _notes_of_pools(candidate) if note not in notes)]
    state = program_state(program, chosen)
    with files_beside(target):
        described = plain("program", describe_program(program, frozen))
    content = {
        "schema_version": SCHEMA_VERSION,
        "program": described,
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
        if key is not None:
            (new / SIGNATURE).write_bytes(signature_file((new / MANIFEST).read_bytes(), key))
        # Verify before the swap, so that a bad artifact never replaces a good one.
        verified(target, read_files(new))

    replace_folder(target, fill)
    return verify(target)


def _fitting(program: Module) -> Module:
    """Return a copy of `program` without demos that do not fit their fields; warn about each."""
    copied = copy_program(program)
    frozen = [
        (f"{place}.{path}", predictor)
        for place, part in frozen_modules(copied).items()
        for path, predictor in part.named_predictors()
    ]
    for path, predictor in [*copied.named_predictors(), *frozen]:
        kept = []
        for number, demo in enumerate(predictor.demos, 1):
            try:
                if any(name in demo for name in predictor.signature.output_fields):  # else never sent
                    Demo.of(predictor.signature, demo)
                kept.append(demo)
            except DataError as error:
                warnings.warn(f"Demo {number} of `{path}` is not saved. {error}", UserWarning, stacklevel=3)
        predictor.demos = kept
    return copied


def _as_it_is(program: Module) -> Candidate:
    """Return the present state of `program`; a predictor without a format stays without one."""
    found = Candidate.of(program)
    for path, predictor in program.named_predictors():
        found = found.with_part(path, format=bound_format(predictor), offsets=bound_offsets(predictor))
    return found


def _notes_of_pools(candidate: Candidate) -> list[str]:
    """Say that plain DSPy cannot choose demos."""
    return [
        f"The demos of `{path}` are chosen for each call among {len(part.demos)}. For plain DSPy, `{STATE}` has the "
        f"first {candidate.shown_demos(path)} of them as fixed demos; the scores here are not those of that program."
        for path, part in candidate.parts.items()
        if candidate.nearest(path) is not None
    ]


def _unknown(**given: Any) -> list[str]:
    names = [name for name, value in given.items() if value is None]
    return [f"Not given to `ts.save`, so unknown: {', '.join(names)}."] if names else []


def _mapping(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {"python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    for name in ("tunesmith", "dspy"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # not installed: run from a source tree
            found[name] = None
    return found
