"""Curves as SVG that stands in a page and takes the page's colours."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from markupsafe import Markup

_WIDTH, _HEIGHT = 560, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 16, 30, 40
_TICKS = 5


class Curve(NamedTuple):
    """A line of a chart.

    Attributes:
        name: for the legend.
        points: pairs (x, y), by rising x; those that are not finite are left out, with a gap.

    Example:
        >>> Curve("training", [(1, 0.5), (2, 0.25)]).name
        'training'
    """

    name: str
    points: Sequence[tuple[float, float]]


class Mark(NamedTuple):
    """A point of a chart that is pointed out, with a line down to the axis; its text is above.

    Example:
        >>> Mark(12, 0.9, "best epoch 12").text
        'best epoch 12'
    """

    x: float
    y: float
    text: str


def line_chart(
    curves: Sequence[Curve], *, x_name: str, title: str, marks: Sequence[Mark] = ()
) -> Markup:
    """Draw curves as an SVG element: axes, grid, legend and marks; no script, no font file.

    The page's style gives the colours by the classes `curve-0`, `curve-1`, `grid`, `mark`, and
    `currentColor`.

    Args:
        curves: at most a few, in the order of their colours.
        x_name: below the axis.
        title: what the chart shows, for those who cannot see it.
        marks: points of the curves.

    Returns:
        The element; empty where no point is finite.

    Example:
        >>> chart = line_chart([Curve("loss", [(1, 0.5), (2, 0.25)])], x_name="epoch", title="Loss")
        >>> chart.startswith("<svg"), "epoch" in chart
        (True, True)
        >>> line_chart([], x_name="epoch", title="Loss")
        Markup('')
    """
    finite = [point for curve in curves for point in curve.points if all(map(math.isfinite, point))]
    if not finite:
        return Markup("")
    x_ticks, y_ticks = (ticks(values) for values in zip(*finite, strict=True))
    scale = _Scale(
        min(x for x, _ in finite),
        max(x for x, _ in finite),
        min(y_ticks[0], *(y for _, y in finite), y_ticks[-1]),
        max(y_ticks[-1], *(y for _, y in finite), y_ticks[0]),
    )
    parts = [
        Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">').format(
            _WIDTH, _HEIGHT, title
        ),
        *_axes(scale, x_ticks, y_ticks, x_name),
        *(_path(scale, number, curve) for number, curve in enumerate(curves)),
        *(_marked(scale, mark) for mark in marks),
        *_legend(curves, marks),
        Markup("</svg>"),
    ]
    return Markup("\n").join(parts)


def ticks(values: Iterable[float], count: int = _TICKS) -> list[float]:
    """Round numbers, about `count` of them, across the range of some values.

    Example:
        >>> ticks([0.07, 0.93])
        [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
        >>> ticks([3, 3])
        [3]
    """
    values = list(values)
    low, high = min(values), max(values)
    if not high - low > 1e-12 * max(abs(low), abs(high)):
        return [low]
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999) * power
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    digits = max(0, -math.floor(math.log10(step)))
    return [round(number * step, digits) for number in range(first, last + 1)]


class _Scale(NamedTuple):
    """From values to places in the chart."""

    low_x: float
    high_x: float
    low_y: float
    high_y: float

    def x(self, value: float) -> float:
        share = (value - self.low_x) / (self.high_x - self.low_x or 1.0)
        return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(self, value: float) -> float:
        share = (value - self.low_y) / (self.high_y - self.low_y or 1.0)
        return round(_HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM), 1)


def _text(x: float, y: float, anchor: str, text: str) -> Markup:
    return Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(x, y, anchor, text)


def _axes(
    scale: _Scale, x_ticks: list[float], y_ticks: list[float], x_name: str
) -> Iterable[Markup]:
    right, floor = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    for value in y_ticks:
        y = scale.y(value)
        yield Markup('<path class="grid" d="M{} {}H{}"/>').format(_LEFT, y, right)
        yield _text(_LEFT - 8, y + 4, "end", f"{value:g}")
    for value in x_ticks:
        if scale.low_x <= value <= scale.high_x:
            yield _text(scale.x(value), floor + 18, "middle", f"{value:g}")
    yield _text((_LEFT + right) / 2, _HEIGHT - 6, "middle", x_name)


def _path(scale: _Scale, number: int, curve: Curve) -> Markup:
    steps, pen = [], "M"
    for x, y in curve.points:
        if not (math.isfinite(x) and math.isfinite(y)):
            pen = "M"
            continue
        steps.append(f"{pen}{scale.x(x):g} {scale.y(y):g}")
        pen = "L"
    if len(steps) == 1:  # a dot: a line of one point is not drawn
        steps.append("h.01")
    return Markup('<path class="curve curve-{}" d="{}"/>').format(number, "".join(steps))


def _marked(scale: _Scale, mark: Mark) -> Markup:
    x, y = scale.x(mark.x), scale.y(mark.y)
    line = Markup('<path class="mark" d="M{} {}V{}"/>').format(x, y, _HEIGHT - _BOTTOM)
    dot = Markup('<circle class="mark" cx="{}" cy="{}" r="4.5"/>').format(x, y)
    return line + dot


def _legend(curves: Sequence[Curve], marks: Sequence[Mark]) -> Iterable[Markup]:
    """A row above the curves: no text lies on them."""
    x = _LEFT
    for number, curve in enumerate(curves):
        yield Markup('<path class="curve curve-{}" d="M{} 14h18"/>').format(number, x)
        yield _text(x + 24, 18, "start", curve.name)
        x += 44 + 7 * len(curve.name)
    if marks:
        text = ", ".join(mark.text for mark in marks)
        dot = Markup('<tspan class="mark">\u25cf</tspan> ')
        yield _text(_WIDTH - _RIGHT, 18, "end", dot + text)
