"""What a run tells: a table for people, JSON for programs."""

import importlib.metadata
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

__all__ = ["Report", "Row", "Target", "load_average", "machine"]


class Target(msgspec.Struct, frozen=True):
    """What a row is held against: its `ratio` or its `value`, at least or at most `limit`."""

    field: Literal["ratio", "value"]
    bound: Literal["min", "max"]
    limit: float

    def __str__(self) -> str:
        return f"{self.field} {'>=' if self.bound == 'min' else '<='} {self.limit:,g}"

    def is_met(self, figure: float) -> bool:
        return figure >= self.limit if self.bound == "min" else figure <= self.limit


class Row(msgspec.Struct, kw_only=True):
    """One line of the table.

    Attributes:
        measurement: What was measured.
        contestant: Who did it.
        value: The median; None for what could not be measured here.
        unit: Of `value`.
        p50: The median latency of a call in microseconds; None where calls are not timed one by one.
        p99: The latency in microseconds that one call in a hundred exceeds.
        cpu: Microseconds of processor time that a call takes in its process.
        ratio: Of this contestant and the one that it is measured by, `ratio_of` says which way round.
        ratio_of: What the ratio is; None without one.
        target: What was asked for; None for what is told for information.
        holds: Whether the target was met; None where there is no target or no figure to hold against it.
    """

    measurement: str
    contestant: str
    value: float | None
    unit: str
    p50: float | None = None
    p99: float | None = None
    cpu: float | None = None
    ratio: float | None = None
    ratio_of: str | None = None
    target: Target | None = None
    holds: bool | None = None

    def __post_init__(self) -> None:
        if self.target is not None:
            self.hold_against(self.target)

    def hold_against(self, target: Target) -> None:
        """Set the target, and whether it is met."""
        figure = self.value if target.field == "value" else self.ratio
        self.target = target
        self.holds = None if figure is None else target.is_met(figure)


class Report(msgspec.Struct, kw_only=True):
    """All that one run found out."""

    machine: dict[str, str]
    settings: dict[str, Any]
    rows: list[Row]
    findings: dict[str, list[str]]
    notes: list[str]

    def to_json(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"

    def hand_out(self, json_file: str | None) -> None:
        """Print the table, and write the figures as JSON to a file if one is named; for ``-`` print them instead of it."""
        if json_file == "-":
            sys.stdout.write(self.to_json().decode())
            return
        print(self.table())
        if json_file:
            Path(json_file).write_bytes(self.to_json())

    def table(self) -> str:
        """Return it as text; columns that no row fills are left out."""
        cells: list[tuple[str, ...]] = [_HEAD]
        last = ""
        for row in self.rows:
            unmeasured = "not measured" if row.target is not None else ""
            cells.append(
                (
                    "" if row.measurement == last else row.measurement,
                    row.contestant,
                    "" if row.value is None else f"{_figure(row.value)} {row.unit}",
                    *("" if figure is None else f"{figure:,.0f}" for figure in (row.p50, row.p99, row.cpu)),
                    "" if row.ratio is None else f"{row.ratio:.2f} ({row.ratio_of})",
                    "" if row.target is None else str(row.target),
                    unmeasured if row.holds is None else "yes" if row.holds else "MISSED",
                )
            )
            last = row.measurement
        columns = [column for column in zip(*cells, strict=True) if any(column[1:]) or column[0] not in _OPTIONAL]
        widths = [max(map(len, column)) for column in columns]
        lines = [f"{name}: {text}" for name, text in self.machine.items()]
        lines.append("settings: " + ", ".join(f"{name} {setting}" for name, setting in self.settings.items()))
        lines += ["", *(_line(line, widths) for line in zip(*columns, strict=True)), ""]
        lines.insert(-len(self.rows) - 1, "  ".join("-" * width for width in widths))
        lines += [f"{finding}: {', '.join(names) or 'none'}" for finding, names in self.findings.items()]
        lines += ["", *self.notes]
        return "\n".join(lines)


_OPTIONAL = ("p50 us", "p99 us", "CPU us")
_HEAD = ("measurement", "contestant", "median", *_OPTIONAL, "ratio", "target", "holds")


def _figure(value: float) -> str:
    return f"{value:,.3f}" if value < 100 else f"{value:,.0f}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    figures = range(2, len(cells) - 3)  # the columns that are read from the right
    padded = [
        cell.rjust(width) if n in figures else cell.ljust(width)
        for n, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(padded).rstrip()


def machine(*distributions: str) -> dict[str, str]:
    """Return where this runs, and with which versions of `distributions`."""
    found = {
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {_processor()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }
    for name in distributions:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def load_average() -> str:
    """Return how busy the machine was in the last one, five and fifteen minutes."""
    return ", ".join(f"{average:.1f}" for average in os.getloadavg())


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown processor"
