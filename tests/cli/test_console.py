"""Drawing: tables that fit their terminal, and progress, with rich and without it."""

import os
import sys

import pytest

from greentic_session.cli import console as console_module
from greentic_session.cli import progress as progress_module
from greentic_session.cli.columns import fit
from greentic_session.cli.console import Console
from greentic_session.cli.progress import Progress
from greentic_session.cli.words import cut, duration, size, width_of


@pytest.fixture(params=["rich", "plain"])
def drawn_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of drawing: with the extra, and where it is not installed."""
    if request.param == "plain":
        monkeypatch.setattr(console_module, "pretty", lambda: None)
        monkeypatch.setattr(progress_module, "pretty", lambda: None)
    monkeypatch.setenv("TERM", "dumb")  # rich leaves the colours out
    return str(request.param)


def test_lengths_of_time_and_sizes_for_people() -> None:
    told = [duration(ms) for ms in (None, 0, 999, 59_000, 61_000, 3_600_000, 93_784_000)]
    assert told == ["never", "0s", "0s", "59s", "1m 1s", "1h 0m", "1d 2h"]
    assert [size(count) for count in (0, 1023, 4300, 5 * 2**20, 2**31, 2**51)] == [
        "0 B",
        "1,023 B",
        "4.2 KiB",
        "5.0 MiB",
        "2.0 GiB",
        "2,048.0 TiB",
    ]


def test_a_cut_text_is_no_wider_than_it_may_be() -> None:
    assert [cut("寿司屋さん", width) for width in (10, 9, 8, 2, 0)] == ["寿司屋さん", "寿司屋...", "寿司...", "..", ""]
    assert all(width_of(cut("e\u0301寿x" * 9, width)) <= width for width in range(40))


def test_columns_fit_by_what_is_widest() -> None:
    assert fit([10, 10], (), None) == [10, 10]
    assert fit([5, 5], (), 80) == [5, 5]
    assert fit([100, 30, 8], {2}, 80) == [38, 30, 8]
    assert fit([100, 100, 8], {2}, 80) == [34, 34, 8]
    assert fit([100, 100], {0, 1}, 80) == [100, 100]  # figures are never cut
    assert fit([50, 50], (), 5) == [6, 6]


def test_a_table_is_as_wide_as_its_terminal(
    drawn_by: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    rows = [["x" * 70, "1", "k" * 40], ["寿司", "22", "[bold]k[/]"]]
    Console(as_json=False).table(["A", "B", "KEY"], rows, right=[1])
    head, *lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert head == "A" + " " * 39 + "B  KEY"
    assert lines == ["x" * 36 + "…   1  " + "k" * 36 + "…", "寿司" + " " * 33 + "  22  [bold]k[/]"]
    Console(as_json=False, wide=True).table(["A", "B", "KEY"], rows, right=[1])
    assert capsys.readouterr().out.splitlines()[1].rstrip() == f"{'x' * 70}   1  {'k' * 40}"


def test_a_table_for_a_pipe_is_not_cut(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    Console(as_json=False).table(["A", "B"], [["x" * 90, "y"]])
    assert capsys.readouterr().out.splitlines() == ["A" + " " * 91 + "B", "x" * 90 + "  y"]


def test_a_column_that_says_nothing_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(as_json=False)
    console.table(["A", "B", "C"], [["a", "", "1"], ["b", "", "22"]], right=[2], optional=[1])
    console.table(["A", "B", "C"], [["a", "", "1"], ["b", "x", "22"]], right=[2], optional=[1])
    assert capsys.readouterr().out.splitlines() == ["A   C", "a   1", "b  22", "A  B   C", "a      1", "b  x  22"]


def test_a_narrow_terminal_gets_fewer_columns(
    drawn_by: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "20")
    console = Console(as_json=False)
    console.table(["A", "B", "C"], [["x" * 9, "y" * 9, "z" * 9]], whole=[2], spare=[1, 0])
    told = capsys.readouterr()
    assert [line.rstrip() for line in told.out.splitlines()] == ["A          C", "xxxxxxxxx  zzzzzzzzz"]
    assert told.err == "left out: B; --wide shows all\n"


def test_progress_is_for_terminals(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with Progress("removed", 4) as silent:
        silent.advance(2)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress_module, "pretty", lambda: None)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Progress("removed", 4) as progress:
        progress.advance(1)
        progress.advance(1)
        assert progress.line() == "removed: [############............]  50%  2 of 4"
    assert capsys.readouterr().err == "\r\x1b[Kremoved: [######..................]  25%  1 of 4\r\x1b[K"
    with Progress("keys") as progress:
        progress.advance(1000)
        assert progress.line() == "keys: 1,000"


def test_progress_by_rich(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(progress_module, "_PAUSE", 0)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setitem(os.environ, "COLUMNS", "80")
    with Progress("looked at") as progress:
        progress.advance(1000)
        progress.reach(2, 4)
    told = capsys.readouterr().err
    assert "looked at: 1,000" in told
    assert "50%" in told
    assert "2/4" in told
