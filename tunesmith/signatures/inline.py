"""A signature that is written in a call: as a text such as `"question -> answer"`, or as a mapping of fields."""

import ast
import keyword
import re
from collections.abc import Callable
from typing import Any

from tunesmith.errors import SignatureError, TunesmithError, shown
from tunesmith.signatures.atoms import reason
from tunesmith.signatures.signature import Signature, check_fields, check_names

__all__ = ["declared", "made_by_dspy"]

_TEXT = "Write it as `question, context -> answer: int`, or as a class: `class Ask(ts.Signature): ...`"
_TYPES = (
    "Types are those of Python, `typing` and pydantic, and a class of yours where it stands alone, as in `-> a: Mine`. "
    "Write any other signature as a class: `class Ask(ts.Signature): ...`"
)
_ARROWS = re.compile(r"=>|→|⇒|➜|- >|—>|–>|(?<!-)>")
_NAME = re.compile(r"[^\W\d]\w*")


def declared(*args: Any, **kwargs: Any) -> type[Signature]:
    """Return `dspy.Signature(*args, **kwargs)`, such as of a text like `"question -> answer"`, checked.

    Raises:
        SignatureError: it is not a signature, DSPy or pydantic does not take a name or a type, or DSPy takes a name for
            itself.
    """
    if args and isinstance(args[0], str):  # before DSPy reads it: it drops some of it, and some names stop it half-way
        check_names("Signature", _roles(args[0]))
    build: Any = Signature
    instructions = args[1] if len(args) > 1 else kwargs.get("instructions")
    if instructions is not None and not isinstance(instructions, str):
        raise SignatureError(f"The instructions of a signature are a text. Given: {shown(instructions)}.")
    what = shown(args[0]) if args else "This"
    made: type[Signature] = made_by_dspy(what, lambda: build(*args, **kwargs), _TYPES)
    check_fields(made)
    return made


def made_by_dspy(what: str, make: Callable[[], Any], remedy: str) -> Any:
    """Return what `make` returns.

    Args:
        what: the signature, for the error.
        make: asks DSPy for it.
        remedy: what to do if DSPy or pydantic refuses it.

    Raises:
        SignatureError: one of them does.
    """
    try:
        return make()
    except TunesmithError:
        raise
    except Exception as error:  # DSPy and pydantic have several kinds, and a type may bring code of its own
        raise SignatureError(f"{what} is not a signature: {_problem(error)}. {remedy}.") from error


def _problem(error: Exception) -> str:
    unknown = re.match(r"Unknown name: (\w+)", str(error))
    if unknown is not None:
        return f"there is no type `{unknown[1]}` here"
    strange = re.match(r"Unable to generate pydantic-core schema for (.+?)\. Set", str(error))
    return reason(error) if strange is None else f"pydantic does not know the type {strange[1]}"


def _roles(text: str) -> dict[str, str]:
    """Return the role of each field in a text such as `"question: str -> answer"`.

    Raises:
        SignatureError: the text is not of that form.
    """
    given = f"Given: {shown(text)}. {_TEXT}."
    if text.count("->") != 1:
        other = _ARROWS.search(text)
        instead = f", here written `{other[0]}`" if other and "->" not in text else ""
        raise SignatureError(f"A signature in a text has `->` once, between inputs and outputs{instead}. {given}")
    before, _, after = text.partition("->")
    found: dict[str, str] = {}
    for role, fields in (("input", before), ("output", after)):
        for name in _names(role, fields.strip(), given):
            if name in found:
                again = f"an {role} twice" if found[name] == role else "an input and an output"
                raise SignatureError(f"`{name}` is {again}. Rename one of them. {given}")
            found[name] = role
    if "output" not in found.values():
        raise SignatureError(f"There is no output behind `->`. {given}")
    return found


def _names(role: str, fields: str, given: str) -> list[str]:
    """Return the names of the fields of one side."""
    try:
        arguments = ast.parse(f"def f({fields}): ...").body[0].args  # type: ignore[attr-defined]  # a function
    except (SyntaxError, ValueError) as error:
        kept = next((name for name in _NAME.findall(fields) if keyword.iskeyword(name) and name != "None"), None)
        why = f"Python keeps `{kept}` for itself" if kept else "commas separate names, and a type follows a colon"
        raise SignatureError(f"The {role}s `{fields}` cannot be read: {why}. {given}") from error
    odd = [*arguments.posonlyargs, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg, *arguments.defaults]
    if any(odd):
        raise SignatureError(f"The {role}s `{fields}` hold more than names and types. {given}")
    return [argument.arg for argument in arguments.args]
