"""Plots as SVG text: panels side by side, each with lines that are named at their right end. No package is needed."""

from collections.abc import Mapping, Sequence
from html import escape

_WIDTH, _HEIGHT, _LEFT, _TOP, _NAMES, _BOTTOM = 330, 420, 44, 40, 118, 36
_APART = 11  # pixels between two names
_COLOURS = ("#b2182b", "#2166ac", "#1b7837", "#762a83", "#d95f02")
_PLAIN = "#9a9a9a"

Lines = Mapping[str, Sequence[float]]
"""For each name the values above the marks of the horizontal axis."""


def plotted(
    panels: Mapping[str, Lines], marks: Sequence[float], *, across: str, up: str, coloured: Sequence[str] = ()
) -> str:
    """Return the plot of `panels`, which share both axes.

    Args:
        panels: lines by title.
        marks: where the values stand on the horizontal axis, which is drawn evenly.
        across: what the horizontal axis shows.
        up: what the vertical axis shows.
        coloured: names of lines that stand out.
    """
    values = [value for lines in panels.values() for line in lines.values() for value in line]
    low, high = _floor(min(values)), _floor(max(values)) + 0.05
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{len(panels) * _WIDTH}" height="{_HEIGHT}" '
        'font-family="sans-serif" font-size="10">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for number, (title, lines) in enumerate(panels.items()):
        parts.append(f'<g transform="translate({number * _WIDTH} 0)">')
        parts += [_text(_LEFT, 16, title, size=12), _text(_LEFT, 30, up)]
        parts += _axes(marks, across, low, high)
        parts += _lines(lines, len(marks), low, high, coloured)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>", ""])


def _axes(marks: Sequence[float], across: str, low: float, high: float) -> list[str]:
    parts = []
    for step in range(round((high - low) / 0.05) + 1):
        value = low + 0.05 * step
        y = _y(value, low, high)
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _NAMES}" stroke="#e6e6e6"/>')
        parts.append(_text(_LEFT - 6, y + 3, f"{value:.2f}", anchor="end"))
    for index, mark in enumerate(marks):
        parts.append(_text(_x(index, len(marks)), _HEIGHT - _BOTTOM + 14, f"{mark:g}", anchor="middle"))
    return [*parts, _text((_LEFT + _WIDTH - _NAMES) / 2, _HEIGHT - 8, across, anchor="middle")]


def _lines(lines: Lines, count: int, low: float, high: float, coloured: Sequence[str]) -> list[str]:
    parts, below = [], float(_TOP - _APART)
    ends = sorted(lines, key=lambda name: (-lines[name][-1], name))
    room = {name: _HEIGHT - _BOTTOM - _APART * (len(ends) - 1 - place) for place, name in enumerate(ends)}
    for name in ends:
        colour = _COLOURS[coloured.index(name) % len(_COLOURS)] if name in coloured else _PLAIN
        points = [(_x(index, count), _y(value, low, high)) for index, value in enumerate(lines[name])]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        width = 2 if name in coloured else 1
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{width}" fill="{colour}"/>' for x, y in points]
        below = min(max(points[-1][1] + 3, below + _APART), room[name])
        parts.append(_text(_WIDTH - _NAMES + 6, below, name, colour=colour if name in coloured else "#555555"))
    return parts


def _floor(value: float) -> float:
    return round(int(value / 0.05 + 1e-9) * 0.05, 2)


def _x(index: int, count: int) -> float:
    return _LEFT + 12 + index * (_WIDTH - _LEFT - _NAMES - 24) / max(1, count - 1)


def _y(value: float, low: float, high: float) -> float:
    return _TOP + (high - value) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 10, colour: str = "#222222") -> str:
    where = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}"'
    return f"<text {where}>{escape(text)}</text>"
