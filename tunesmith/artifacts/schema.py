"""The model of `manifest.json`: its entries, with their types. `python -m tests.artifacts.write_schema` publishes it.

It is written for pydantic's core: a process that loads a program builds it anew, and to build the same of classes takes
12 times as long, a fifth of a load. `docs/decisions/0050-the-model-of-the-manifest.md` has the figures.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from pydantic_core import CoreSchema, SchemaValidator, ValidationError
from pydantic_core import core_schema as schema

from tunesmith.errors import ArtifactError
from tunesmith.lm import PORTABLE, is_portable

__all__ = ["ADAPTER", "KEY_DIGITS", "SCHEMA_VERSION", "check_manifest", "is_class_name", "manifest_schema"]

SCHEMA_VERSION = 3

KEY_DIGITS = 12
"""Digits of an example's short key, 48 bits: 1,000 other examples match one of 10,000 keys by chance only once in 28
million cases."""

# Prefix for the name of a user's adapter, to distinguish it from tunesmith's formats.
ADAPTER = "adapter:"


def is_class_name(text: str) -> bool:
    """Return whether `text` is a `module:Class`.

    A class defined inside a function has `<locals>` in its name and cannot be imported.
    """
    module, _, names = text.partition(":")
    parts = [*module.split("."), *(name for name in names.split(".") if name != "<locals>")]
    return bool(names) and all(map(str.isidentifier, parts))


# What the types alone do not say.


def _options(options: dict[str, Any]) -> dict[str, Any]:
    for name, value in options.items():
        if name not in PORTABLE:
            raise ValueError(f"{name!r} is not a portable request option; allowed are {', '.join(sorted(PORTABLE))}")
        if not is_portable(name, value):
            raise ValueError(f"the request option {name!r} must be a scalar or a list of texts")
    return options


def _class(name: str) -> str:
    if not is_class_name(name):
        raise ValueError("this is not a `module:Class`")
    return name


def _adapter(name: str) -> str:
    _class(name.removeprefix(ADAPTER))
    if not name.startswith(ADAPTER):
        raise ValueError("this is not an `adapter:module:Class`")
    return name


def _field_name(name: str) -> str:
    if not name.isidentifier() or name.startswith("_"):
        raise ValueError("this is not a field name")
    return name


def _instruction(text: str) -> str:
    if not text.strip():
        raise ValueError("an instruction is empty, and DSPy would write one of its own in its place")
    return text


def _distinct_names(signature: dict[str, Any]) -> dict[str, Any]:
    names = [field["name"] for field in signature["fields"]]
    if len(set(names)) != len(names):
        raise ValueError("two fields have one name")
    return signature


def _agrees_with_itself(manifest: dict[str, Any]) -> dict[str, Any]:
    if manifest["sampling"] != manifest["candidate"]["sampling"]:
        raise ValueError("`sampling` differs from the candidate's")
    program = manifest["program"]
    for title in ("candidate", "baseline"):
        if manifest[title] is not None:
            _check_candidate(title, manifest[title]["parts"], program["predictors"])
    for path, frozen in program["frozen"].items():
        _check_candidate(f"frozen part {path}", frozen["candidate"]["parts"], frozen["predictors"])
    return manifest


def _check_candidate(title: str, parts: Mapping[str, Any], predictors: Mapping[str, Any]) -> None:
    if set(parts) != set(predictors):
        raise ValueError(f"the predictors of the {title} differ from the program's")
    for path, part in parts.items():
        fields = predictors[path]["signature"]["fields"]
        names = {role: {field["name"] for field in fields if field["role"] == role} for role in ("input", "output")}
        for demo in part["demos"]:
            if not (set(demo["inputs"]) <= names["input"] and set(demo["outputs"]) <= names["output"]):
                raise ValueError(f"{title} {path}: a demo has fields that its signature lacks")


# The words of the model.


def _object(
    words: str,
    entries: Mapping[str, CoreSchema],
    *,
    optional: Mapping[str, CoreSchema] | None = None,
    ref: str | None = None,
) -> CoreSchema:
    """Return the schema of an object with exactly these entries."""
    fields = {
        **{name: schema.typed_dict_field(entry) for name, entry in entries.items()},
        **{name: schema.typed_dict_field(entry, required=False) for name, entry in (optional or {}).items()},
    }
    return schema.typed_dict_schema(fields, extra_behavior="forbid", ref=ref, metadata=_words(words))


def _words(text: str, **more: Any) -> dict[str, Any]:
    """Return the metadata by which the JSON Schema says `text`."""
    return {"pydantic_js_updates": {"description": text, **more}}


def _checked(check: Callable[[Any], Any], inner: CoreSchema, words: str = "", **more: Any) -> CoreSchema:
    metadata = _words(words, **more) if words else None
    return schema.no_info_after_validator_function(check, inner, metadata=metadata)


def _mapping(values: CoreSchema, *, least: int = 0) -> CoreSchema:
    return schema.dict_schema(schema.str_schema(), values, min_length=least or None)


def _manifest() -> CoreSchema:
    anything, text, truth, number = schema.any_schema(), schema.str_schema(), schema.bool_schema(), schema.int_schema()
    maybe, each, same = schema.nullable_schema, schema.list_schema, schema.definition_reference_schema
    data = _mapping(anything)
    class_name = _checked(_class, text, "`module:Class`")
    field_name = _checked(_field_name, text)
    options = _checked(
        _options,
        data,
        "request options, none of which says where a model is",
        properties={name: {} for name in sorted(PORTABLE)},
        additionalProperties=False,
    )
    sha256 = schema.str_schema(pattern="^[0-9a-f]{64}$")
    short_key = schema.str_schema(pattern=rf"^[0-9a-f]{{{KEY_DIGITS}}}$")
    arguments = maybe(schema.dict_schema(field_name, same("argument")))

    argument = _object(
        "an argument of a constructor: a JSON value, a predictor at a path, or a module with its own arguments",
        {},
        optional={"value": anything, "class": maybe(class_name), "path": maybe(text), "spec": arguments},
        ref="argument",
    )
    field = _object(
        "a field of a signature; `type` is a type of Python as text",
        {"name": field_name, "role": schema.literal_schema(["input", "output"]), "type": text, "desc": maybe(text)},
    )
    signature = _object("the fields in order", {"name": text, "fields": each(field, min_length=1)})
    predictor = _object(
        "a predictor; `fingerprint` covers its fields; `config` is null if it has options that no file may hold; "
        "`decisions` are thresholds of DSPy's decision types by output, null if unknown",
        {
            "class": class_name,
            "fingerprint": sha256,
            "signature": _checked(_distinct_names, signature),
            "config": maybe(options),
            "decisions": maybe(_mapping(data)),
        },
        ref="predictor",
    )
    demo = _object("a demo", {"inputs": data, "outputs": _mapping(anything, least=1), "augmented": truth})
    part = _object(
        "what a compile may change of a predictor; `format` is null under the caller's adapter",
        {
            "instruction": _checked(_instruction, text),
            "demos": each(demo),
            "format": maybe(text),
            "settings": _object(
                "the offsets of labels", {}, optional={"offsets": _mapping(schema.float_schema(allow_inf_nan=False))}
            ),
        },
    )
    setting = schema.union_schema([truth, number, schema.float_schema(allow_inf_nan=False), text])
    candidate = _object(
        "what a compile may change, by path",
        {"parts": _mapping(part), "sampling": options},
        optional={"settings": _mapping(_mapping(setting))},
        ref="candidate",
    )
    frozen = _object(
        "a part that was compiled before; DSPy leaves it out of state.json",
        {"predictors": _mapping(same("predictor"), least=1), "candidate": same("candidate")},
    )
    tool = _object("a tool without its function", {"name": text, "description": text, "arguments": data})
    program = _object(
        "the program, which `spec` and `predictors` build if `rebuildable`",
        {
            "class": class_name,
            "spec": arguments,
            "predictors": _mapping(same("predictor"), least=1),
            "frozen": _mapping(frozen),
            "tools": _mapping(each(tool)),
            "rebuildable": truth,
        },
    )
    unhashed = _object(
        "what differs between two runs of one compile",
        {"created": maybe(text), "paid": data, "test_opened": maybe(number)},
    )
    manifest = _object(
        f"manifest.json of an artifact of tunesmith, version {SCHEMA_VERSION}",
        {
            "schema_version": schema.literal_schema([SCHEMA_VERSION]),
            "program": program,
            "candidate": same("candidate"),
            "baseline": maybe(same("candidate")),  # `None` means unknown
            "sampling": data,
            "lm": data,
            "metric": maybe(text),
            "datasets": _mapping(text),
            "scores": data,
            "verdict": text,
            "charged": data,
            "seed": maybe(number),
            "versions": _mapping(maybe(text)),
            "adapter": maybe(_checked(_adapter, text, f"`{ADAPTER}module:Class`")),
            "state_sha256": sha256,
            "extra": data,
            "notes": each(text),
            "sha256": sha256,
            "unhashed": unhashed,
            "unhashed_sha256": sha256,
        },
        optional={"selected_on": _mapping(each(short_key))},
    )
    return schema.definitions_schema(_checked(_agrees_with_itself, manifest), [argument, predictor, candidate])


@cache
def _validator() -> SchemaValidator:
    return SchemaValidator(_manifest())


def manifest_schema() -> dict[str, Any]:
    """Return the JSON Schema of `manifest.json`."""
    from pydantic.json_schema import GenerateJsonSchema  # here, because a load does not publish it

    return GenerateJsonSchema().generate(_manifest())


def check_manifest(manifest: dict[str, Any], where: str) -> None:
    """Check that `manifest` has exactly the entries of this version, with their types, and agrees with itself.

    Raises:
        ArtifactError: an entry is wrong; the message names the first one.
    """
    try:
        _validator().validate_python(manifest, strict=True)
    except (ValidationError, RecursionError) as error:
        raise ArtifactError(
            f"{where}: {_first(error)}. Save the artifact again with this version of tunesmith."
        ) from error


def _first(error: ValidationError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    found = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(step) for step in found["loc"])
    problem = found["msg"].removeprefix("Value error, ")
    return f"`{place}`: {problem}" if place else problem
