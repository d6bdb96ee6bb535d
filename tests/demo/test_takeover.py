"""The story of the demo: a runner is killed in the middle of a turn, and another one goes on."""

import io
import re
import sys
from contextlib import redirect_stdout

import pytest

from greentic_session import UnavailableError
from greentic_session import __main__ as command_line
from greentic_session.demo import takeover

LEASE_S = 0.5


@pytest.fixture(scope="module")
def story() -> str:
    output = io.StringIO()
    with redirect_stdout(output):
        takeover.tell(lease=LEASE_S)
    return output.getvalue()


def test_it_fits_on_a_terminal(story: str) -> None:
    lines = story.splitlines()
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 80
    assert story.isascii()
    assert "\x1b" not in story


def test_a_killed_runner_is_followed_by_another_that_knows_the_state(story: str) -> None:
    killed, after = re.split(r"\n    kill -9 \d+: runner C is dead", story)
    assert killed.endswith(
        f"runner C  tg-5101 writes '2'\n          claims the wait for {LEASE_S:g} seconds, and asks a model ...\n"
    )
    turn = (
        "runner A  tg-5101 writes '2'  (delivered again)\n"
        "          resumes at ask_quantity\n"
        "          says '2 x Pizza Margherita: shall I order that? (yes/no)'\n"
        "          parks at confirm\n"
    )
    assert turn in after
    assert "(delivered once more)\n          already processed, ignored" in after


def test_nothing_is_asked_twice_and_nothing_is_lost(story: str) -> None:
    _, left = story.split("What the file has now\n")
    transcript = re.findall(r"^    (user|assistant) +(.*)$", left, re.MULTILINE)
    assert transcript == [
        ("user", "/order"),
        ("assistant", "What would you like?"),
        ("user", "Pizza Margherita"),
        ("assistant", "How many times Pizza Margherita?"),
        ("user", "2"),
        ("assistant", "2 x Pizza Margherita: shall I order that? (yes/no)"),
        ("user", "yes"),
        ("assistant", "Ordered: 2 x Pizza Margherita."),
    ]
    assert "flows that wait: none; PRAGMA integrity_check: ok" in left
    assert story.endswith("Every question was asked once, and no answer was lost.\n")


def test_the_command_without_options_tells_it(monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    monkeypatch.setattr("greentic_session.cli.demo.tell", lambda: told.append("story"))
    assert command_line.main([]) == command_line.main(["demo"]) == 0
    assert told == ["story"] * 2


def test_a_runner_that_ends_by_itself_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "executable", "false")
    with pytest.raises(UnavailableError, match="runner A has ended"):
        takeover.tell(lease=LEASE_S)
    assert capsys.readouterr().out.startswith("A runner is killed")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colours_are_for_terminals(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, *, coloured: bool) -> None:
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    terminal = Terminal()
    with redirect_stdout(terminal):
        assert takeover._painted("1", "words") == ("\x1b[1mwords\x1b[0m" if coloured else "words")
    with redirect_stdout(io.StringIO()):
        assert takeover._painted("1", "words") == "words"
