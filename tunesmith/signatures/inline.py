"""Inline signatures: a text such as `"question -> answer"`, or a mapping of fields."""

import ast
import keyword
import re
from collections.abc import Callable
from typing import Any

from tunesmith.errors import SignatureError, TunesmithError, shown
from tunesmith.lazy import lazy_pattern
from tunesmith.signatures.atoms import reason
from tunesmith.signatures.signature import Signature, check_fields, check_names

__all__ = ["declared", "made_by_dspy"]

_TEXT = "Write it as `question, context -> answer: int`, or as a class: `class Ask(ts.Signature): ...`"
_COLUMN = "A column of another name is given to a field by `columns`."
_TYPES = (
    "Types are those of Python, `typing` and pydantic; your own class only by itself, as in `-> a: Mine`. "
    "Write any other signature as a class: `class Ask(ts.Signature): ...`"
)
_ARROWS = lazy_pattern(r"=>|→|⇒|➜|- >|—>|–>|(?<!-)>")
_NAME = lazy_pattern(r"[^\W\d]\w*")


def declared(*args: Any, **kwargs: Any) -> type[Signature]:
    """Return `dspy.Signature(*args, **kwargs)` after checks; for instance of the text `"question -> answer"`.

    Raises:
        SignatureError: the arguments are not a signature, DSPy or pydantic rejects a name or a type, or DSPy uses a
            name itself.
    """
    if args and isinstance(args[0], str):  # before DSPy, which drops parts of a faulty text
        check_names("Signature", _roles(args[0]))
    build: Any = Signature
    instructions = args[1] if len(args) > 1 else kwargs.get("instructions")
    if instructions is not None and not isinstance(instructions, str):
        raise SignatureError(f"The instructions of a signature must be text. Given: {shown(instructions)}.")
    what = shown(args[0]) if args else "This"
    made: type[Signature] = made_by_dspy(what, lambda: build(*args, **kwargs), _TYPES)
    check_fields(made)
    return made


def made_by_dspy(what: str, make: Callable[[], Any], remedy: str) -> Any:
    """Call `make`, and turn an error of DSPy or pydantic into a `SignatureError`.

    Args:
        what: names the signature in the error.
        make: builds the signature with DSPy.
        remedy: the advice in the error.

    Raises:
        SignatureError: DSPy or pydantic rejects the signature.
    """
    try:
        return make()
    except TunesmithError:
        raise
    except Exception as error:  # DSPy and pydantic raise many types, and a user's type may run code
        raise SignatureError(f"{what} is not a signature: {_problem(error)}. {remedy}.") from error


def _problem(error: Exception) -> str:
    unknown = re.match(r"Unknown name: (\w+)", str(error))
    if unknown is not None:
        return f"the type `{unknown[1]}` is unknown"
    strange = re.match(r"Unable to generate pydantic-core schema for (.+?)\. Set", str(error))
    return reason(error) if strange is None else f"pydantic does not know the type {strange[1]}"


def _roles(text: str) -> dict[str, str]:
    """Return the role of each field in a text such as `"question: str -> answer"`.

    Raises:
        SignatureError: the text has another form.
    """
    given = f"Given: {shown(text)}. {_TEXT}."
    if text.count("->") != 1:
        other = _ARROWS.search(text)
        instead = f", not `{other[0]}`" if other and "->" not in text else ""
        raise SignatureError(f"A signature needs exactly one `->` between inputs and outputs{instead}. {given}")
    before, _, after = text.partition("->")
    found: dict[str, str] = {}
    for role, fields in (("input", before), ("output", after)):
        for name in _names(role, fields.strip(), given):
            if name in found:
                again = f"an {role} twice" if found[name] == role else "an input and an output"
                raise SignatureError(f"`{name}` is {again}. Rename one of them. {given}")
            found[name] = role
    if "output" not in found.values():
        raise SignatureError(f"There is no output after `->`. {given}")
    return found


def _names(role: str, fields: str, given: str) -> list[str]:
    """Return the names of the fields of one side."""
    try:
        arguments = ast.parse(f"def f({fields}): ...").body[0].args  # type: ignore[attr-defined]  # a function
    except (SyntaxError, ValueError) as error:
        reserved = next((name for name in _NAME.findall(fields) if keyword.iskeyword(name) and name != "None"), None)
        why = f"`{reserved}` is a Python keyword" if reserved else "commas separate names, and a type follows a colon"
        raise SignatureError(f"The {role}s `{fields}` are not valid: {why}. {_COLUMN} {given}") from error
    odd = [*arguments.posonlyargs, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg, *arguments.defaults]
    if any(odd):
        raise SignatureError(f"The {role}s `{fields}` must be only names and types. {given}")
    return [argument.arg for argument in arguments.args]
