"""Reduce pydantic's JSON Schema of a type to the safe subset, inlined and bounded.

A recursive type is inlined three levels deep. Deeper branches are dropped, and a type that cannot end
within three levels is unsupported. `bounds` defines the bounds.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from tunesmith.signatures.bounds import (
    HELD,
    LISTED_CHARACTERS,
    MOST_CHARACTERS,
    MOST_ITEMS,
    MOST_KEY,
    MOST_LABELS,
    OWN_ITEMS,
    OWN_KEYS,
    OWN_LENGTH,
    Node,
    UnsupportedError,
    listed_room,
    own_count,
    own_items,
)
from tunesmith.signatures.scalars import (
    Note,
    any_node,
    integer_node,
    labels_node,
    number_node,
    ordered,
    string_node,
)

__all__ = ["ELSEWHERE", "KEYS", "Reducer"]

ELSEWHERE = "https://elsewhere.invalid/"
"""The prefix of a reference that is not a definition."""

KEYS = "x-keys"
"""The key for the schema of a mapping's keys, unless any text is allowed."""
_KEY_TYPES = ("string", "integer", "number")
_LEVELS = 3
_MOST_NODES = 2000
_EMPTY_ARRAY: Node = {"type": "array", "items": {"type": "null"}, "maxItems": 0}


