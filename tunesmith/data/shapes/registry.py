"""Shapes by name. Each file registers its own, so adding one needs no other edit."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith.data.shapes.shape import Shape
from tunesmith.errors import UsageError, shown
from tunesmith.lazy import import_files

__all__ = ["get_shape", "known_shapes", "register_shape", "shape_of"]

_SHAPES: dict[str, Shape] = {}
_PACKAGE = __name__.rpartition(".")[0]


def register_shape(kind: type[Shape]) -> type[Shape]:
    """Add a shape; a decorator for its class.

    Raises:
        UsageError: it has no name, or another shape has it.
    """
    name = getattr(kind, "name", "")
    if not name or name in _SHAPES:
        raise UsageError(f"A shape needs a unique name. Given: {shown(name)}. Set `name` on its class.")
    _SHAPES[name] = kind()
    return kind


def known_shapes() -> tuple[Shape, ...]:
    """Return every shape, sorted by name."""
    import_files(_PACKAGE)
    return tuple(_SHAPES[name] for name in sorted(_SHAPES))


def get_shape(name: str) -> Shape:
    """Return the shape called `name`.

    Raises:
        UsageError: there is none.
    """
    found = {shape.name: shape for shape in known_shapes()}
    if name not in found:
        raise UsageError(f"There is no shape {shown(name)}. Use one of: {', '.join(found)}.")
    return found[name]


def shape_of(rows: Sequence[Mapping[str, Any]], path: Path) -> Shape:
    """Return the shape that the first rows of a file have.

    Raises:
        UsageError: two shapes fit equally well.
    """
    fitting = [shape for shape in known_shapes() if 2 * sum(shape.fits(row, path) for row in rows) >= len(rows)]
    least = min(shape.breadth for shape in fitting)
    found = [shape for shape in fitting if shape.breadth == least]
    if len(found) > 1:
        names = " and ".join(f"`{shape.name}`" for shape in found)
        raise UsageError(f"`{path}` fits the shapes {names}. Choose one with `--from`.")
    return found[0]
