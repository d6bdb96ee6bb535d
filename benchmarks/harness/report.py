"""Report of a benchmark: rows with their targets, as JSON and as a table."""

import sys
from pathlib import Path
from typing import Any, Literal

import msgspec

from .table import format_table

__all__ = ["Report", "Row", "Target"]


class Target(msgspec.Struct, frozen=True):
    """Target of a row: at least or at most `limit` for its `ratio` or its `value`."""

    field: Literal["ratio", "value"]
    bound: Literal["min", "max"]
    limit: float

    def __str__(self) -> str:
        return f"{self.field} {'>=' if self.bound == 'min' else '<='} {self.limit:,g}"

    def is_met(self, figure: float) -> bool:
        return figure >= self.limit if self.bound == "min" else figure <= self.limit


class Row(msgspec.Struct, kw_only=True):
    """Row of the table: one contestant in one measurement.

    Attributes:
        measurement: Name of the measurement.
        contestant: Name of the contestant.
        value: Median over the rounds; None for a contestant that was not measured.
        unit: Unit of `value`.
        p50: Median latency of a call in microseconds; None where calls are not timed one by one.
        p99: 99th percentile of the latency in microseconds.
        cpu: Processor time per call in microseconds, of the calling process.
        server: Processor time per call in microseconds, of the server.
        server_ratio: Our processor time of the server, divided by this contestant's.
        ratio: This contestant compared with another one; `ratio_of` says how.
        ratio_of: Meaning of the ratio; None without one.
        target: Target of the row, if it has one.
        holds: Whether the target is met; None without a target or without a figure.
    """

    measurement: str
    contestant: str
    value: float | None
    unit: str
    p50: float | None = None
    p99: float | None = None
    cpu: float | None = None
    server: float | None = None
    server_ratio: float | None = None
    ratio: float | None = None
    ratio_of: str | None = None
    target: Target | None = None
    holds: bool | None = None

    def __post_init__(self) -> None:
        self.set_target(self.target)

    def set_target(self, target: Target | None) -> None:
        """Set the target, and whether it is met."""
        self.target = target
        figure = None if target is None else self.value if target.field == "value" else self.ratio
        self.holds = None if target is None or figure is None else target.is_met(figure)


class Report(msgspec.Struct, kw_only=True):
    """Report of one run.

    Attributes:
        machine: Machine, versions of what was measured, and load before the run.
        settings: Sizes and options of the run.
        rows: Rows of the table.
        findings: Named lists, such as the peers that could not be measured.
        notes: Notes on how to read the table.
    """

    machine: dict[str, str]
    settings: dict[str, Any]
    rows: list[Row]
    findings: dict[str, list[str]]
    notes: list[str]

    def to_json(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"

    def publish(self, json_file: str | None) -> None:
        """Print the table; write JSON to a file if one is named, or to stdout alone for ``-``."""
        if json_file == "-":
            sys.stdout.write(self.to_json().decode())
            return
        print(self.table())
        if json_file:
            Path(json_file).write_bytes(self.to_json())

    def table(self) -> str:
        """Return the report as text."""
        lines = [f"{name}: {text}" for name, text in self.machine.items()]
        lines.append("settings: " + ", ".join(f"{name} {setting}" for name, setting in self.settings.items()))
        lines += ["", *format_table(_HEAD, _cells(self.rows), optional=_OPTIONAL, right=_FIGURES), ""]
        lines += [f"{finding}: {', '.join(names) or 'none'}" for finding, names in self.findings.items()]
        return "\n".join([*lines, "", *self.notes])


_OPTIONAL = ("p50 us", "p99 us", "CPU us", "server us", "ours: x its server us")
_FIGURES = ("median", *_OPTIONAL)
_HEAD = ("measurement", "contestant", *_FIGURES, "ratio", "target", "holds")


def _cells(rows: list[Row]) -> list[tuple[str, ...]]:
    cells: list[tuple[str, ...]] = []
    last = ""
    for row in rows:
        not_measured = "not measured" if row.target is not None else ""
        cells.append(
            (
                "" if row.measurement == last else row.measurement,
                row.contestant,
                "" if row.value is None else f"{_figure(row.value)} {row.unit}",
                *("" if figure is None else f"{figure:,.0f}" for figure in (row.p50, row.p99, row.cpu)),
                "" if row.server is None else f"{row.server:,.1f}",
                "" if row.server_ratio is None else f"{row.server_ratio:.2f}",
                "" if row.ratio is None else f"{row.ratio:.2f} ({row.ratio_of})",
                "" if row.target is None else str(row.target),
                not_measured if row.holds is None else "yes" if row.holds else "MISSED",
            )
        )
        last = row.measurement
    return cells


def _figure(value: float) -> str:
    return f"{value:,.3f}" if value < 100 else f"{value:,.0f}"
