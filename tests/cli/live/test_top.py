"""``top`` in a real terminal: it is drawn, hears q, and leaves the terminal as it was."""

import signal
import sys
from collections.abc import Callable, Sequence

import pytest
from runs.cli import Cli, fill, in_file, in_redis

from greentic_session import SessionStore, TenantCtx

pytest.importorskip("termios")  # terminals of another kind

from terminal import terminal

TOP = (sys.executable, "-m", "greentic_session", "top")
LEFT = b"\x1b[?1049l"
"""Back from the other screen."""


def has(*words: str) -> Callable[[Sequence[str]], bool]:
    return lambda lines: all(word in "\n".join(lines) for word in words)


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (200, 60)])
def test_it_is_drawn_until_q(url: str, columns: int, lines: int) -> None:
    with terminal([*TOP, "--store", url, "--every", "0.1"], columns, lines) as it:
        before = it.settings()
        seen = it.until(has("waits 5", "dev/acme", "order.flow", "counted"))
        assert seen[0].startswith("greentic-session top  sqlite")
        assert seen[0].endswith("q quits")
        assert len(seen[0]) == columns
        beside = [line for line in seen if "TENANT" in line and "FLOW" in line]
        assert bool(beside) is (columns == 200)
        it.type("x")  # which means nothing
        it.type("q")
        assert it.end() == 0
        assert LEFT in it.written
        assert it.settings() == before


def test_it_is_drawn_anew(url: str) -> None:
    with terminal([*TOP, "--store", url, "--every", "0.1"], 80, 24) as it:
        it.until(has("waits 5"))

        async def more(store: SessionStore) -> None:
            assert await store.purge(TenantCtx.new("dev", "other")) == 1

        in_file(url, more)
        it.until(has("waits 4"))
        assert not has("dev/other")(it.lines)
        it.resize(60, 20)
        it.until(lambda lines: len(lines[0]) == 60)
        it.type("Q")
        assert it.end() == 0


@pytest.mark.usefixtures("children_heed_sigint")
@pytest.mark.parametrize(("by", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_it_and_the_terminal_is_as_before(url: str, by: signal.Signals, code: int) -> None:
    with terminal([*TOP, "--store", url, "--every", "0.1"], 80, 24) as it:
        before = it.settings()
        it.until(has("waits 5"))
        it.process.send_signal(by)
        assert it.end() == code
        assert LEFT in it.written
        assert b"Traceback" not in it.written
        assert it.settings() == before


def test_redis(redis_url: str, namespace: str) -> None:
    in_redis(redis_url, namespace, fill)
    with terminal([*TOP, "--store", redis_url, "--namespace", namespace], 80, 24) as it:
        it.until(has("waits 5", "dev/acme", namespace[:10]))
        it.type("q")
        assert it.end() == 0


def test_one_picture_needs_no_terminal(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = Cli(capsys)("top", "--once", "--store", url)
    assert (code, err) == (0, "")
    assert "waits 5" in out
    assert "\x1b" not in out


def test_without_a_terminal_it_says_so(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = Cli(capsys)("top", "--store", url)
    assert (code, out) == (2, "")
    assert "there is no terminal to draw on" in err


@pytest.mark.parametrize("every", ["0", "61", "soon"])
def test_a_wrong_pause(url: str, every: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert Cli(capsys)("top", "--store", url, "--every", every)[0] == 2


def test_the_url_is_not_shown(url: str) -> None:
    with terminal([*TOP, "--store", "redis://:hunter2@127.0.0.1:1"], 80, 24) as it:
        assert it.end() == 1
        assert b"hunter2" not in it.written
