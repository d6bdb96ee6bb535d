"""The picture of the live view: it fits its terminal, whatever there is to show."""

import io

import pytest
from rich.console import Console

from greentic_session.admin import Tally
from greentic_session.cli.live.picture import draw
from greentic_session.cli.live.view import View

TALLY = Tally(2_000, 1_900, 3, 10, claimed=4, ready=5, oldest_ms=65_000, overdue=6, replies=7)
BUSY = View(
    "redis, namespace greentic:session",
    Tally(1_000_000, 1_000_000, claimed=12, ready=340, overdue=56),
    [(f"production/tenant-{number}", TALLY) for number in range(1_000)],
    [(f"flow-{number}", TALLY) for number in range(30)],
    ready=341,
    oldest_ms=3_661_000,
    rate=12.34,
    ready_line=[None] * 40 + [float(number) for number in range(20)],
    rate_line=[None] * 60,
    counted_s=65.0,
    took_s=3.21,
    looked=120_000,
)


def picture(view: View, width: int, height: int, *, encoding: str = "utf-8") -> list[str]:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    console = Console(file=file, width=width, height=height, force_terminal=False, highlight=False)
    console.print(draw(view, console, "12:34:56"))
    file.flush()
    assert isinstance(file.buffer, io.BytesIO)
    return file.buffer.getvalue().decode(encoding).splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 60), (40, 10), (139, 30), (140, 30)])
@pytest.mark.parametrize("view", [BUSY, View("sqlite"), View("memory", Tally(), ready=0, ready_line=[0.0] * 60)])
def test_it_fits(view: View, width: int, height: int) -> None:
    lines = picture(view, width, height)
    assert len(lines) <= height or height < 12
    assert max(map(len, lines)) <= width


def test_a_small_terminal() -> None:
    lines = picture(BUSY, 80, 24)
    assert lines[0] == "greentic-session top  redis, namespace greentic:session" + " " * 8 + "12:34:56  q quits"
    assert lines[1] == "waits 1,000,000  ready 341  oldest 1h 1m  claimed 12  overdue 56  replies/s 12.3"
    assert "▁" in lines[3]
    assert lines[3].endswith("█  highest of 5 min 19")
    assert lines[4].endswith("not known")
    head = next(number for number, line in enumerate(lines) if line.startswith("TENANT"))
    assert lines[head].split() == ["TENANT", "WAITS", "READY", "OLDEST", "CLAIMED", "OVERDUE", "REPLIES"]
    assert lines[head + 1].split() == ["production/tenant-0", "1,900", "5", "1m", "4", "6", "7"]
    assert sum(line.startswith("production/") for line in lines) == 7
    assert sum(line.startswith("flow-") for line in lines) == 5
    assert [line.strip() for line in lines if line.startswith("and ")] == ["and 993 more", "and 25 more"]
    assert lines[-1] == "counted 1m ago, in 3.2 s; counting: 120,000 looked at"


def test_a_large_terminal_shows_both_side_by_side() -> None:
    lines = picture(BUSY, 200, 60)
    head = next(line for line in lines if line.startswith("TENANT"))
    assert head.index("FLOW") > 98
    assert sum(line.startswith("production/") for line in lines) >= 50
    assert sum("flow-" in line for line in lines) == 30


def test_a_terminal_without_blocks() -> None:
    assert picture(BUSY, 80, 24, encoding="ascii")[3].rstrip().endswith("#  highest of 5 min 19")


def test_so_many_are_ready_that_nobody_counts_them() -> None:
    view = View("memory", Tally(), ready=2_000, is_capped=True)
    assert "ready 2,000+" in picture(view, 80, 24)[1]


def test_before_the_first_count() -> None:
    lines = picture(View("memory", looked=12), 80, 24)
    assert lines[1] == "waits -  ready -  oldest -  claimed -  overdue -  replies/s -"
    assert lines[-1] == "counting: 12 looked at"


def test_trouble_is_told_and_steers_no_terminal() -> None:
    view = View("memory", Tally(), trouble="no\x1b[2J answer [bold]at all[/]" + "x" * 99)
    last = picture(view, 80, 24)[-1]
    assert last.startswith("the store does not answer: no\\x1b[2J answer [bold]at all[/]")
    assert len(last) <= 80