class Reducer:
    """Reduces the schema of one field.

    Attributes:
        notes: the dropped constraints, as distinct pairs (path within the field, sentence).
    """

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self.notes: dict[tuple[str, str], None] = {}
        self._definitions = definitions
        self._nodes = 0

    def reduce(self, schema: Any) -> Node:
        """Return the safe schema, with marks on our own bounds.

        Raises:
            UnsupportedError: the type has no safe schema.
        """
        node = self._node(schema, "", MOST_CHARACTERS, ())
        if node is None:
            raise UnsupportedError(
                f"the type is recursive and cannot end within {_LEVELS} levels. "
                "Make the recursive part optional or a list, or use a type of bounded depth"
            )
        return node

    def _note(self, path: str, text: str) -> None:
        self.notes[path, text] = None

    def _node(self, schema: Any, path: str, room: int, refs: tuple[str, ...]) -> Node | None:
        """Return the reduced node, or `None` at the end of a recursion."""
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise UnsupportedError(f"its schema has more than {_MOST_NODES} parts. Use a smaller type")
        if schema is False:
            return None
        if schema is True:
            return any_node(room, partial(self._note, path))
        if not isinstance(schema, dict):
            raise UnsupportedError(f"its schema holds {schema!r}")
        if "$ref" in schema:
            return self._reference(schema["$ref"], path, room, refs)
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return self._options(schema[key], path, room, refs)
        if "allOf" in schema:
            return self._node(self._merged(schema, path), path, room, refs)
        return self._typed(schema, path, room, refs)

    def _typed(self, schema: Node, path: str, room: int, refs: tuple[str, ...]) -> Node | None:
        if "enum" in schema or "const" in schema:
            labels = schema.get("enum", [schema.get("const")])
            return labels_node(labels, partial(self._note, path))
        kind = schema.get("type")
        if isinstance(kind, list):
            options = [{**schema, "type": one} for one in kind]
            return self._options(options, path, room, refs)
        if kind is None:
            kind = "object" if "properties" in schema else "array" if "items" in schema else None
        _check_fit(kind, schema)
        if kind == "array":
            return self._array(schema, path, room, refs)
        if kind == "object":
            return self._object(schema, path, room, refs)
        return _scalar(kind, schema, room, partial(self._note, path))

    def _definition(self, reference: Any) -> Any:
        return self._definitions.get(str(reference).removeprefix("#/$defs/"))

    def _note_reference(self, path: str, reference: Any) -> None:
        name = str(reference).removeprefix(ELSEWHERE)
        self._note(path, f"the reference {name!r} is not sent, because engines fail on such")

    def _reference(self, reference: Any, path: str, room: int, refs: tuple[str, ...]) -> Node | None:
        definition, name = self._definition(reference), str(reference)
        if definition is None:
            self._note_reference(path, reference)
            return any_node(room, partial(self._note, path))
        if refs.count(name) >= _LEVELS:
            self._note(path, f"recursion is asked for {_LEVELS} levels deep")
            return None
        return self._node(definition, path, room, (*refs, name))

    def _options(self, options: Any, path: str, room: int, refs: tuple[str, ...]) -> Node | None:
        if not isinstance(options, list) or not options:
            raise UnsupportedError("its schema has a union without members")
        reduced: list[Node] = []
        for option in options:
            node = self._node(option, path, room, refs)
            for one in [] if node is None else node.get("anyOf", [node]):
                if one not in reduced:
                    reduced.append(one)
        if not reduced:
            return None
        return reduced[0] if len(reduced) == 1 else {"anyOf": reduced}

    def _merged(self, schema: Node, path: str) -> Node:
        """Return an `allOf` as one node: later keywords win, `properties` and `required` are merged."""
        merged: Node = {}
        for part in ({key: schema[key] for key in schema if key != "allOf"}, *schema["allOf"]):
            resolved = part
            if isinstance(part, dict) and "$ref" in part:
                resolved = self._definition(part["$ref"])
                if resolved is None:
                    self._note_reference(path, part["$ref"])
                    continue
            if not isinstance(resolved, dict) or "$ref" in resolved:
                raise UnsupportedError("its schema joins parts that cannot be joined")
            properties = {**merged.get("properties", {}), **resolved.get("properties", {})}
            required = [*merged.get("required", []), *resolved.get("required", [])]
            merged = {**merged, **resolved}
            if properties:
                merged |= {"properties": properties, "required": list(dict.fromkeys(required))}
        return merged

    def _array(self, schema: Node, path: str, room: int, refs: tuple[str, ...]) -> Node | None:
        if schema.get("uniqueItems"):
            self._note(path, "distinct items are not enforced by engines")
        least, most = ordered(schema.get("minItems"), schema.get("maxItems"), "items")
        first = schema.get("prefixItems")
        if isinstance(first, list) and first:
            return self._tuple(first, path, room, refs)
        if least > MOST_ITEMS:
            raise UnsupportedError(
                f"it asks for at least {least} items, and engines can be asked for at most "
                f"{MOST_ITEMS}. Lower `min_length`"
            )
        if most == 0:
            return dict(_EMPTY_ARRAY)
        items = schema.get("items", True)
        if most is not None and most <= MOST_ITEMS:
            inside = self._node(items, f"{path}[]", listed_room(room, most), refs)
            return _listed(inside, least, {"maxItems": most})
        if most is not None:
            self._note(path, f"a bound of more than {MOST_ITEMS} items is not sent to engines")
        inside = self._node(items, f"{path}[]", min(room, LISTED_CHARACTERS), refs)
        own = own_items(inside) if most is None else MOST_ITEMS
        own = min(MOST_ITEMS, own_count(own, least))
        mark: Node = {HELD: {"distinct": True}} if schema.get("uniqueItems") and least <= 1 else {}
        return _listed(inside, least, {"maxItems": own, OWN_ITEMS: own, **mark})

    def _tuple(self, first: list[Any], path: str, room: int, refs: tuple[str, ...]) -> Node | None:
        inside = [self._node(one, f"{path}[{i}]", room, refs) for i, one in enumerate(first)]
        if any(one is None for one in inside):
            return None
        count = len(inside)
        return {"type": "array", "prefixItems": inside, "minItems": count, "maxItems": count}

    def _object(self, schema: Node, path: str, room: int, refs: tuple[str, ...]) -> Node | None:
        required = schema.get("required", [])
        properties: Node = {}
        for name, value in schema.get("properties", {}).items():
            node = self._node(value, f"{path}.{name}", room, refs)
            if node is not None:
                properties[name] = node
            elif name in required:
                return None
        rest = _rest(schema)
        if properties or rest is False:
            if rest is not False:
                self._note(path, "undeclared keys are not asked for")
            return _closed(properties, [name for name in required if name in properties])
        return self._mapping(schema, rest, path, room, refs)

    def _mapping(self, schema: Node, rest: Any, path: str, room: int, refs: tuple[str, ...]) -> Node | None:
        least, most = ordered(schema.get("minProperties"), schema.get("maxProperties"), "keys")
        if least or most is not None:
            self._note(path, "a number of keys is not enforced by servers")
        least = least if least <= MOST_ITEMS else 0  # more are only validated
        value = self._node(rest, f"{path}{{}}", min(room, LISTED_CHARACTERS), refs)
        if value is None:
            return _closed({}, [])
        names = schema.get("propertyNames")
        keys = self._key_labels(names)
        if keys is not None:
            return _closed(dict.fromkeys(keys, value), [])
        held = self._keys(schema, path)
        if held or names is not None or "patternProperties" in schema:
            self._note(path, f"the form of keys is not enforced by {'servers' if held else 'engines'}")
        self._note(path, "the number and the length of keys are bounded only by the reply's end")
        node: Node = {"type": "object", "additionalProperties": value}
        if most is None or most > MOST_ITEMS:
            node[OWN_ITEMS] = own_count(OWN_KEYS, least)
        mark = {**held, **({"least": least} if least else {}), **({} if OWN_ITEMS in node else {"most": most})}
        return node | ({HELD: mark} if mark else {})

    def _keys(self, schema: Node, path: str) -> Node:
        """Return the part of the mark with the constraints on keys that a grammar can enforce."""
        key = self._node(schema[KEYS], path, MOST_KEY, ()) if KEYS in schema else None
        if key is None or key.get("type") not in _KEY_TYPES:
            return {}
        is_any = key == {"type": "string", "maxLength": MOST_KEY, OWN_LENGTH: MOST_KEY}
        return {} if is_any else {"keys": key}

    def _key_labels(self, names: Any) -> list[str] | None:
        """Return the keys of a mapping if they are a closed set, else `None`."""
        if isinstance(names, dict) and "$ref" in names:
            names = self._definition(names["$ref"])
        if not isinstance(names, dict):
            return None
        labels = names.get("enum", [names["const"]] if "const" in names else None)
        if not isinstance(labels, list) or not 0 < len(labels) <= MOST_LABELS:
            return None
        return labels if all(isinstance(label, str) for label in labels) else None


