"""A program, its metric and its model as JSON, so that another process can evaluate examples.

Programs, classes and functions travel by a name that the other process can import, never as objects.
"""

import dataclasses
import functools
import importlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tunesmith.data import Dataset, fields_of
from tunesmith.errors import UsageError, shown
from tunesmith.evaluation.examples import fit_to_program
from tunesmith.evaluation.ledger_view import lm_key
from tunesmith.evaluation.subject import Subject
from tunesmith.lm import LM, ReplyCache, is_portable, lm, reply_cache
from tunesmith.metrics import metric_fingerprint, metric_name
from tunesmith.modules import (
    Candidate,
    ChainOfThought,
    DspyChainOfThought,
    DspyPredict,
    Module,
    Predict,
    caller_adapter,
    class_name,
    find_class,
    find_module,
    program_fingerprint,
    program_inputs,
    signature_of,
    spec_of,
    why_not_importable,
)
from tunesmith.signatures import Example, Signature, declared, to_json_value, type_text

__all__ = ["example_json", "example_of", "job_json", "subject_of"]

_MAIN = ("__main__", "__mp_main__")
_STEPS: dict[str, Any] = {
    f"{kind.__module__}:{kind.__qualname__}": kind
    for kind in (Predict, DspyPredict, ChainOfThought, DspyChainOfThought)
}
_OTHERWISE = "or leave the executor at `threads`, which runs any program."


def job_json(subject: Subject) -> dict[str, Any]:
    """Return what `subject_of` needs in another process.

    Raises:
        UsageError: the program, the metric or the model cannot be named.
    """
    if caller_adapter() is not None:
        raise UsageError(f"`dspy.settings.adapter` is set in this process alone. Leave it unset, {_OTHERWISE}")
    program, candidate = _program_json(subject.origin), subject.candidate
    if candidate is None and "object" not in program:
        candidate = Candidate.of(subject.origin)  # instructions, demos and settings that it was given after it was made
    return {
        "program": program,
        "candidate": None if candidate is None else candidate.to_json(),
        "metric": _value_json(subject.metric, f"The metric `{metric_name(subject.metric)}`"),
        "lm": _lm_json(subject.lm),
        "tracing": subject.tracing,
        "known": _known(subject),
    }


def subject_of(job: Mapping[str, Any]) -> Subject:
    """Return the subject that `job_json` described, made anew in this process.

    Raises:
        UsageError: what the names stand for here is something else.
    """
    program = _program_of(job["program"])
    given = job["candidate"]
    candidate = None
    if given is not None:
        candidate = Candidate.from_json(given, {path: p.signature for path, p in program.named_predictors()})
    model = _lm_of(job["lm"])
    subject = Subject(program, _value_of(job["metric"]), lm=model, candidate=candidate, tracing=job["tracing"])
    differing = sorted(name for name, key in _known(subject).items() if job["known"][name] != key)
    if differing:
        raise UsageError(
            f"In a worker process the {' and the '.join(differing)} is another one. Keys given in code, and what was "
            f"changed after the import, do not reach it. Set keys in the environment, {_OTHERWISE}"
        )
    return subject


def _known(subject: Subject) -> dict[str, str]:
    return {
        "program": program_fingerprint(subject.origin),
        "metric": metric_fingerprint(subject.metric),
        "model": lm_key(subject.lm, subject.program),
    }


def example_json(subject: Subject, example: Example) -> dict[str, Any]:
    """Return an example as JSON.

    Raises:
        UsageError: a value has no JSON form that the other process would read as the same value.
    """
    fields = fields_of(example)
    typed = _exact_fields(subject)
    for name, value in fields.items():
        if name not in typed and not _is_json(value):
            raise UsageError(
                f"The field `{name}` holds {shown(value)}, which is not a JSON value and would reach a worker process "
                f"as text. Give the program a signature that types it, {_OTHERWISE}"
            )
    try:
        found = {name: to_json_value(value) for name, value in fields.items()}
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"An example has no JSON form: {error}. Use JSON values, {_OTHERWISE}") from error
    return {"fields": found, "inputs": sorted(example._input_keys or ())}


