"""The line of each key of a TOML text."""

import json
import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tunesmith.experiments.toml_lines import Keys, key_lines

TEXT = '''# a comment with [brackets] and = signs
title = "a # no comment, \\" and ]" # one
"quoted key".'other one' = 1979-05-27 07:32:00
long = """
[not.a.table]
x = 1"""" # four marks at its end
literal = \'\'\'
'it' = ' \'\'\'
[a.b]
list = [
  "one",  # with a comment, and ]
  { deep = { deeper = 1.5 }, other = [[1], [2, 3]] },
]
[a]
c = -1e5
[[many]]
x = 1
[many.below]
y = 2
[[many]]
x = 3
'''


def paths(value: Any, above: Keys = ()) -> set[Keys]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return set().union(*({(*above, key)} | paths(item, (*above, key)) for key, item in inside))


def test_every_key_has_its_line() -> None:
    found = key_lines(TEXT)
    assert set(found) == paths(tomllib.loads(TEXT))
    expected: dict[Keys, int] = {("title",): 2, ("quoted key", "other one"): 3, ("literal",): 7, ("a", "b", "list", 1, "other", 1): 12,
        ("a",): 14, ("a", "c"): 15, ("many", 0, "below", "y"): 19, ("many", 1, "x"): 21}  # fmt: skip
    assert {path: found[path] for path in expected} == expected


KEYS = st.text("ab-é .\"'\n#[]{}=,", max_size=4)
VALUES = st.recursive(
    st.integers() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


def written(value: Any, gap: str) -> str:
    """Write a value as TOML with `gap`, which may hold lines, between the items of its lists."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {written(item, '')}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + gap + f",{gap}".join(written(item, gap) for item in value) + gap + "]"
    return json.dumps(value)


@given(
    st.dictionaries(KEYS, st.dictionaries(KEYS, VALUES, max_size=3), max_size=3),
    st.sampled_from(["", " ", "\n", ' # ], [x] = "\n']),
)
def test_a_text_has_a_line_for_each_of_its_keys_and_for_nothing_else(tables: dict[str, Any], gap: str) -> None:
    lines, expected = list[str](), dict[Keys, int]()
    for name, table in tables.items():
        expected[(name,)] = len(lines) + 1
        lines.append(f"[{json.dumps(name)}]  # x = 1")
        for key, value in table.items():
            expected[(name, key)] = len(lines) + 1
            lines += f"{json.dumps(key)}={written(value, gap)}".split("\n")
    text = "\n".join(lines)
    found = key_lines(text)
    assert set(found) == paths(tomllib.loads(text))
    assert {path: found[path] for path in expected} == expected
