"""`tunesmith show`: show an artifact's content and messages."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tunesmith.artifacts import Artifact, export_program, verify
from tunesmith.cli.choosing import chosen_artifact, chosen_lm, chosen_spec
from tunesmith.cli.failures import DONE
from tunesmith.cli.fields import pairs_of, typed_pairs
from tunesmith.cli.output import emit, heading, note, say, say_table
from tunesmith.cli.reports import times
from tunesmith.errors import ArtifactError, UsageError
from tunesmith.lm import LM, OwnTurns
from tunesmith.modules import Module, nearest_path, program_inputs, render, tree
from tunesmith.signatures import left_out, output_schema

__all__ = ["run"]

_IDENTITY = 12  # shown digits of a fingerprint


def run(
    *,
    artifact: Path,
    fields: tuple[str, ...],
    messages: bool,
    schema: bool,
    wants_tree: bool,
    wants_diff: bool,
    spec: str | None,
    allow: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> int:
    """Verify ARTIFACT and show its content."""
    if fields and not messages:
        raise UsageError(f"{fields[0]!r} is for --messages: `tunesmith show ARTIFACT --messages field=value`.")
    found = verify(artifact)
    parts: dict[str, Any] = {}
    if messages or schema or wants_tree:
        program = chosen_artifact(artifact, allow)
        if wants_tree:
            parts["tree"] = _tree(program)
        if messages and fields:
            parts["messages"] = _messages(program, fields, spec, quiet=quiet)
        elif messages:
            parts["prompts"] = _prompts(program)
        if schema:
            parts["schema"] = _schemas(program)
    if wants_diff:
        parts["diff"] = found.diff()
    if as_json:
        emit({"path": str(found.path), "sha256": found.sha256, **(parts or {"manifest": found.manifest})})
    elif parts:
        _say_parts(parts)
    else:
        _say(found)
        _say_own_prompts(artifact, allow)
    return DONE


def _prompts(program: Module) -> dict[str, list[dict[str, Any]]]:
    """Return the messages of each predictor, with `{{name}}` in place of an input."""
    try:
        found = json.loads(export_program(program, to="messages").text)["predictors"]
    except UsageError as error:
        way = "`tunesmith show ARTIFACT --messages FIELD=VALUE` shows what is sent for one input."
        raise UsageError(f"{error} {way}") from error
    return {path: one["messages"] for path, one in found.items()}


def _say_own_prompts(artifact: Path, allow: tuple[str, ...]) -> None:
    try:
        prompts = _prompts(chosen_artifact(artifact, allow))
    except (ArtifactError, UsageError) as error:
        say(f"Note: The prompt cannot be shown here. {error}")
    else:
        _say_prompts(prompts)


def _say_prompts(prompts: dict[str, list[dict[str, Any]]]) -> None:
    for path, messages in prompts.items():
        for message in messages:
            heading(f"Prompt of {path}, as sent: {message['role']}")
            say(message["content"])


def _messages(program: Module, fields: Sequence[str], spec: str | None, *, quiet: bool) -> dict[str, Any]:
    inputs = program_inputs(program)
    values = typed_pairs(pairs_of(fields, inputs), inputs)
    model: LM | None = None
    if chosen_spec(spec) is None:
        note("Without a model, these messages are for an engine that accepts every constraint.", quiet=quiet)
    else:
        model = chosen_lm(spec)
    rendered = render(program, lm=model, **values)
    own = OwnTurns() if model is None else model.own_turns
    has_system = rendered.request.system is not None
    left_out = own.system if has_system else ""
    return {**rendered.to_json(), "server": {"before": own.before(has_system=has_system), "left_out": left_out or None}}


def _schemas(program: Module) -> dict[str, Any]:
    return {
        path: {"schema": output_schema(predictor.signature), "checked_here": left_out(predictor.signature)}
        for path, predictor in program.named_predictors()
    }


def _tree(program: Module) -> dict[str, Any]:
    found = tree(program)
    return {**found.to_json(), "text": str(found), "mermaid": found.mermaid()}


def _say_parts(parts: dict[str, Any]) -> None:
    if "tree" in parts:
        say(parts["tree"]["text"])
    _say_prompts(parts.get("prompts", {}))
    if "messages" in parts:
        _say_messages(parts["messages"])
    for path, one in parts.get("schema", {}).items():
        heading(f"Outputs of {path}")
        say(json.dumps(one["schema"], indent=2, ensure_ascii=False))
        for line in one["checked_here"]:
            say(f"Not sent: {line}")
    if "diff" in parts:
        say(parts["diff"] or "The compile changed nothing, or the program before it is unknown.")


def _say_messages(sent: dict[str, Any]) -> None:
    for message in sent["server"]["before"]:
        heading(f"{message['role']} (not sent: the server adds this text of the model)")
        say(message["content"])
    for message in sent["messages"]:
        heading(message["role"])
        say(message["content"])
    if sent["server"]["left_out"]:
        heading("Dropped by the server: the model's own system text, because the request has a system message")
        say(sent["server"]["left_out"])
    constraint = sent["constraint"] or {}
    heading("Constraint")
    if not constraint:
        say("none")
    for name, value in constraint.items():
        say(f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}")
    heading("Options")
    say(", ".join(f"{name} = {value}" for name, value in sent["options"].items()))


def _say(artifact: Artifact) -> None:
    manifest, model, apart = artifact.manifest, artifact.lm, artifact.manifest["unhashed"]
    digest = model.get("digest")
    weights = "unverified" if digest is None else f"weights {digest[:_IDENTITY]}"
    rows = [
        ("artifact", str(artifact.path)),
        ("sha256", artifact.sha256),
        ("signed", "yes; `tunesmith verify --trusted` checks by whom" if artifact.signed else "no"),
        *([("created", apart["created"])] if apart["created"] else []),
        ("program", artifact.program_class),
        ("model", f"{model.get('model')} ({model.get('backend')}, {weights})"),
        ("metric", str(manifest["metric"])),
        ("data", ", ".join(f"{name} {key[:_IDENTITY]}" for name, key in manifest["datasets"].items()) or "unknown"),
        ("verdict", artifact.verdict),
        ("charged", _charged(manifest["charged"])),
        ("seed", str(manifest["seed"])),
        ("versions", ", ".join(f"{name} {version or '?'}" for name, version in manifest["versions"].items())),
    ]
    if apart["test_opened"] is not None:
        rows.append(("test split", f"looked at {times(apart['test_opened'])} up to this compile"))
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        say(f"{name.ljust(width)}  {value}")
    _say_scores(artifact.scores)
    prompts = artifact.prompts_json
    for path, part in prompts["parts"].items():
        nearest = prompts["settings"].get(nearest_path(path))
        title = f"Predictor {path}" + ("" if path in artifact.candidate_json["parts"] else ", frozen")
        _say_part(title, part, artifact.signatures[path], None if nearest is None else nearest.get("k"))
    for path, values in prompts["settings"].items():
        say()
        for name, value in values.items():
            say(f"setting {path}.{name}: {value}")
    for path, tools in manifest["program"]["tools"].items():
        heading(f"Tools of {path}")
        for tool in tools:
            say(f"{tool['name']}({', '.join(tool['arguments'].get('properties', {}))}): {tool['description']}")
    for text in manifest["notes"]:
        say(f"Note: {text}")


def _charged(charged: dict[str, Any]) -> str:
    return f"{charged.get('calls')} calls, {charged.get('tokens')} tokens" if charged else "unknown"


def _say_scores(scores: dict[str, Any]) -> None:
    cells = [(f"on {scores.get('split', 'test')}", "mean", "95 % interval", "n", "errors")]
    for name in ("baseline", "compiled", "gain"):
        one = scores.get(name)
        if isinstance(one, dict) and one.get("mean") is not None:
            interval = f"{one['low']:.3f} to {one['high']:.3f}"
            cells.append((name, f"{one['mean']:.3f}", interval, str(one["n"]), str(one.get("errors", ""))))
    if len(cells) > 1:
        say()
        say_table(cells, numbers=4)


def _say_part(title: str, part: dict[str, Any], fields: Sequence[dict[str, Any]], chosen: int | None) -> None:
    heading(title)
    for field in fields:
        desc = f"  {field['desc']}" if field["desc"] else ""
        say(f"{field['role']} {field['name']}: {field['type']}{desc}")
    say(f"format: {part['format'] or 'the caller’s adapter, or else the default of the class'}")
    for label, offset in part["settings"].get("offsets", {}).items():
        say(f"offset of {label}: {offset:+}")
    say(f"instruction: {part['instruction']}")
    say(f"demos: {len(part['demos'])}{'' if chosen is None else f', of which a call shows the {chosen} nearest'}")
    for demo in part["demos"]:
        given = ", ".join(f"{name}: {_short(value)}" for name, value in demo["inputs"].items())
        wanted = ", ".join(f"{name}: {_short(value)}" for name, value in demo["outputs"].items())
        say(f"  {given} -> {wanted}")


def _short(value: Any, limit: int = 90) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
