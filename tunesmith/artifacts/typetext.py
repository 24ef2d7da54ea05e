"""Parse the text of simple types, without evaluating code or looking up names.

The input is the output of `signatures.type_text`: `str`, `date | None`, `list[dict[str, float]]`, `Literal['a', 'b']`,
`str (max_length=60)`.
"""

import functools
import operator
import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from uuid import UUID

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen, MultipleOf
from pydantic.fields import FieldInfo

from tunesmith.signatures import NAMED_TYPES

__all__ = ["IMPORTED", "canonical", "parse_type"]

IMPORTED: dict[str, Any] = {kind.__name__: kind for kind in (Any, date, datetime, time, timedelta, Decimal, UUID)}
"""Types of the standard library that have to be imported, by name."""

_SCALARS: dict[str, Any] = {
    "str": str, "int": int, "float": float, "bool": bool, "None": type(None), **IMPORTED,
    **{kind.__name__: kind for kind in NAMED_TYPES},
}  # fmt: skip
_GENERICS: dict[str, tuple[Any, int]] = {"list": (list, 1), "dict": (dict, 2), "set": (set, 1)}
_CONSTANTS: dict[str, Any] = {"True": True, "False": False, "None": None}
_BOUNDS: dict[str, Callable[[Any], Any]] = {"ge": Ge, "gt": Gt, "le": Le, "lt": Lt, "multiple_of": MultipleOf}
_LENGTHS: dict[str, Callable[[int], Any]] = {"max_length": MaxLen, "min_length": MinLen}
_ESCAPE = r"""\\(?:[\\'"nrt]|x[0-9a-f]{2}|u[0-9a-f]{4}|U00(?:0[0-9a-f]|10)[0-9a-f]{4})"""  # the escapes of `repr`
# Escapes are looked at where there is one: every load compiles this expression, and with them it takes twice as long.
_TOKEN = re.compile(
    r"""\s*(?: (?P<name>[A-Za-z_]+) | (?P<text>'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")
    | (?P<number>-?\d{1,40}(?:\.\d{1,40})?(?:e[+-]?\d{1,3})?) | (?P<sign>\.\.\.|[\[\],|()=]) )""",
    re.VERBOSE,
)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}
_LONGEST = 100_000
_DEEPEST = 20


def parse_type(text: str) -> Any:
    """Return the type that `text` names.

    That is a text, a number, a truth value, a date or time, an identifier, `Any`, a conversation or a medium of DSPy,
    literals, or a list, dict, set, tuple or union of these; with bounds.

    Raises:
        ValueError: `text` is not a type, or not one of these.
    """
    if len(text) > _LONGEST:
        raise ValueError("The text of the type is too long.")
    parser = _Parser(text)
    found = parser.union(0)
    parser.expect("")
    return found


