"""Tables in a real terminal: no wider than it, drawn by rich; all of a cell with ``--wide``."""

import sys

import pytest

pytest.importorskip("termios")  # terminals of another kind

from terminal import terminal

COMMAND = (sys.executable, "-m", "greentic_session")
BOLD = b"\x1b[1m"


@pytest.mark.parametrize("columns", [80, 50, 200])
def test_waits_fit(url: str, columns: int) -> None:
    with terminal([*COMMAND, "waits", "--env", "dev", "--tenant", "acme", "--store", url], columns, 24) as it:
        assert it.end() == 0
        rows = [line for line in it.lines if line.startswith(("alice", "bob"))]
        assert len(rows) == 4  # none goes on in another line
        assert BOLD in it.written
        assert any("k1" in row for row in rows)
        narrow = any("left out: " in line for line in it.lines)
        assert narrow is (columns < 60)


def test_all_of_a_cell(url: str) -> None:
    command = [*COMMAND, "waits", "--env", "dev", "--tenant", "acme", "--wide", "--store", url]
    with terminal(command, 40, 60) as it:
        assert it.end() == 0
        assert b"c1 reply_to 7" in it.written
        assert "…".encode() not in it.written


def test_show_and_stats(url: str) -> None:
    for command in (["show", "k1"], ["stats"]):
        with terminal([*COMMAND, *command, "--store", url], 80, 40) as it:
            assert it.end() == 0
            assert "order.flow" in "\n".join(it.lines)
