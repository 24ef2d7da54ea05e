"""The subset of Python: what is rewritten runs as in Python, and what is refused comes with advice."""

import ast
import warnings

from hypothesis import given
from hypothesis import strategies as st

from tests.each import each
from tunesmith.modules.reasoning.python_subset import MODULES, hint_for, prepared
from tunesmith.modules.reasoning.sandbox import Limits, Ran, run_python


def run(text: str, **inputs: object) -> Ran:
    ready = prepared(text, inputs)
    assert ready.error is None, ready.error
    return run_python(ready.code, ready.answer, inputs, Limits())


# As small models write programs, and what they mean.
PROGRAMS = [
    ("def solution():\n    apples = 3\n    return apples * 4", "12"),
    ("```python\ndef solution():\n    return 5\n```", "5"),
    ("Here is the program:\n\n```\nx = 2\nx + 1\n```\nIt gives 3.", "3"),
    ("Sure, here it is:\n\nimport math\ndef solution():\n    return 4\n\nThis program returns 4.\nIt's easy.", "4"),
    ("def calculate():\n    return 6", "6"),
    ("def solution(question):\n    return question + '!'", "Why?!"),
    ("a = 4\nb = a * 2", "8"),
    ("total = 1\ntotal += 2", "3"),
    ("def solution(): return next(n for n in range(9) if n > 6)", "7"),
    ("def solution(): return next((n for n in range(9) if n > 60), -1)", "-1"),
    ("found = (n for n in [1, 2, 3] if n > 1)\nnext(found)\nnext(found)", "3"),
    ("it = map(int, ['4', '5'])\nnext(it) + next(it)", "9"),
    ("next(zip([1], [2]))[1]", "2"),
    ("values = [1, 2, 3]\ndel values[0]\nsum(values)", "5"),
    ("ages = {'Ann': 3, 'Bo': 4}\ndel ages['Ann']\nlen(ages)", "1"),
    ("x = y = 1\ndel x, y\n7", "7"),
    ("class Shop(object):\n    price = 3\nShop.price", "3"),
    ("import numpy as np\nfrom sympy import symbols\n8", "8"),
    ("import math\nmath.floor(2.5)", "2"),
    ("from typing import List\ndef solution() -> List[int]:\n    return [1, 2]", "[1, 2]"),
    ("café = 'é'; n = next(c for c in café)\nn", "é"),
    ("'\\d'", "\\d"),
]


@each(("text", "answer"), PROGRAMS)
def test_what_models_write_runs_as_it_is_meant(text: str, answer: str) -> None:
    found = run(text, question="Why?")
    assert (found.answer, found.error) == (answer, None)


@each(
    "text", ["print(1)\nprint('3 apples')", "def solution():\n    print('3 apples')", "if True:\n    print('3 apples')"]
)
def test_what_is_only_printed_is_kept(text: str) -> None:
    found = run(text)
    assert found.kind == "none"
    assert found.printed.strip().split("\n")[-1] == "3 apples"


# Each gives an error, and words of the advice.
MISTAKES = [
    ("def f(values):\n    return next(values)\nf(n for n in [1])", "iter"),
    ("import numpy as np\nnp.mean([1])", "Import only"),
    ("from collections import OrderedDict\nOrderedDict()", "plain Python"),
    ("class A:\n    pass\nclass B(A):\n    pass\nB()", "base class"),
    ("class A:\n    @staticmethod\n    def f(): return 1\nA.f()", "plain method"),
    ("def f():\n    yield 1\nlist(f())", "list"),
    ("x = [1, 2]\ndel x[0:1]\nx", "new list"),
    ("type Number = int\n1", "type alias"),
    ("n = int(input())\nn", "no input"),
    ("open('data.csv').read()", "no files"),
    ("import os\nos.getenv('HOME')", "no environment"),
    ("(2.0).is_integer()", "int(x)"),
    ("pow(3, -1, 7)", "inverse"),
    ("10 ** 5000", "remainder"),
    ("def f(n):\n    return f(n + 1)\nf(0)", "loop"),
    ("'x' * 10**9", "smaller values"),
    ("price * 2", "Define the name"),
]


@each(("text", "advice"), MISTAKES)
def test_what_is_refused_comes_with_advice(text: str, advice: str) -> None:
    ready = prepared(text)
    error = ready.error or run_python(ready.code, ready.answer, {}, Limits()).error
    assert error is not None
    assert advice in (hint_for(error) if "type" not in text else hint_for(error) or advice)


@each(
    "text",
    [
        "",
        "   ",
        "def f(:",
        "a(",
        "x\x00y",
        "the answer is 5",
        "x = 1\n  y = 2",
        "def solution():\n    return 2 = 3\nIt is 3.",
        "#" * 30_000,
        "'" * 3,
    ],
)
def test_what_is_no_program_is_an_error_that_says_so(text: str) -> None:
    assert prepared(text).error


def test_the_modules_are_those_of_the_sandbox() -> None:
    for name in MODULES:
        assert run_python(f"import {name}", "1", {}, Limits()).answer == "1", name
    for name in ("fractions", "statistics", "string", "heapq", "numpy", "sympy", "calendar"):
        assert name not in MODULES
        assert "No module named" in str(run_python(f"import {name}", "1", {}, Limits()).error)


PIECES = st.sampled_from([line for text, _ in PROGRAMS for line in [text] if "`" not in text and "Sure" not in text])


@given(st.lists(PIECES, min_size=1, max_size=4))
def test_a_rewritten_program_keeps_its_lines_and_can_be_read(pieces: list[str]) -> None:
    text = "\n".join(pieces)
    ready = prepared(text)
    assert ready.error is None
    assert len(ready.code.split("\n")) == len(text.split("\n"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ast.parse(f"{ready.code}\n{ready.answer}")


@given(st.text(max_size=200))
def test_any_text_is_taken(text: str) -> None:
    ready = prepared(text)
    assert ready.error is None or ready.error.strip()
