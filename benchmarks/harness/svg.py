"""A line chart as SVG: small, the same bytes for the same figures, readable on a light and on a dark page."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Chart", "Series"]

WIDTH = 860
LEFT, RIGHT, TOP, ROW = 84, 24, 64, 20
PLOT = 340
MARK = 4.5

# Okabe and Ito's colours, which colour-blind readers tell apart; the marks differ too. Each is seen on white and on black.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#8c6bb1", "#7f7f7f")

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
    """One line: its name in the legend, its points from left to right, and which colour and marks it has."""

    name: str
    points: Sequence[tuple[float, float]]
    look: int = 0


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One chart. The vertical axis is logarithmic, and so is the horizontal one, unless `labels` name its places.

    Attributes:
        title: What it shows.
        across: What the horizontal axis is, with its unit.
        up: What the vertical axis is, with its unit.
        series: The lines, in the legend's order.
        labels: The horizontal axis's places and their names; by default every value that occurs.
        even: Whether these places stand at even distances.
    """

    title: str
    across: str
    up: str
    series: Sequence[Series]
    labels: Sequence[tuple[float, str]] = ()
    even: bool = False

    def svg(self) -> str:
        """Return the file's text."""
        rows = -(-len(self.series) // 2)
        bottom = TOP + PLOT
        height = bottom + 64 + rows * ROW + 8
        labels = self.labels or [(x, f"{x:,g}") for x in sorted({x for line in self.series for x, _ in line.points})]
        steps = _steps([y for line in self.series for _, y in line.points])
        low, high = math.log10(steps[0]), math.log10(steps[-1])
        xs = self._places([x for x, _ in labels])

        def y_at(y: float) -> float:
            return bottom - PLOT * (math.log10(y) - low) / (high - low)

        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" width="{WIDTH}">',
            f"<title>{escape(self.title)}</title>",
            f"<style>\n{_STYLE}\n</style>",
            f'<rect class="page" width="{WIDTH}" height="{height}" rx="6"/>',
            _text(WIDTH / 2, 32, self.title, "middle", "title"),
            _text((LEFT + WIDTH - RIGHT) / 2, bottom + 44, self.across, "middle"),
            f'<text transform="translate(20 {TOP + PLOT / 2:g}) rotate(-90)" text-anchor="middle">{escape(self.up)}</text>',
        ]
        for step in steps:
            y = round(y_at(step), 1)
            lines.append(f'<path class="grid" d="M{LEFT} {y:g}H{WIDTH - RIGHT}"/>')
            lines.append(_text(LEFT - 8, y + 4, f"{step:,.10g}", "end"))
        for x, name in labels:
            lines.append(f'<path class="grid" d="M{xs[x]:.1f} {TOP}V{bottom}"/>')
            lines.append(_text(xs[x], bottom + 20, name, "middle"))
        for number, line in enumerate(self.series):
            places = [(xs[x], y_at(y)) for x, y in line.points]
            lines.append(_line(line.look, places, line.name))
            x = LEFT + number % 2 * (WIDTH - LEFT - RIGHT) / 2
            lines += _legend(line, x, bottom + 64 + number // 2 * ROW)
        return "\n".join([*lines, "</svg>"]) + "\n"

    def _places(self, xs: Sequence[float]) -> dict[float, float]:
        scaled = [float(n) for n in range(len(xs))] if self.even else [math.log10(x) for x in xs]
        span = (scaled[-1] - scaled[0]) or 1.0
        inner = 16  # so that a mark at an end does not lie on the frame
        wide = WIDTH - LEFT - RIGHT - 2 * inner
        return {x: LEFT + inner + wide * (at - scaled[0]) / span for x, at in zip(xs, scaled, strict=True)}


def _steps(values: Sequence[float]) -> list[float]:
    """Return round numbers, 1, 2, 5, 10, 20 and so on, from the last one below all values to the first above."""
    decades = range(math.floor(math.log10(min(values))), math.ceil(math.log10(max(values))) + 1)
    steps = [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
    first = max(n for n, step in enumerate(steps) if step <= min(values))
    last = min(n for n, step in enumerate(steps) if step >= max(values) and n > first)
    return steps[first : last + 1]


def _text(x: float, y: float, text: str, anchor: str, kind: str = "") -> str:
    attribute = f' class="{kind}"' if kind else ""
    return f'<text{attribute} x="{round(x, 1):g}" y="{round(y, 1):g}" text-anchor="{anchor}">{escape(text)}</text>'


def _colour(look: int) -> str:
    return COLOURS[look % len(COLOURS)]


def _line(look: int, places: Sequence[tuple[float, float]], name: str) -> str:
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    marks = "".join(_mark(look, x, y) for x, y in places)
    return (
        f'<g data-series="{escape(name)}"><path class="series" stroke="{_colour(look)}" d="{path}"/>'
        f'<g class="mark" fill="{_colour(look)}">{marks}</g></g>'
    )


def _mark(look: int, x: float, y: float) -> str:
    match look % 3:
        case 0:
            return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{MARK}"/>'
        case 1:
            return f'<rect x="{x - MARK:.1f}" y="{y - MARK:.1f}" width="{2 * MARK:g}" height="{2 * MARK:g}"/>'
        case _:
            return f'<path d="M{x:.1f} {y - 1.3 * MARK:.1f}l{1.3 * MARK:.1f} {2.4 * MARK:.1f}h{-2.6 * MARK:.1f}z"/>'


def _legend(line: Series, x: float, y: float) -> list[str]:
    return [
        f'<path class="series" stroke="{_colour(line.look)}" d="M{x:g} {y - 4:g}h26"/>',
        f'<g class="mark" fill="{_colour(line.look)}">{_mark(line.look, x + 13, y - 4)}</g>',
        _text(x + 34, y, line.name, "start"),
    ]
