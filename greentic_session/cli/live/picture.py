"""The picture of a fleet at work, drawn by rich: as wide and as high as its terminal."""

from collections.abc import Sequence
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from greentic_session.admin import Tally
from greentic_session.cli.words import brief, cut, duration, shown

from .view import MINUTES, View

__all__ = ["draw"]

_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_PLAIN_BLOCKS: Final = "_.-:=+*#"
_HEAD_LINES: Final = 7
_BESIDE: Final = 140
"""From how many columns on tenants and flows stand side by side."""
_BETWEEN: Final = 4
"""How many blanks stand between them."""
_FIGURES: Final = ("WAITS", "READY", "OLDEST", "CLAIMED", "OVERDUE", "REPLIES")
_LEAST_ROWS: Final = 1
_LONG_COUNT_S: Final = 2.0
"""A count that takes so many seconds is shown while it is under way."""


def draw(view: View, console: Console, clock: str) -> RenderableType:
    """Return the picture of a view.

    Args:
        view: What is known.
        console: Where it is drawn: by its size and its letters.
        clock: The time of day.
    """
    width, height = console.size
    is_plain = not console.encoding.lower().startswith("utf")
    top = [
        _title(view, width, clock),
        _totals(view),
        Text(""),
        _line("ready", view.ready_line, width, is_plain=is_plain),
        _line("replies/s", view.rate_line, width, is_plain=is_plain),
        Text(""),
    ]
    room = max(height - _HEAD_LINES, 2)
    if width >= _BESIDE:
        half = (width - _BETWEEN) // 2
        beside = Table.grid(padding=(0, _BETWEEN, 0, 0), pad_edge=False)
        beside.add_row(_table("TENANT", view.tenants, half, room), _table("FLOW", view.flows, half, room))
        below: list[RenderableType] = [beside]
    else:
        flows = min(len(view.flows) + 1, max(room // 2 - 1, 2))
        below = [_table("TENANT", view.tenants, width, room - flows - 1), Text(""), _table("FLOW", view.flows, width, flows)]
    if view.total is None:
        below = [Text("Everything is counted, for the first time.", style="dim")]
    return Group(*top, *below, _foot(view, width))


def _title(view: View, width: int, clock: str) -> Text:
    right = f"{clock}  q quits"
    left = cut(f"greentic-session top  {shown(view.store)}", max(width - len(right) - 2, 10))
    return Text(left.ljust(width - len(right)) + right, style="bold", no_wrap=True, overflow="crop")


def _totals(view: View) -> Text:
    total, told = view.total, Text(no_wrap=True, overflow="ellipsis")
    ready = "-" if view.ready is None else f"{view.ready:,}{'+' if view.is_capped else ''}"
    figures = [
        ("waits", "-" if total is None else f"{total.waits:,}", ""),
        ("ready", ready, "green" if view.ready else ""),
        ("oldest", "-" if view.oldest_ms is None else duration(view.oldest_ms), ""),
        ("claimed", "-" if total is None else f"{total.claimed:,}", "cyan" if total and total.claimed else ""),
        ("overdue", "-" if total is None else f"{total.overdue:,}", "red" if total and total.overdue else ""),
        ("replies/s", "-" if view.rate is None else f"{view.rate:,.1f}", ""),
    ]
    for number, (name, figure, style) in enumerate(figures):
        told.append(f"{'  ' if number else ''}{name} ", style="dim")
        told.append(figure, style=f"bold {style}".strip())
    return told


def _line(name: str, values: Sequence[float | None], width: int, *, is_plain: bool) -> Text:
    """Draw the last minutes; a moment of which nobody knows is blank."""
    blocks = _PLAIN_BLOCKS if is_plain else _BLOCKS
    highest = max((value for value in values if value is not None), default=0.0)
    drawn = "".join(
        " " if value is None else blocks[0 if not highest else round(value / highest * (len(blocks) - 1))]
        for value in values
    )
    room = max(width - 36, 10)
    told = Text(no_wrap=True, overflow="crop")
    told.append(f"{name:9} ", style="dim")
    told.append(drawn[-room:].ljust(min(room, len(drawn))), style="green")
    told.append(f"  highest of {MINUTES} min {highest:,.0f}" if drawn.strip() else "  not known", style="dim")
    return told


def _table(name: str, rows: Sequence[tuple[str, Tally]], width: int, lines: int) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold", width=width)
    table.add_column(name, ratio=1, no_wrap=True, overflow="ellipsis")
    for figure in _FIGURES:
        table.add_column(figure, justify="right", no_wrap=True)
    fitting = len(rows) if len(rows) < lines else max(lines - 2, _LEAST_ROWS)
    for title, tally in rows[:fitting]:
        oldest = brief(tally.oldest_ms) if tally.ready else ""
        figures = (tally.waits, tally.ready, oldest, tally.claimed, tally.overdue, tally.replies)
        table.add_row(Text(shown(title)), *(figure if isinstance(figure, str) else f"{figure:,}" for figure in figures))
    if len(rows) > fitting:
        table.add_row(Text(f"and {len(rows) - fitting:,} more", style="dim"))
    return table


def _foot(view: View, width: int) -> Text:
    if view.trouble:
        return Text(cut(f"the store does not answer: {shown(view.trouble)}", width), style="red", no_wrap=True)
    parts = []
    if view.counted_s is not None:
        parts.append(f"counted {brief(round(view.counted_s * 1000))} ago, in {view.took_s:.1f} s")
    if view.looked is not None and (view.total is None or view.took_s >= _LONG_COUNT_S):
        parts.append(f"counting: {view.looked:,} looked at")
    return Text(cut("; ".join(parts), width), style="dim", no_wrap=True)
