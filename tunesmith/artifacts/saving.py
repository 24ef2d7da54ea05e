"""Save a compiled program."""

import importlib.metadata
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith.artifacts.artifact import Artifact, verified, verify
from tunesmith.artifacts.folder import MANIFEST, STATE, locate, read_files, replace_folder
from tunesmith.artifacts.manifest import SCHEMA_VERSION, plain, render, seal, sha256_of
from tunesmith.artifacts.rebuild import describe_program
from tunesmith.artifacts.selected import short_keys
from tunesmith.artifacts.shape import ADAPTER
from tunesmith.artifacts.state import program_state, write_state
from tunesmith.errors import ArtifactError, UsageError
from tunesmith.modules import Candidate, Module
from tunesmith.signatures import Example

__all__ = ["save"]


def save(
    folder: str | os.PathLike[str],
    program: Module,
    *,
    candidate: Candidate,
    baseline: Candidate,
    lm_identity: Mapping[str, Any],
    metric: str | None,
    datasets: Mapping[str, str],
    scores: Mapping[str, Any],
    verdict: str,
    charged: Mapping[str, Any],
    paid: Mapping[str, Any],
    selected_on: Mapping[str, Sequence[Example]] | None = None,
    notes: Sequence[str] = (),
    seed: int | None = None,
    extra: Mapping[str, Any] | None = None,
    adapter: str | None = None,
    created: str | None = None,
) -> Artifact:
    """Write a compiled program as a folder of JSON, whole or not at all, and return it verified.

    The same arguments give the same bytes with the same versions of Python, tunesmith and DSPy. An artifact that is
    already in `folder` is replaced; anything else there is left alone.

    Args:
        folder: where; its parents are made. The folder itself is readable by its owner only.
        program: the compiled program, `candidate` applied.
        candidate: what the compile chose.
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
        adapter: `module:Class` of the caller's own adapter, where one was in charge.
        created: when, as text; not part of the identity.

    Raises:
        UsageError: `program` does not use `candidate`, or `folder` holds something that is no artifact.
        ArtifactError: a value has no place in an artifact, or the disk refuses. What was there before is untouched.
    """
    target = locate(folder)
    try:
        chosen = plain("candidate", candidate.to_json())
        given = plain("baseline", baseline.to_json())
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
        "lm": lm_identity,
        "metric": metric,
        "datasets": datasets,
        "scores": scores,
        "verdict": verdict,
        "charged": charged,
        "seed": seed,
        "versions": _versions(),
        "adapter": None if adapter is None else ADAPTER + adapter.removeprefix(ADAPTER),
        "extra": {} if extra is None else extra,
        "notes": list(notes),
    }
    if selected_on is not None:
        content["selected_on"] = {split: short_keys(examples) for split, examples in selected_on.items()}
    content = {name: plain(name, _mapping(value)) for name, value in content.items()}
    spent = dict(paid)
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
