"""How long a reply may get where the user did not say.

Every string and array that is sent has a bound, so that a reply always ends. Where the user gave none,
ours are chosen so that the product of nested bounds stays under 1,500 characters: 1,000 for a string
alone, 11 x 136 for a list of strings, 61 for a list of numbers. They are odd numbers on purpose, because
a reply that fills one exactly is taken as cut. The user's own bounds are sent up to 1,000 characters and
500 items (a server's runner crashes at 3,000).
"""

from typing import Any

__all__ = [
    "ITEMS_OF_ARRAYS",
    "ITEMS_OF_TEXT",
    "MOST_CHARACTERS",
    "MOST_ITEMS",
    "OWN_ITEMS",
    "OWN_LENGTH",
    "ROOM",
    "Node",
    "UnsupportedError",
    "fills_own_bound",
    "own_items",
    "own_length",
    "without_marks",
]

Node = dict[str, Any]

# Marks on a node whose bound is ours and not the user's; taken off before a schema is sent.
OWN_LENGTH = "x-own-length"
OWN_ITEMS = "x-own-items"

MOST_CHARACTERS = 1000
MOST_ITEMS = 500
ROOM = 1499
ITEMS_OF_TEXT = 11
ITEMS_OF_ARRAYS = 5
_ITEMS = (61, 23, 11, 7, 5, 3)
_SHORTEST = 20


class UnsupportedError(Exception):
    """A type, or a part of one, for which there is no safe schema."""


def own_length(room: int) -> int:
    """Return our bound of a string where `room` characters are left."""
    return min(MOST_CHARACTERS, max(room, _SHORTEST))


def own_items(inside: Node | None, room: int) -> int:
    """Return our bound of an array of `inside` where `room` characters are left."""
    weight = 1 if inside is None else _weight(inside)
    return next((items for items in _ITEMS if items * weight <= room), _ITEMS[-1])


def _weight(node: Node) -> int:
    """Return how many characters a node may hold, counting strings and arrays.

    A length that the user gave counts as one of ours at most: who allows long items still wants more
    than three of them.
    """
    if "anyOf" in node:
        return max(_weight(one) for one in node["anyOf"])
    match node.get("type"):
        case "string":
            return max(1, min(node.get("maxLength", 1), ROOM // ITEMS_OF_TEXT))
        case "array" if "items" in node:
            return max(1, node["maxItems"] * _weight(node["items"]))
        case "array":
            return max(_weight(one) for one in node["prefixItems"])
        case "object":
            inside = [*node.get("properties", {}).values(), node.get("additionalProperties")]
            return max((_weight(one) for one in inside if isinstance(one, dict)), default=1)
    return 1


def without_marks(node: Any) -> Any:
    """Return a copy of a schema without our marks."""
    if isinstance(node, dict):
        return {
            key: value if key in ("enum", "required") else _unmarked(key, value)
            for key, value in node.items()
            if key not in (OWN_LENGTH, OWN_ITEMS)
        }
    return [without_marks(item) for item in node] if isinstance(node, list) else node


def _unmarked(key: str, value: Any) -> Any:
    if key == "properties":  # a property may bear any name
        return {name: without_marks(inside) for name, inside in value.items()}
    return without_marks(value)


def fills_own_bound(node: Node, value: Any) -> bool:
    """Return whether some string or array in `value` is exactly as long as a bound of ours."""
    if "anyOf" in node:
        return any(fills_own_bound(one, value) for one in node["anyOf"])
    if isinstance(value, str):
        return len(value) == node.get(OWN_LENGTH)
    if isinstance(value, list):
        if len(value) == node.get(OWN_ITEMS):
            return True
        if "prefixItems" in node:
            pairs = zip(node["prefixItems"], value, strict=False)
            return any(fills_own_bound(one, item) for one, item in pairs)
        inside = node.get("items")
        return inside is not None and any(fills_own_bound(inside, item) for item in value)
    if isinstance(value, dict) and node.get("type") == "object":
        properties, rest = node.get("properties", {}), node.get("additionalProperties")
        return any(
            fills_own_bound(inside, item)
            for key, item in value.items()
            if isinstance(inside := properties.get(key, rest), dict)
        )
    return False
