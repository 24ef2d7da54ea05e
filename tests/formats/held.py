"""What is held of a type: replies that an engine with a grammar, or with a schema, may let through, and are no values."""

import random
from typing import Any

from tests.formats.gbnf import written
from tests.protocol.gbnf import grammar as of_schema
from tunesmith.errors import FormatError, ParseError, SignatureError
from tunesmith.formats import Format, get_format
from tunesmith.lm import Capabilities
from tunesmith.signatures import server_schema

# What a server's own grammar of any text or number lets through; the docs say it once, for all types.
_OF_ALL_SCHEMAS = ("surrogate", "hex escape", "too large")

__all__ = ["DRAWS", "ENGINES", "FORMATS", "bad_replies", "verdict"]

ENGINES = {
    "grammar": Capabilities(frozenset({"json_schema", "grammar"})),
    "schema": Capabilities(frozenset({"json_schema"})),
}
FORMATS = ("bare", "json", "lines", "markdown", "xml")
DRAWS = 60


def form(name: str) -> Format:
    found = get_format(name)
    assert isinstance(found, Format)
    return found


def verdict(signature: Any, name: str, engine: str) -> str:
    """Return `held`, `free` (nothing constrains the reply), `not held`, or `refused` before any call."""
    found = form(name)
    try:
        found.check(signature)
    except (FormatError, SignatureError):
        return "refused"
    mode = found.mode(signature, ENGINES[engine])
    held = found.constraint(signature, mode)
    if held.grammar is None and held.schema is None:
        return "free"
    return "not held" if bad_replies(signature, name, engine, draws=DRAWS) else "held"


def bad_replies(signature: Any, name: str, engine: str, *, draws: int) -> list[str]:
    """Return replies that the constraint allows and that are no values; one that fills a bound of ours counts as good."""
    found = form(name)
    mode = found.mode(signature, ENGINES[engine])
    held = found.constraint(signature, mode)
    if held.grammar is None and held.schema is None:
        return []
    rules = held.grammar if held.grammar is not None else of_schema(_enforced(server_schema(dict(held.schema or {}))))
    bad = []
    for at in range(draws):
        reply = written(rules, random.Random(at))
        try:
            found.read(signature, reply, mode, cut=False)
        except ParseError as error:
            if error.reason != "truncated" and not (held.schema and any(one in str(error) for one in _OF_ALL_SCHEMAS)):
                bad.append(reply)
    return bad


def _enforced(schema: Any) -> Any:
    """Return a schema whose wide integer ranges are their ends: the converter of the tests makes no rule of those."""
    if isinstance(schema, list):
        return [_enforced(one) for one in schema]
    if not isinstance(schema, dict) or "enum" in schema:
        return schema
    if schema.get("type") == "integer" and {"minimum", "maximum"} & schema.keys():
        low, high = schema.get("minimum", -(10**16) + 1), schema.get("maximum", 10**16 - 1)
        return {"enum": [low, low + 1, max(low, min(0, high)), high]} if high - low > 1 else schema
    return {key: _enforced(value) for key, value in schema.items()}
