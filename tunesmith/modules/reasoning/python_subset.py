"""The Python that programs may be written in: what a prompt says of it, what is rewritten, and hints at errors."""

import ast
import re
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.lazy import lazy_pattern
from tunesmith.modules.reasoning.sandbox import ANSWER

__all__ = ["MODULES", "Prepared", "hint_for", "prepared", "rules_of"]

MODULES = frozenset({
    "asyncio", "base64", "binascii", "bisect", "collections", "copy", "csv", "dataclasses", "datetime", "decimal",
    "functools", "hashlib", "itertools", "json", "math", "os", "pathlib", "posixpath", "random", "re", "sys", "time",
    "tomllib", "typing", "unicodedata",
})  # fmt: skip
"""What pydantic-monty 1.4 can import. Of `os`, `pathlib` and `sys` only what touches nothing outside works."""

_RULES = (
    "Write a short Python program. Define `solution()`: it takes nothing, computes {what} from the numbers in the "
    "inputs, and returns it. Give each quantity a name. Write plain functions and loops. You may import math, "
    "itertools, collections, functools, datetime, decimal, random, re and json, and nothing else. There is no input(), "
    "no file, no network, no yield, and no class with a base class. Write the program alone, without explanation."
)
_LOCK = threading.Lock()  # two threads would restore each other's filters of warnings
_FENCE = lazy_pattern(r"^[ \t]*```[^\n]*\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)
_LISTS = ("map", "filter", "zip", "enumerate", "reversed")  # lazy in Python, lists in the sandbox
_SOLUTION = "def solution("
_BEGINNINGS = ("def ", "import ", "from ", "class ")
_MOST_CHARACTERS = 20_000
_HINTS = (
    ("not an iterator", "Generator expressions are lists here: write iter(...) around it, or use a loop."),
    ("No module named", "Import only math, itertools, collections, functools, datetime, decimal, random, re and json."),
    ("cannot import name", "That name is missing from the module. Compute it with plain Python."),
    ("class inheritance", "Write the class without a base class, or use functions and dicts."),
    ("method decorators", "Write a plain method or a function instead."),
    ("yield expressions", "Collect the values in a list and return the list."),
    ("'del' statement", "Build a new list or dict without that part."),
    ("type aliases", "Leave the type alias out."),
    ("name 'input' is not defined", "There is no input. Write the numbers of the question into the program."),
    ("Permission denied", "There are no files. Write the numbers of the question into the program."),
    ("not supported in this environment", "There is no environment. Write all values into the program."),
    ("'is_integer'", "Use x == int(x)."),
    ("2nd argument cannot be negative", "Find the inverse with a loop over range(modulus)."),
    ("4300 digits", "The number is too long to print. Return a smaller number, such as a remainder."),
    ("TimeoutError", "Does a loop never end? A generator expression is computed whole, so it must be finite."),
    ("MemoryError", "Build smaller values and print less."),
    ("RecursionError", "Use a loop in place of the recursion."),
    (
        "is not defined",
        "Define the name before it is used; few builtins are missing: exit, callable, globals, vars, super.",
    ),
)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A program as it is run.

    Attributes:
        code: the program, with what the sandbox refuses rewritten. Lines keep their numbers.
        answer: the expression that is the answer, evaluated after the program; `None` if only its output can be.
        error: why it cannot be run, `None` if it can.
    """

    code: str
    answer: str = "None"
    error: str | None = None


def rules_of(what: str) -> str:
    """Return what a prompt says of programs that compute `what`."""
    return _RULES.replace("{what}", what)


def hint_for(error: str) -> str:
    """Return what to do about an error of a program, empty without advice."""
    return next((hint for part, hint in _HINTS if part in error), "")


def prepared(text: str, inputs: Iterable[str] = ()) -> Prepared:
    """Return the program in a reply, ready to run.

    A fence is taken off, and so are sentences around `solution`. The answer is `solution()`, else the last expression,
    else what is assigned last; a function that nobody calls is called. Rewritten are lazy values that are lists in the
    sandbox, `del`, an empty list of base classes, and imports of missing modules that nothing uses.

    Args:
        text: the model's reply.
        inputs: names that `solution` may have as parameters.
    """
    fenced = _FENCE.search(text)
    code = (fenced[1] if fenced else text).strip("\n").rstrip()
    if len(code) > _MOST_CHARACTERS:
        return Prepared(code, error=f"The program is longer than {_MOST_CHARACTERS:,} characters.")
    try:
        code, tree = _read(code)
    except SyntaxError as error:
        line = "" if error.lineno is None else f"line {error.lineno}: {(error.text or '').strip()[:200]}\n"
        return Prepared(code, error=f"{line}SyntaxError: {error.msg}")
    except (ValueError, RecursionError, MemoryError) as error:
        return Prepared(code, error=f"The program cannot be read: {error}")
    if not tree.body:
        return Prepared(code, error="The program is empty.")
    answer, assigned = _answer(tree.body, frozenset(inputs))
    edits = [*_edits(tree), *assigned]
    return Prepared(_edited(code, edits), answer)


def _read(code: str) -> tuple[str, ast.Module]:
    """Return the program and its syntax tree, without the sentences before and after it."""
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as that of an unknown escape in a text
        try:
            return code, ast.parse(code)
        except SyntaxError as error:
            lines = code.split("\n")
            begin = next((place for place, line in enumerate(lines) if line.startswith(_BEGINNINGS)), len(lines))
            inside = "\n".join(lines[begin:])
            if begin == 0 and error.lineno is not None:
                ends = [place for place, line in enumerate(lines[: error.lineno]) if line[:1].strip()]
                inside = "\n".join(lines[: ends[-1]]) if ends else ""
            if _SOLUTION not in inside or inside == code:
                raise
    return _read(inside)


_Edit = tuple[int, int, int, int, str]
"""From line and column to line and column, as in a syntax tree, and the text that stands there."""


def _answer(body: Sequence[ast.stmt], inputs: frozenset[str]) -> tuple[str, list[_Edit]]:
    """Return the expression of the answer, and an edit that gives the last expression a name."""
    functions = {one.name: one for one in body if isinstance(one, ast.FunctionDef)}
    last = body[-1]
    called = functions.get("solution") or (last if isinstance(last, ast.FunctionDef) else None)
    if called is not None and (given := _arguments(called, inputs)) is not None:
        return f"{called.name}({given})", []
    if isinstance(last, ast.Expr):
        return ANSWER, [(last.lineno, last.col_offset, last.lineno, last.col_offset, f"{ANSWER} = ")]
    if isinstance(last, ast.Assign | ast.AnnAssign | ast.AugAssign):
        target = last.targets[-1] if isinstance(last, ast.Assign) else last.target
        if isinstance(target, ast.Name):
            return target.id, []
    return "None", []


def _arguments(function: ast.FunctionDef, inputs: frozenset[str]) -> str | None:
    """Return the arguments of a call, `None` if a parameter without a default is not an input."""
    known = function.args
    positional = [*known.posonlyargs, *known.args]
    needed = positional[: len(positional) - len(known.defaults)]
    named = [one for one, default in zip(known.kwonlyargs, known.kw_defaults, strict=True) if default is None]
    if not all(one.arg in inputs for one in (*needed, *named)):
        return None
    return ", ".join([*(one.arg for one in needed), *(f"{one.arg}={one.arg}" for one in named)])


def _edits(tree: ast.Module) -> Iterator[_Edit]:
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.Delete) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Delete):
            yield from _deleted(node)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            if _is_useless(node, used):
                yield _replaced(node, "pass")
        elif isinstance(node, ast.ClassDef):
            yield from _without_object(node)
        elif id(node) not in inside:
            yield from _kept_lazy(node)


def _replaced(node: Any, text: str) -> _Edit:
    return node.lineno, node.col_offset, node.end_lineno, node.end_col_offset, text


def _deleted(node: ast.Delete) -> Iterator[_Edit]:
    """Yield `x.pop(i)` for `del x[i]`, and `x = None` for `del x`."""
    parts = []
    for target in node.targets:
        if isinstance(target, ast.Name):
            parts.append(f"{target.id} = None")
        elif isinstance(target, ast.Subscript) and not isinstance(target.slice, ast.Slice):
            parts.append(f"{ast.unparse(target.value)}.pop({ast.unparse(target.slice)})")
        else:
            return
    yield _replaced(node, "; ".join(parts))


def _is_useless(node: ast.Import | ast.ImportFrom, used: set[str]) -> bool:
    """Return whether an import names a missing module, and the program uses none of its names."""
    names = [(one.asname or one.name).partition(".")[0] for one in node.names]
    modules = [one.name for one in node.names] if isinstance(node, ast.Import) else [node.module or ""]
    missing = all(one.partition(".")[0] not in MODULES for one in modules)
    return missing and "*" not in names and used.isdisjoint(names)


def _without_object(node: ast.ClassDef) -> Iterator[_Edit]:
    alone = len(node.bases) == 1 and not node.keywords
    if alone and isinstance(node.bases[0], ast.Name) and node.bases[0].id == "object":
        yield _replaced(node.bases[0], "")


def _kept_lazy(node: Any) -> Iterator[_Edit]:
    """Put `iter(...)` around a lazy value that `next` reads: its argument, or one that gets a name."""
    value: Any = None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "next" and node.args:
        value = node.args[0]
    elif isinstance(node, ast.Assign | ast.NamedExpr):
        value = node.value
    is_lazy_call = isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in _LISTS
    if is_lazy_call or isinstance(value, ast.GeneratorExp):
        end = (value.end_lineno, value.end_col_offset)
        # The brackets of a call belong to its only argument too, if that is a generator expression.
        shared = isinstance(node, ast.Call) and (node.end_lineno, node.end_col_offset) == end
        yield value.lineno, value.col_offset, value.lineno, value.col_offset, "(iter" if shared else "iter("
        yield *end, *end, ")"


def _edited(code: str, edits: Iterable[_Edit]) -> str:
    """Return the code with the edits; columns count UTF-8 bytes, as a syntax tree does."""
    data = code.encode("utf-8", "surrogatepass")
    starts = [0]
    for line in data.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    places = [(starts[a - 1] + b, starts[c - 1] + d, text) for a, b, c, d, text in edits]
    for start, end, text in sorted(places, key=lambda one: one[:2], reverse=True):
        data = data[:start] + text.encode() + data[end:]
    return data.decode("utf-8", "surrogatepass")
