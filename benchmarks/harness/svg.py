"""Line charts as SVG: equal bytes for equal figures, readable on light and on dark pages."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Chart", "Series"]

_WIDTH_PX = 860
_LEFT_PX, _RIGHT_PX, _TOP_PX, _LEGEND_ROW_PX = 84, 24, 64, 20
_PLOT_HEIGHT_PX = 340
_MARK_RADIUS_PX = 4.5
_PLOT_MARGIN_PX = 16  # so that a mark at an end does not lie on the frame

# Palette of Okabe and Ito, which colour-blind readers can distinguish, on white and on black.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#8c6bb1", "#7f7f7f")

_STYLE = """\
text { font: 12px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328; }
.title { font-size: 16px; font-weight: 600; }
.page { fill: #ffffff; }
.grid { stroke: #d1d9e0; fill: none; }
.series { fill: none; stroke-width: 2; }
.mark { stroke: #ffffff; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .page { fill: #0d1117; }
  .grid { stroke: #30363d; }
  .mark { stroke: #0d1117; }
}"""


@dataclass(frozen=True)
class Series:
    """Line of a chart.

    Attributes:
        name: Name in the legend.
        points: Points from left to right.
        style: Number of its colour and of the shape of its marks.
    """

    name: str
    points: Sequence[tuple[float, float]]
    style: int = 0


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Line chart. Both axes are logarithmic; with `even` the horizontal one is not.

    Attributes:
        title: Title above the plot.
        x_title: Quantity and unit of the horizontal axis.
        y_title: Quantity and unit of the vertical axis.
        series: Lines, in the order of the legend.
        labels: Labelled values of the horizontal axis; by default every value that occurs.
        even: Whether the labelled values have equal distances.
    """

    title: str
    x_title: str
    y_title: str
    series: Sequence[Series]
    labels: Sequence[tuple[float, str]] = ()
    even: bool = False

    def svg(self) -> str:
        """Return the chart as the text of a file."""
        rows = -(-len(self.series) // 2)
        bottom = _TOP_PX + _PLOT_HEIGHT_PX
        height = bottom + 64 + rows * _LEGEND_ROW_PX + 8
        labels = self.labels or [(x, f"{x:,g}") for x in sorted({x for line in self.series for x, _ in line.points})]
        steps = _steps([y for line in self.series for _, y in line.points])
        low, high = math.log10(steps[0]), math.log10(steps[-1])
        xs = self._x_positions([x for x, _ in labels])

        def y_at(y: float) -> float:
            return bottom - _PLOT_HEIGHT_PX * (math.log10(y) - low) / (high - low)

        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH_PX} {height}" role="img" width="{_WIDTH_PX}">',
            f"<title>{escape(self.title)}</title>",
            f"<style>\n{_STYLE}\n</style>",
            f'<rect class="page" width="{_WIDTH_PX}" height="{height}" rx="6"/>',
            _text(_WIDTH_PX / 2, 32, self.title, "middle", "title"),
            _text((_LEFT_PX + _WIDTH_PX - _RIGHT_PX) / 2, bottom + 44, self.x_title, "middle"),
            (
                f'<text transform="translate(20 {_TOP_PX + _PLOT_HEIGHT_PX / 2:g}) rotate(-90)" text-anchor="middle">'
                f"{escape(self.y_title)}</text>"
            ),
        ]
        for step in steps:
            y = round(y_at(step), 1)
            lines.append(f'<path class="grid" d="M{_LEFT_PX} {y:g}H{_WIDTH_PX - _RIGHT_PX}"/>')
            lines.append(_text(_LEFT_PX - 8, y + 4, f"{step:,.10g}", "end"))
        for x, name in labels:
            lines.append(f'<path class="grid" d="M{xs[x]:.1f} {_TOP_PX}V{bottom}"/>')
            lines.append(_text(xs[x], bottom + 20, name, "middle"))
        for number, line in enumerate(self.series):
            points = [(xs[x], y_at(y)) for x, y in line.points]
            lines.append(_line(line.style, points, line.name))
            x = _LEFT_PX + number % 2 * (_WIDTH_PX - _LEFT_PX - _RIGHT_PX) / 2
            lines += _legend(line, x, bottom + 64 + number // 2 * _LEGEND_ROW_PX)
        return "\n".join([*lines, "</svg>"]) + "\n"

    def _x_positions(self, xs: Sequence[float]) -> dict[float, float]:
        scaled = [float(n) for n in range(len(xs))] if self.even else [math.log10(x) for x in xs]
        span = (scaled[-1] - scaled[0]) or 1.0
        width = _WIDTH_PX - _LEFT_PX - _RIGHT_PX - 2 * _PLOT_MARGIN_PX
        return {x: _LEFT_PX + _PLOT_MARGIN_PX + width * (at - scaled[0]) / span for x, at in zip(xs, scaled, strict=True)}


def _steps(values: Sequence[float]) -> list[float]:
    """Return the grid values 1, 2, 5, 10, 20 and so on that enclose all values."""
    decades = range(math.floor(math.log10(min(values))), math.ceil(math.log10(max(values))) + 1)
    steps = [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
    first = max(n for n, step in enumerate(steps) if step <= min(values))
    last = min(n for n, step in enumerate(steps) if step >= max(values) and n > first)
    return steps[first : last + 1]


def _text(x: float, y: float, text: str, anchor: str, kind: str = "") -> str:
    attribute = f' class="{kind}"' if kind else ""
    return f'<text{attribute} x="{round(x, 1):g}" y="{round(y, 1):g}" text-anchor="{anchor}">{escape(text)}</text>'


def _colour(style: int) -> str:
    return _COLOURS[style % len(_COLOURS)]


def _line(style: int, points: Sequence[tuple[float, float]], name: str) -> str:
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    marks = "".join(_mark(style, x, y) for x, y in points)
    return (
        f'<g data-series="{escape(name)}"><path class="series" stroke="{_colour(style)}" d="{path}"/>'
        f'<g class="mark" fill="{_colour(style)}">{marks}</g></g>'
    )


def _mark(style: int, x: float, y: float) -> str:
    r = _MARK_RADIUS_PX
    match style % 3:
        case 0:
            return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r}"/>'
        case 1:
            return f'<rect x="{x - r:.1f}" y="{y - r:.1f}" width="{2 * r:g}" height="{2 * r:g}"/>'
        case _:
            return f'<path d="M{x:.1f} {y - 1.3 * r:.1f}l{1.3 * r:.1f} {2.4 * r:.1f}h{-2.6 * r:.1f}z"/>'


def _legend(line: Series, x: float, y: float) -> list[str]:
    return [
        f'<path class="series" stroke="{_colour(line.style)}" d="M{x:g} {y - 4:g}h26"/>',
        f'<g class="mark" fill="{_colour(line.style)}">{_mark(line.style, x + 13, y - 4)}</g>',
        _text(x + 34, y, line.name, "start"),
    ]
