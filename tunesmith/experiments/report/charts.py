"""The door to pygal: charts as SVG for a page that opens without a network, with a text that says the same."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tunesmith.lazy import lazy_module, lazy_pattern

if TYPE_CHECKING:
    import pygal
else:
    pygal = lazy_module("pygal")

__all__ = ["bars", "intervals", "points"]

# What pygal writes for a page of its own: a script that shows tooltips, and a comment with the date.
_EXTRAS = lazy_pattern(r"<!--.*?-->|<script.*?</script>", re.DOTALL)
_COLORS = ("#2f6fab", "#c8553d", "#5a8f3c", "#8a6fb0", "#b08b2e", "#4d9ba8")
_FONT = "system-ui, sans-serif"


def points(
    series: Mapping[str, Sequence[tuple[float, float, str]]],
    *,
    line: Sequence[tuple[float, float]] = (),
    line_name: str = "",
    x: str,
    y: str,
    text: str,
) -> str:
    """Return a chart of points, and a line over them.

    Args:
        series: the points of each name, as x, y and label.
        line: the corners of the line, from the left.
        line_name: of the line.
        x: title of the axis across.
        y: title of the other one.
        text: what the chart shows, in words.
    """
    chart = _chart(pygal.XY, x_title=x, y_title=y, stroke=False)
    for name, found in series.items():
        chart.add(name, [{"value": (a, b), "label": label} for a, b, label in found], dots_size=3.5)
    if line:
        chart.add(line_name, list(line), stroke=True, show_dots=False)
    return _svg(chart, text)


def intervals(rows: Sequence[tuple[str, float, float, float]], *, x: str, text: str) -> str:
    """Return a chart with one line per row: its name, the low end, the mean and the high end of an interval.

    Args:
        rows: from the top.
        x: title of the axis.
        text: what the chart shows, in words.
    """
    names = [{"value": number, "label": name} for number, (name, *_) in enumerate(reversed(rows))]
    chart = _chart(
        pygal.XY,
        height=70 + 34 * len(rows),
        x_title=x,
        y_labels=names,
        range=(-0.5, len(rows) - 0.5),
        xrange=_unit(rows),
        show_legend=False,
        show_y_guides=False,
    )
    for number, (name, low, mean, high) in enumerate(reversed(rows)):
        ends = [(low, number), {"value": (mean, number), "label": name}, (high, number)]
        chart.add(name, ends, dots_size=3.5, stroke_style={"width": 2.5})
    return _svg(chart, text)


def bars(rows: Mapping[str, float], *, x: str, text: str) -> str:
    """Return a chart with one bar per row, the first on top; `x` is the title of the axis, `text` says it in words."""
    chart = _chart(pygal.HorizontalBar, height=70 + 26 * len(rows), x_title=x, show_legend=False)
    chart.x_labels = list(reversed(list(rows)))
    chart.add("", [{"value": value, "label": name} for name, value in reversed(list(rows.items()))])
    return _svg(chart, text)


def _unit(rows: Sequence[tuple[str, float, float, float]]) -> tuple[float, float] | None:
    """Return 0 to 1 if all ends are in it, so that two charts of scores can be compared."""
    ends = [end for _, low, _, high in rows for end in (low, high)]
    return (0.0, 1.0) if ends and min(ends) >= 0 and max(ends) <= 1 else None


def _chart(kind: Any, **options: Any) -> Any:
    style = pygal.style.Style(
        background="transparent",
        plot_background="transparent",
        foreground="currentColor",
        foreground_strong="currentColor",
        foreground_subtle="currentColor",
        guide_stroke_color="#8885",
        major_guide_stroke_color="#8885",
        colors=_COLORS,
        font_family=_FONT,
        label_font_size=12,
        major_label_font_size=12,
        legend_font_size=13,
        title_font_size=13,
        transition="0s",
    )
    options = {"width": 720, "height": 320, "legend_at_bottom": True, **options}
    return kind(style=style, js=[], disable_xml_declaration=True, pretty_print=False, margin=8, **options)


def _svg(chart: Any, text: str) -> str:
    chart.uuid = hashlib.sha256(text.encode()).hexdigest()[:12]  # the same run gives the same page
    found = _EXTRAS.sub("", chart.render(is_unicode=True))
    return found.replace("<svg ", f'<svg role="img" aria-label="{_attribute(text)}" ', 1)


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
