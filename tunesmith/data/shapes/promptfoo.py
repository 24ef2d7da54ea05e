"""promptfoo: test cases with variables and assertions."""

import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tunesmith.data.shapes.registry import register_shape
from tunesmith.data.shapes.shape import Given, Shape

__all__ = ["Promptfoo"]

_COLUMN = re.compile(r"__expected\d*")
_WRITTEN = re.compile(r"(?P<kind>not-[a-z-]+|[a-z-]+)(?:\((?P<threshold>[\d.]+)\))?:(?P<value>.*)", re.DOTALL)
_KEPT = {
    "equals": "expected",
    "contains": "contains",
    "icontains": "contains",
    "contains-all": "contains",
    "icontains-all": "contains",
    "llm-rubric": "rubric",
    "model-graded-closedqa": "rubric",
    "factuality": "expected",
    "similar": "expected",
    "contains-any": "accepted",
    "icontains-any": "accepted",
    "starts-with": "starts_with",
    "regex": "regex",
}
_LISTS = ("contains", "accepted")
_KINDS = """
    answer-relevance assert-set bleu classifier context-faithfulness context-recall context-relevance cost
    finish-reason g-eval guardrails is-html is-json is-refusal is-sql is-valid-openai-function-call
    is-valid-openai-tools-call is-xml contains-json contains-sql contains-xml javascript latency levenshtein meteor
    moderation perplexity perplexity-score pi python rouge-n ruby search-rubric select-best webhook word-count
"""


@register_shape
class Promptfoo(Shape):
    """The list `tests` of a YAML or JSON file, a list of tests alone, or a table with `__expected` columns.

    Every variable becomes a field. `equals`, `similar` and `factuality` give `expected`; `contains` and `contains-all`
    the list `contains`; `contains-any` the list `accepted`; `llm-rubric` the text `rubric`; `starts-with` and `regex`
    fields of their name. Other assertions are dropped: code is not run, and thresholds are not kept. As in promptfoo, a
    list as the value of a variable stands for one test per item.
    """

    name = "promptfoo"
    about = "promptfoo: tests with vars and assert, or a table with __expected columns"

    def fits(self, row: Mapping[str, Any], path: Path) -> bool:
        """Return whether there are variables, or a column with assertions."""
        return isinstance(row.get("vars"), Mapping) or any(map(_COLUMN.fullmatch, row))

    def convert(self, row: Given, path: Path) -> Iterator[dict[str, Any]]:
        """Yield a row for each combination of the variables."""
        if "vars" not in row.value:
            yield _of_table(row)
            return
        asserted = _asserted(row)
        given = row.part("vars")
        expands = not row.part("options").get("disableVarExpansion", False)
        variables = {str(name): _variable(given, str(name), expands=expands) for name in given.value}
        taken = [name for name in variables if name in asserted]
        if taken:
            raise given.wrong(taken[0], "A variable has the name of a field that an assertion gives. Rename it.")
        for values in itertools.product(*variables.values()):
            yield {**dict(zip(variables, values, strict=True)), **asserted}


def _variable(given: Given, name: str, *, expands: bool) -> list[Any]:
    """Return the values that the variable stands for."""
    value = given.get(name, "")
    values = value if isinstance(value, list) and expands else [value]
    for item in values:
        if isinstance(item, str) and item.startswith("file://"):
            raise given.wrong(name, "It names a file, which is not read. Put its text here.", item)
    return list(values)


def _asserted(row: Given) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for assertion in row.parts("assert"):
        kind = assertion.text("type")
        if kind not in _KEPT and kind.removeprefix("not-") not in (*_KEPT, *_KINDS.split()):
            raise assertion.wrong("type", "This type of assertion is unknown.", kind)
        if kind not in _KEPT:
            assertion.get("value")
            row.drop(f"an assertion of the type `{kind}`")
            continue
        _keep(assertion, found, kind, assertion.get("value"))
    return found


def _keep(given: Given, found: dict[str, Any], kind: str, value: Any) -> None:
    name = _KEPT[kind]
    if value is None or (isinstance(value, str) and value.startswith(("file://", "package:"))):
        raise given.wrong("value", "An assertion needs its value here; a file is not read.", value)
    if name in _LISTS:
        found.setdefault(name, []).extend(value if isinstance(value, list) else [value])
    elif name in found and found[name] != value:
        given.drop(f"a second assertion that gives `{name}`")
    else:
        found[name] = value


def _assertion(text: str) -> tuple[str, Any]:
    """Return type and value of an assertion in a cell: `contains: a`, `is-json`, or a text that must be equal."""
    match = _WRITTEN.fullmatch(text)
    kind = {"grade": "llm-rubric"}.get(match["kind"], match["kind"]) if match else text
    if kind.removeprefix("not-") not in (*_KEPT, *_KINDS.split(), "eval", "fn"):
        return "equals", text
    value = match["value"].strip() if match else ""
    return kind, [item.strip() for item in value.split(",")] if kind.endswith(("-any", "-all")) else value


def _of_table(row: Given) -> dict[str, Any]:
    """Return the row of a table: a column per variable, and `__expected` columns such as `contains: a`."""
    asserted: dict[str, Any] = {}
    for column in filter(_COLUMN.fullmatch, row.value):
        text = row.text(column, "").strip()
        kind, value = _assertion(text)
        if kind in _KEPT and text:
            _keep(row, asserted, kind, value)
        elif text:
            row.drop(f"an assertion of the type `{kind}`")
    variables = {name: row.get(name, "") for name in row.value if not name.startswith("__")}
    return {**variables, **asserted}