def example_of(subject: Subject, given: Mapping[str, Any]) -> Example:
    """Return the example that `example_json` wrote, typed as the program gets it."""
    example: Example = Example(base=dict(given["fields"])).with_inputs(*given["inputs"])
    return fit_to_program(subject.origin, Dataset((example,), tuple(given["inputs"]), "data"))[0][0]


@functools.lru_cache(maxsize=4)  # of the evaluation under way, asked for each example
def _exact_fields(subject: Subject) -> frozenset[str]:
    """Return the fields that the program's signature types, in any process."""
    try:
        known = program_inputs(subject.origin)
    except UsageError:
        return frozenset()
    return frozenset(known.signature.fields) if known.exact and known.signature is not None else frozenset()


def _is_json(value: object) -> bool:
    if isinstance(value, list):
        return all(map(_is_json, value))
    if type(value) is dict:
        return all(type(name) is str and _is_json(item) for name, item in value.items())
    return value is None or type(value) in (str, int, float, bool)


# Models ------------------------------------------------------------------------------------------------------


def _lm_json(model: LM) -> dict[str, Any]:
    try:
        state = model.dump_state()
    except UsageError as error:
        raise UsageError(
            f"The model {model.model!r} was not made by `ts.lm`, so a worker process cannot make it. Make it with "
            f"`ts.lm(...)`, {_OTHERWISE}"
        ) from error
    folder = model.cache_folder
    price = None if model.price is None else list(model.price)
    own = folder is not None and folder == reply_cache().folder  # the other process has one of its own
    return {"state": state, "price": price, "cache": True if own else None if folder is None else str(folder)}


def _lm_of(given: Mapping[str, Any]) -> LM:
    state = {name: value for name, value in given["state"].items() if not name.startswith("_")}
    state.pop("dspy_lm_class", None)
    if given["cache"] is not None:
        state["cache"] = True if given["cache"] is True else ReplyCache(Path(given["cache"]))
    return lm(**state, price=None if given["price"] is None else tuple(given["price"]))


# Programs ----------------------------------------------------------------------------------------------------


def _program_json(program: Module) -> dict[str, Any]:
    name = _object_name(program)
    if name is not None:
        return {"object": name}
    found = _part_json(program)
    if found is not None and _is_same_program(found, program):
        return found
    why = None if class_name(program) in _STEPS else why_not_importable(program)
    why = why or "it was changed after it was made, or has a signature that has no name"
    raise UsageError(
        f"A worker process cannot make this program, a {type(program).__name__}: {why}. Make it at the top of a module "
        f"and import it from there, as in `from tasks import program`, {_OTHERWISE}"
    )


def _is_same_program(found: Mapping[str, Any], program: Module) -> bool:
    made = Candidate.of(program).apply(_program_of(found))
    return (
        program_fingerprint(made) == program_fingerprint(program)
        and Candidate.of(made).key == Candidate.of(program).key
        and dict(_plain_state(made)) == dict(_plain_state(program))
        and not any(predictor.lm is not None for _, predictor in program.named_predictors())
    )


def _plain_state(program: Module) -> Iterator[tuple[str, Any]]:
    """Yield what the parts of a program hold beside signatures and demos, as far as it can be compared."""
    for path, part in program.named_sub_modules():
        if isinstance(part, DspyPredict):
            yield f"{path}.config", dict(part.config)
        elif isinstance(part, Module):
            yield from (
                (f"{path}.{name}", value)
                for name, value in vars(part).items()
                if not name.startswith("_") and name != "history" and _is_json(value)
            )


def _part_json(program: Module) -> dict[str, Any] | None:
    kind = class_name(program)
    if kind in _STEPS:
        _, step = program.named_predictors()[0]
        options = {name: value for name, value in step.config.items() if is_portable(name, value)}
        return {"class": kind, "signature": _signature_json(signature_of(step), program), "config": options}
    spec = spec_of(program)
    if spec is not None:
        arguments = {name: _argument_json(value) for name, value in spec.items()}
        return None if None in arguments.values() else {"class": kind, "arguments": arguments}
    return None if why_not_importable(program) is not None or _is_main(program) else {"class": kind}


def _argument_json(value: object) -> dict[str, Any] | None:
    if isinstance(value, Module):
        return _part_json(value)
    if isinstance(value, type) and issubclass(value, Signature):
        return {"signature": _signature_json(value, None)}
    return {"value": value} if _is_json(value) else None


