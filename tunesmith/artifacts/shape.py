"""The shape of `manifest.json`, version 1."""

import re
from collections.abc import Callable
from functools import cache
from typing import Any

from pydantic_core import CoreSchema, SchemaValidator, ValidationError
from pydantic_core import core_schema as schema

from tunesmith.errors import ArtifactError
from tunesmith.lm import PORTABLE, is_portable

__all__ = ["ADAPTER", "CLASS_NAME", "KEY_DIGITS", "check_shape"]

KEY_DIGITS = 12
"""Digits of an example's short key, 48 bits: 1,000 other examples match one of 10,000 keys by chance only once in 28
million cases."""

# Prefix for the name of a user's adapter, to distinguish it from tunesmith's formats.
ADAPTER = "adapter:"

_NAME = r"[^\W\d]\w*"
_LOCAL = rf"(?:{_NAME}|<locals>)"

# `module:Class`. A class defined inside a function has `<locals>` in its name and cannot be imported.
CLASS_NAME = re.compile(rf"{_NAME}(?:\.{_NAME})*:{_LOCAL}(?:\.{_LOCAL})*")


def _options(options: dict[str, Any]) -> dict[str, Any]:
    for name, value in options.items():
        if name not in PORTABLE:
            raise ValueError(f"{name!r} is not a portable request option; allowed are {', '.join(sorted(PORTABLE))}")
        if not is_portable(name, value):
            raise ValueError(f"the request option {name!r} must be a scalar or a list of texts")
    return options


def _class(name: str) -> str:
    if CLASS_NAME.fullmatch(name) is None:
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


def _distinct_names(signature: dict[str, Any]) -> dict[str, Any]:
    names = [field["name"] for field in signature["fields"]]
    if len(set(names)) != len(names):
        raise ValueError("two fields have one name")
    return signature


def _agrees_with_itself(manifest: dict[str, Any]) -> dict[str, Any]:
    if manifest["sampling"] != manifest["candidate"]["sampling"]:
        raise ValueError("`sampling` differs from the candidate's")
    predictors = manifest["program"]["predictors"]
    for title in ("candidate", "baseline"):
        if manifest[title] is None:
            continue
        parts = manifest[title]["parts"]
        if set(parts) != set(predictors):
            raise ValueError(f"the predictors of the {title} differ from the program's")
        for path, part in parts.items():
            _check_demos(f"{title} {path}", part["demos"], predictors[path]["signature"]["fields"])
    return manifest


def _check_demos(where: str, demos: list[dict[str, Any]], fields: list[dict[str, Any]]) -> None:
    for demo in demos:
        for role in ("input", "output"):
            if not set(demo[f"{role}s"]) <= {field["name"] for field in fields if field["role"] == role}:
                raise ValueError(f"{where}: a demo has fields that its signature lacks")


# The schema is written for pydantic's core, because building models of it takes longer than the rest of a load.


def _object(entries: dict[str, CoreSchema], *, newer: dict[str, CoreSchema] | None = None, ref: str = "") -> CoreSchema:
    """Return the schema of an object with exactly these entries; older versions did not write the `newer` ones."""
    fields = {
        **{name: schema.typed_dict_field(entry) for name, entry in entries.items()},
        **{name: schema.typed_dict_field(entry, required=False) for name, entry in (newer or {}).items()},
    }
    return schema.typed_dict_schema(fields, extra_behavior="forbid", ref=ref or None)


def _checked(check: Callable[[Any], Any], inner: CoreSchema) -> CoreSchema:
    return schema.no_info_after_validator_function(check, inner)


def _mapping(values: CoreSchema, *, least: int = 0, most: int | None = None) -> CoreSchema:
    return schema.dict_schema(schema.str_schema(), values, min_length=least, max_length=most)


def _manifest() -> CoreSchema:
    anything, text, truth, number = schema.any_schema(), schema.str_schema(), schema.bool_schema(), schema.int_schema()
    maybe, each = schema.nullable_schema, schema.list_schema
    data = _mapping(anything)
    class_name, options = _checked(_class, text), _checked(_options, data)
    field_name = _checked(_field_name, text)
    sha256 = schema.str_schema(pattern="^[0-9a-f]{64}$")
    short_key = schema.str_schema(pattern=rf"^[0-9a-f]{{{KEY_DIGITS}}}$")

    role = schema.literal_schema(["input", "output"])
    field = _object({"name": field_name, "role": role, "type": text, "desc": maybe(text)})
    signature = _checked(_distinct_names, _object({"name": text, "fields": each(field, min_length=1)}))
    predictor = _object({"class": class_name, "fingerprint": sha256, "signature": signature, "config": maybe(options)})
    # One constructor argument: a JSON value, a predictor at a path, or a module with its own arguments.
    arguments = maybe(schema.dict_schema(field_name, schema.definition_reference_schema("argument")))
    argument = _object(
        {},
        newer={"value": anything, "class": maybe(class_name), "path": maybe(text), "spec": arguments},
        ref="argument",
    )
    program = _object(
        {"class": class_name, "predictors": _mapping(predictor, least=1), "rebuildable": truth},
        newer={"spec": arguments},  # only for a registered module
    )

    demo = _object({"inputs": data, "outputs": _mapping(anything, least=1), "augmented": truth})
    part = _object(
        {
            "instruction": text,
            "demos": each(demo),
            "format": maybe(text),
            "settings": _object({}, newer={"offsets": _mapping(schema.float_schema(allow_inf_nan=False))}),
        }
    )
    setting = schema.union_schema([truth, number, schema.float_schema(), text])
    candidate = _object({"parts": _mapping(part), "sampling": options}, newer={"settings": _mapping(_mapping(setting))})

    unhashed = _object({"created": maybe(text), "paid": data, "test_opened": maybe(number)})
    manifest = _object(
        {
            "schema_version": schema.literal_schema([1]),
            "program": program,
            "candidate": candidate,
            "baseline": maybe(candidate),  # `None` means unknown
            "sampling": data,
            "lm": data,
            "metric": maybe(text),
            "datasets": _mapping(text),
            "scores": data,
            "verdict": text,
            "charged": data,
            "seed": maybe(number),
            "versions": _mapping(maybe(text)),
            "adapter": maybe(_checked(_adapter, text)),
            "state_sha256": sha256,
            "extra": data,
            "notes": each(text),
            "sha256": sha256,
            "unhashed": unhashed,
            "unhashed_sha256": sha256,
        },
        newer={"selected_on": _mapping(each(short_key))},
    )
    return schema.definitions_schema(_checked(_agrees_with_itself, manifest), [argument])


@cache
def _validator() -> SchemaValidator:
    return SchemaValidator(_manifest())


def check_shape(manifest: dict[str, Any], where: str) -> None:
    """Check that `manifest` has exactly the entries of version 1, with their types.

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
