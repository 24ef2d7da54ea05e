"""Which program this is."""

from typing import Any

from tunesmith.lm import content_key
from tunesmith.modules.module import Module
from tunesmith.signatures import describe, fingerprint

__all__ = ["class_name", "program_fingerprint", "program_structure"]


def class_name(value: object) -> str:
    """Return `module:Class` of an object."""
    kind = type(value)
    return f"{kind.__module__}:{kind.__qualname__}"


def program_structure(program: Module) -> dict[str, Any]:
    """Return class names and, per predictor path, the signature: what a candidate does not change."""
    return {
        "class": class_name(program),
        "predictors": {
            path: {
                "class": class_name(predictor),
                "fingerprint": fingerprint(predictor.signature),
                "signature": describe(predictor.signature),
            }
            for path, predictor in program.named_predictors()
        },
    }


def program_fingerprint(program: Module) -> str:
    """Return the sha256 of the program's class and of its predictors' paths, classes and typed fields.

    Instructions and demos do not count: a compiler changes them.
    """
    found = program_structure(program)
    for predictor in found["predictors"].values():
        del predictor["signature"]
    return content_key(found)