def _program_of(given: Mapping[str, Any]) -> Module:
    found = _imported(given["object"]) if "object" in given else _part_of(given)
    if not isinstance(found, Module):
        raise UsageError(f"{shown(given)} is not a program in this process.")
    return found


def _part_of(given: Mapping[str, Any]) -> Any:
    if "value" in given:
        return given["value"]
    if "class" not in given:
        return _signature_of(given["signature"])
    kind = _STEPS.get(given["class"]) or find_module(given["class"]) or find_class(given["class"])
    if "signature" in given:
        return kind(_signature_of(given["signature"]), **given["config"])
    return kind(**{name: _part_of(value) for name, value in given.get("arguments", {}).items()})


def _signature_json(signature: type[Signature], program: Module | None) -> dict[str, Any]:
    if isinstance(program, DspyChainOfThought):
        signature = program_inputs(program).signature or signature
    name = f"{signature.__module__}:{signature.__qualname__}"
    if signature.__module__ not in _MAIN and _found(name) is signature:
        return {"name": name}
    sides = [
        ", ".join(f"{name}: {type_text(info.annotation)}" for name, info in side.items())
        for side in (signature.input_fields, signature.output_fields)
    ]
    return {"text": " -> ".join(sides), "instructions": signature.instructions}


def _signature_of(given: Mapping[str, Any]) -> Any:
    return _imported(given["name"]) if "name" in given else declared(given["text"], given["instructions"])


# Metrics and other values ------------------------------------------------------------------------------------


def _value_json(value: Any, what: str) -> Any:
    """Return a value by its name, or as its class with its fields.

    Raises:
        UsageError: it has neither.
    """
    if isinstance(value, LM):
        return {"lm": _lm_json(value)}
    if _is_json(value):
        return {"value": value}
    if isinstance(value, tuple):
        return {"tuple": [_value_json(item, what) for item in value]}
    name = _object_name(value)
    if name is not None:
        return {"object": name}
    if dataclasses.is_dataclass(value) and not isinstance(value, type) and not _is_main(value):
        fields = {f.name: _value_json(getattr(value, f.name), what) for f in dataclasses.fields(value) if f.init}
        return {"class": class_name(value), "fields": fields}
    raise UsageError(
        f"{what} cannot be given to a worker process: it has no name that can be imported. Define it at the top of a "
        f"module and import it from there, as in `from tasks import metric`, {_OTHERWISE}"
    )


def _value_of(given: Mapping[str, Any]) -> Any:
    if "lm" in given:
        return _lm_of(given["lm"])
    if "value" in given:
        return given["value"]
    if "tuple" in given:
        return tuple(map(_value_of, given["tuple"]))
    if "object" in given:
        return _imported(given["object"])
    return _imported(given["class"])(**{name: _value_of(value) for name, value in given["fields"].items()})


def _is_main(value: object) -> bool:
    return type(value).__module__ in _MAIN


def _object_name(value: Any) -> str | None:
    """Return `module:attribute` of an object that a module holds at its top, `None` if none does."""
    own = f"{getattr(value, '__module__', '')}:{getattr(value, '__qualname__', '')}"
    if not own.startswith(_MAIN) and _found(own) is value:
        return own
    for module_name, module in sorted(sys.modules.copy().items()):
        if module_name in _MAIN or module_name.partition(".")[0] in ("dspy", "tunesmith"):
            continue
        for name, found in list(getattr(module, "__dict__", {}).items()):
            if found is value:
                return f"{module_name}:{name}"
    return None


def _found(name: str) -> Any:
    """Return what `module:attribute` names, `None` if it names nothing."""
    try:
        return _named(name)
    except (ImportError, AttributeError, ValueError):
        return None


def _imported(name: str) -> Any:
    """Return what `module:attribute` names, in a worker.

    Raises:
        UsageError: it names nothing here.
    """
    try:
        return _named(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f"`{name}` cannot be imported: {error}. Every worker needs your modules: install them, set PYTHONPATH "
            "where the worker starts, or have their folder at the same path as here."
        ) from error


def _named(name: str) -> Any:
    place, _, path = name.partition(":")
    return functools.reduce(getattr, path.split("."), importlib.import_module(place)) if path else None
