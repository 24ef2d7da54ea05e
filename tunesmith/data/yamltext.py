"""Read the YAML of data files: plain values only, each name once in a mapping, and the line of every item."""

import importlib
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

from tunesmith.signatures import NameTwiceError

__all__ = ["YamlError", "located_yaml"]

_PER_CHARACTER, _AT_LEAST = 10, 1000  # values, each use of an alias counted: a few lines may stand for billions
_LISTS = ("tests", "data")  # the list that holds the rows if there are several
_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_TRUTH = {text: text.lower() == "true" for text in ("true", "True", "TRUE", "false", "False", "FALSE")}
_INTEGER = re.compile(r"[-+]?[0-9]{1,4000}|0o[0-7]{1,4000}|0x[0-9a-fA-F]{1,4000}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_PLAIN_TAGS = "tag:yaml.org,2002:"
_MERGE = f"{_PLAIN_TAGS}merge"
_COLLECTIONS = (f"{_PLAIN_TAGS}map", f"{_PLAIN_TAGS}seq")
_UNTAGGED = "?"
_SCALARS = ("bool", "float", "int", "null", "str")


class YamlError(ValueError):
    """A text that is not YAML, or a value that JSON does not have.

    Attributes:
        line: the 1-based line in the text, `None` if unknown.
    """

    def __init__(self, problem: str, line: int | None = None) -> None:
        self.problem, self.line = problem, line
        super().__init__(problem)


def located_yaml(text: str, note: Callable[[str], None]) -> Iterator[tuple[int, Any]]:
    """Yield (line, value) for each row of a YAML text. The value of a row that cannot be used is a `YamlError`.

    The rows of a list are its items; those of a mapping are the items of its list `tests` or `data`, or of its only
    list of mappings. Values follow YAML 1.2, as JavaScript reads it: `yes` and `no` are texts, and so are dates, which
    PyYAML by itself reads as booleans and dates.

    Args:
        text: the whole text.
        note: called with a sentence if the mapping holds more than its rows.

    Raises:
        YamlError: the text has another form.
    """
    yaml = importlib.import_module("yaml")
    try:
        root = yaml.compose(text, Loader=_loader(yaml))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error)
        raise YamlError(f"This is not YAML: {problem}.", None if mark is None else mark.line + 1) from error
    except RecursionError as error:
        raise YamlError("The YAML is nested too deeply.") from error
    if root is None:
        return
    nodes = _Nodes(yaml, _PER_CHARACTER * len(text) + _AT_LEAST)
    for item in nodes.rows(root, note):
        try:
            yield item.start_mark.line + 1, nodes.value(item)
        except YamlError as error:
            yield item.start_mark.line + 1, error


class _Nodes:
    """Turns nodes of PyYAML into values, with a limit on how many."""

    def __init__(self, yaml: Any, most: int) -> None:
        self._yaml, self._left = yaml, most

    def rows(self, root: Any, note: Callable[[str], None]) -> list[Any]:
        """Return the nodes of the rows."""
        if isinstance(root, self._yaml.SequenceNode):
            return list(root.value)
        if not isinstance(root, self._yaml.MappingNode):
            raise YamlError("The file holds one value, not a list of mappings.", 1)
        lists = {key.value: node for key, node in root.value if self._is_list_of_mappings(node)}
        name = next((name for name in _LISTS if name in lists), next(iter(lists), None))
        if name is None or (len(lists) > 1 and name not in _LISTS):
            has = ", ".join(f"`{key.value}`" for key, _ in root.value[:8])
            raise YamlError(f"The rows must be a list, or one list of mappings in a mapping. The file has: {has}.", 1)
        others = [f"`{key.value}`" for key, _ in root.value if key.value != name]
        if others:
            note(f"The rows are the list `{name}`. Left out: {', '.join(others)}.")
        return list(lists[name].value)

    def _is_list_of_mappings(self, node: Any) -> bool:
        inside = node.value if isinstance(node, self._yaml.SequenceNode) else []
        return bool(inside) and all(isinstance(item, self._yaml.MappingNode) for item in inside)

    def value(self, node: Any) -> Any:
        """Return the value of a node."""
        self._left -= 1
        if self._left < 0:
            raise YamlError("Its aliases stand for too many values. Write them out.", node.start_mark.line + 1)
        try:
            if isinstance(node, self._yaml.ScalarNode):
                return _scalar(node)
            if node.tag not in _COLLECTIONS:
                raise YamlError(f"The tag `{node.tag}` is not data. Write the value itself.", node.start_mark.line + 1)
            if isinstance(node, self._yaml.SequenceNode):
                return [self.value(item) for item in node.value]
            return self._mapping(node)
        except RecursionError as error:
            raise YamlError("The YAML is nested too deeply.", node.start_mark.line + 1) from error

    def _mapping(self, node: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, inner in node.value:
            if key.tag == _MERGE:
                sources = inner.value if isinstance(inner, self._yaml.SequenceNode) else [inner]
                for source in sources:
                    merged = {**self._merged(source), **merged}
                continue
            if not isinstance(key, self._yaml.ScalarNode):
                raise YamlError("The name of a field must be text.", key.start_mark.line + 1)
            if key.value in found:
                twice = NameTwiceError(f"the key {key.value!r} occurs twice")
                raise YamlError(f"In a mapping, {twice}. Rename or remove one of the two.", key.start_mark.line + 1)
            found[key.value] = self.value(inner)
        return {**merged, **found}

    def _merged(self, node: Any) -> dict[str, Any]:
        value = self.value(node)
        if not isinstance(value, dict):
            raise YamlError("`<<` takes a mapping, or a list of mappings.", node.start_mark.line + 1)
        return value


def _loader(yaml: Any) -> Any:
    """Return a loader that leaves the meaning of plain scalars to `_scalar`."""
    merge = {"<": [(_MERGE, re.compile("<<"))]}
    return type("Loader", (yaml.SafeLoader,), {"yaml_implicit_resolvers": merge, "DEFAULT_SCALAR_TAG": _UNTAGGED})


def _scalar(node: Any) -> Any:
    line, text = node.start_mark.line + 1, node.value
    if node.tag != _UNTAGGED and node.tag.removeprefix(_PLAIN_TAGS) not in _SCALARS:
        raise YamlError(f"The tag `{node.tag}` is not data. Write the value itself.", line)
    if node.tag == f"{_PLAIN_TAGS}str" or (node.tag == _UNTAGGED and node.style is not None):
        return _text(text, line)
    if text in _NULLS:
        return None
    if text in _TRUTH:
        return _TRUTH[text]
    if _INTEGER.fullmatch(text):
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if _NOT_FINITE.fullmatch(text):
        raise YamlError(f"{text} is no number in JSON. Write null for a missing number.", line)
    if _FLOAT.fullmatch(text):
        number = float(text)
        if not math.isfinite(number):
            raise YamlError(f"The number {text[:40]} is too large for a float.", line)
        return number
    return text


def _text(text: str, line: int) -> str:
    """Return a text with every character whole: JSON escapes one beyond U+FFFF as two, which PyYAML keeps apart."""
    try:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError as error:
        raise YamlError("The text has half of a character (a lone surrogate).", line) from error