def _check_fit(kind: Any, schema: Node) -> None:
    """Check that the constraints apply to the type; otherwise validation would fail on every value."""
    scalar = kind in ("integer", "number", "boolean", "null")
    # pydantic keeps the Python names of bounds that it cannot translate for a type.
    names: tuple[str, ...] = ("minLength", "maxLength") if scalar else ("ge", "gt", "le", "lt", "multiple_of")
    misfits = [name for name in names if isinstance(schema.get(name), (int, float))]
    if misfits:
        raise UnsupportedError(f"the constraint {misfits[0]!r} does not apply to this type. Remove it")


def _scalar(kind: Any, schema: Node, room: int, note: Note) -> Node:
    match kind:
        case "string":
            return string_node(schema, room, note)
        case "integer":
            return integer_node(schema, note)
        case "number":
            return number_node(schema, note)
        case "boolean" | "null":
            return {"type": kind}
        case None:
            return any_node(room, note)
    raise UnsupportedError(f"its schema names the type {kind!r}")


def _rest(schema: Node) -> Any:
    """Return the schema of undeclared keys, `False` for none."""
    patterns = schema.get("patternProperties")
    if isinstance(patterns, dict) and patterns:
        return next(iter(patterns.values()))
    return schema.get("additionalProperties", "properties" not in schema)


def _closed(properties: Node, required: list[str]) -> Node:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _listed(inside: Node | None, least: int, most: Node) -> Node | None:
    if inside is None:
        return None if least else dict(_EMPTY_ARRAY)
    node: Node = {"type": "array", "items": inside}
    return (node | {"minItems": least} if least else node) | most