class _Parser:
    def __init__(self, text: str) -> None:
        self._text, self._at = text.rstrip(), 0
        self._kind, self._token = "", ""
        self._next()

    def union(self, depth: int) -> Any:
        """Read `one | other | ...`."""
        if depth > _DEEPEST:
            raise ValueError("The type is nested too deeply.")
        options = [self._bounded(depth)]
        while self._token == "|" and self._kind == "sign":
            self._next()
            options.append(self._bounded(depth))
        if len(options) > 1 and all(option is type(None) for option in options):
            raise ValueError("A type of nothing but None.")
        return functools.reduce(operator.or_, options)

    def expect(self, sign: str) -> None:
        """Read `sign`; an empty `sign` means the end of the text."""
        if self._token != sign or self._kind not in ("sign", ""):
            raise ValueError(f"Expected {sign or 'the end'!r}, found {self._token!r}.")
        self._next()

    def _bounded(self, depth: int) -> Any:
        """Read a type, and the bounds behind it, as `int (ge=1, le=5)`."""
        found = self._single(depth)
        if (self._token, self._kind) != ("(", "sign"):
            return found
        bounds: list[Any] = []
        while self._token != ")" or not bounds:
            self._next()
            bounds.append(self._bound(found))
            if (self._token, self._kind) not in ((",", "sign"), (")", "sign")):
                raise ValueError(f"Expected ')', found {self._token!r}.")
        self._next()
        for bound in bounds:
            found = Annotated[found, bound]
        return found

    def _bound(self, kind: Any) -> Any:
        name = self._token
        self._next()
        self.expect("=")
        token, is_number = self._token, self._kind == "number"
        self._next()
        counted = name in _LENGTHS and (kind is str or kind is list or get_origin(kind) is list)
        if not is_number or not (counted or (name in _BOUNDS and kind in (int, float))):
            raise ValueError(f"{name!r} is no bound of this type.")
        if counted:
            return _LENGTHS[name](int(token))
        return _BOUNDS[name](int(token) if token.lstrip("-").isdigit() else float(token))

    def _single(self, depth: int) -> Any:
        name, kind = self._token, self._kind
        self._next()
        if kind != "name":
            raise ValueError(f"{name!r} is not a type.")
        if name in _SCALARS:
            return _SCALARS[name]
        if name == "Literal":
            return self._literal()
        if name in _GENERICS:
            return self._generic(*_GENERICS[name], depth)
        if name == "tuple":
            return self._tuple(depth)
        raise ValueError(f"{name!r} is not a simple type.")

    def _generic(self, origin: Any, count: int, depth: int) -> Any:
        if self._token != "[":
            return origin
        self._next()
        inside = [self.union(depth + 1)]
        while len(inside) < count:
            self.expect(",")
            inside.append(self.union(depth + 1))
        self.expect("]")
        return origin[tuple(inside)] if count > 1 else origin[inside[0]]

    def _tuple(self, depth: int) -> Any:
        """Read `tuple`, `tuple[one, other]` or `tuple[each, ...]`."""
        if self._token != "[":
            return tuple
        self._next()
        inside = [self.union(depth + 1)]
        while self._token == "," and inside[-1] is not ...:
            self._next()
            if self._token == "..." and len(inside) == 1:
                self._next()
                inside.append(...)
            else:
                inside.append(self.union(depth + 1))
        self.expect("]")
        made: Any = tuple
        return made[tuple(inside)]

    def _literal(self) -> Any:
        self.expect("[")
        values = [self._constant()]
        while self._token == "," and self._kind == "sign":
            self._next()
            values.append(self._constant())
        self.expect("]")
        return Literal[tuple(values)]

    def _constant(self) -> Any:
        kind, token = self._kind, self._token
        self._next()
        if kind == "text":
            return _read_text(token[1:-1])
        if kind == "number":
            return int(token)
        if kind == "name" and token in _CONSTANTS:
            return _CONSTANTS[token]
        raise ValueError(f"{token!r} is not a literal.")

    def _next(self) -> None:
        if self._at == len(self._text):
            self._kind, self._token = "", ""
            return
        match = _TOKEN.match(self._text, self._at)
        if match is None:
            raise ValueError(f"{self._text[self._at : self._at + 20]!r} cannot be part of a simple type.")
        self._at = match.end()
        self._kind = str(match.lastgroup)
        self._token = match[self._kind]


def canonical(annotation: Any) -> Any:
    """Return a value that is equal for two ways to write a type, such as `typing.List[int]` and `list[int]`."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Literal or not args:
        return annotation if origin is None or args else origin  # `typing.List` alone is a list
    if origin is Annotated:
        marks = [mark for one in args[1:] for mark in (one.metadata if _is_bound(one) else [one])]
        return Annotated, canonical(args[0]), marks
    return Union if origin is UnionType else origin, [canonical(arg) for arg in args]


def _is_bound(mark: Any) -> bool:
    """Return whether a mark is pydantic's `Field` with no more than bounds, as far as a value is concerned."""
    return isinstance(mark, FieldInfo) and bool(mark.metadata)


def _read_text(text: str) -> str:
    if "\\" not in text:
        return text
    if "\\" in re.sub(_ESCAPE, "", text):
        raise ValueError(f"{text[:40]!r} holds an escape that no literal has.")
    return re.sub(_ESCAPE, _unescaped, text)


def _unescaped(match: re.Match[str]) -> str:
    sign, digits = match[0][1], match[0][2:]
    return chr(int(digits, 16)) if digits else _ESCAPED.get(sign, sign)
