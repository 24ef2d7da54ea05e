"""Every verb, run with one model and no other change, and how what two models print is compared."""

import json
import os
from pathlib import Path
from typing import Any

from tests.cli.conftest import run

ITS_OWN = {
    "doctor.advice", "doctor.ollama.loaded", "doctor.ollama.model", "models ls.server.loaded",
    "models show.details", "models show.licence", "models show.path", "models show.server",
    "models pull.path", "models pull.server", "check.lm.details", "eval.lm.details", "show.manifest.lm.details",
    "show messages.messages.constraint", "show messages.messages.options",
}  # fmt: skip
"""What a weight file and a model on a server cannot have in common, what a server has in memory, and how each engine holds and ends a
reply."""
OPTION = "lm option "
"""How the names of a model's options begin in a run's identity: each engine has its own."""
CHOSEN = ("candidates", "changes", "demos", "diff", "messages", "notes")
"""Lists as long as what a compile finds: with other weights it may find something else."""


def as_json(*arguments: str) -> Any:
    found = run(*arguments, "--json")
    assert found.exit_code == 0, found.stderr
    return json.loads(found.stdout)


def every_verb(spec: str, *, full: bool) -> dict[str, Any]:
    """Run each verb in this folder, and return what it printed as JSON."""
    os.environ["TUNESMITH_LM"] = spec
    size = ["--budget-calls", "60"] if full else ["--budget-calls", "120"]
    toml = Path("tunesmith.toml")
    found = {"init": as_json("init")}
    toml.write_text(
        toml.read_text(encoding="utf-8").replace("seed = 0\n#", "seed = 0\nnum_candidates = 2\n#"), encoding="utf-8"
    )
    artifact = "runs/first/artifact"
    found |= {
        "config": as_json("config"),
        "doctor": as_json("doctor", *(["--probe"] if full else [])),
        "models ls": as_json("models", "ls"),
        "models show": as_json("models", "show", spec),
        "models pull": as_json("models", "pull", spec, "--quiet"),
        "eval": as_json("eval", "--quiet"),
        "experiment": as_json("experiment"),
        "compile": as_json("compile", "--quiet", *size),
        "runs ls": as_json("runs", "ls"),
        "runs show": as_json("runs", "show", "first"),
        "runs gc": as_json("runs", "gc"),
        "runs resume": as_json("runs", "resume", "first"),
        "check": as_json("check", artifact, "--max-errors", "1000", "--quiet"),
        "show": as_json("show", artifact),
        "show messages": as_json("show", artifact, "--messages", "report=The bin is full."),
        "diff": as_json("diff", artifact, artifact),
        "verify": as_json("verify", artifact),
        "show schema": as_json("show", artifact, "--schema"),
        "sign": as_json("sign", artifact, "--new-key", "new.pem"),
        "export": as_json("export", artifact, "--to", "messages"),
        "predict": as_json("predict", artifact, "report=The bin is full."),
        "serve": as_json("serve", artifact, "--port", "0", "--ask", "report=The bin is full."),
        "report": as_json("report", "first"),
        "compare": as_json("compare", "first"),
        "data check": as_json("data", "check"),
        "label": as_json("label", "data/reports.jsonl", "--write"),
        "completion": as_json("completion", "bash"),
        "cache stats": as_json("cache", "stats"),
        "cache verify": as_json("cache", "verify"),
        "cache prune": as_json("cache", "prune", "--older-than", "10w"),
        "demo": as_json("demo", "--limit", "5", "--quiet"),
    }
    return found


def differences(one: Any, other: Any, path: str, *, same_weights: bool = True) -> list[str]:
    """Return where two documents differ in keys, kinds or counts.

    Args:
        one, other: what a verb printed.
        path: the verb, then the keys.
        same_weights: whether also the lists that depend on what was found are equally long.
    """
    if path in ITS_OWN:
        return []
    if isinstance(one, dict) and isinstance(other, dict):
        alone = [key for key in sorted(set(one) ^ set(other)) if not key.startswith(OPTION)]
        found = [f"{path}: {key} in one alone" for key in alone]
        pairs = [(f"{path}.{key}", one[key], other[key]) for key in one if key in other]
    elif isinstance(one, list) and isinstance(other, list):
        free = not same_weights and path.rpartition(".")[2] in CHOSEN
        found = [] if free or len(one) == len(other) else [f"{path}: {len(one)} and {len(other)}"]
        pairs = [(path, a, b) for a, b in zip(one, other, strict=False)]
    else:
        return [] if _kind(one) == _kind(other) else [f"{path}: {one!r} and {other!r}"]
    return found + [line for where, a, b in pairs for line in differences(a, b, where, same_weights=same_weights)]


def _kind(value: Any) -> str:
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
