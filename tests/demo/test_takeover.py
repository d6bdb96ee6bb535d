"""The story of the demo: a burst, a reminder, and a worker that is killed while it takes money."""

import io
import re
import sys
from contextlib import redirect_stdout

import pytest

from greentic_session import UnavailableError
from greentic_session import __main__ as command_line
from greentic_session.demo import takeover

PATIENCE_S = 0.3


@pytest.fixture(scope="module")
def story() -> str:
    output = io.StringIO()
    with redirect_stdout(output):
        takeover.tell(patience=PATIENCE_S)  # the lease must outlast whatever keeps a worker from renewing it
    return output.getvalue()


def test_it_fits_on_a_terminal(story: str) -> None:
    lines = story.splitlines()
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 80
    assert story.isascii()
    assert "\x1b" not in story


def test_a_burst_is_worked_on_in_order(story: str) -> None:
    worked = re.findall(r"^worker [AB]  works on (.*)\n +says (.*)$", story, re.MULTILINE)
    assert worked == [
        ("'/order'", "'What would you like?'"),
        ("'Pizza Margherita'", "'How many times Pizza Margherita?'"),
        ("'2'", "'2 x Pizza Margherita: shall I order that? (yes/no)'"),
    ]
    assert story.count(": queued\n") == 3
    assert "first message is delivered once more: duplicate\n" in story


def test_who_falls_silent_is_reminded(story: str) -> None:
    assert re.search(r"^worker [AB]  finds that nobody has answered\n +says 'Are you still there\?'$", story, re.MULTILINE)


def test_a_killed_worker_is_followed_by_another_with_the_same_key(story: str) -> None:
    turn = r"worker ([AB])  works on 'yes'(.*)\n +asks the bank for 2 x Pizza Margherita, key (\w+)\.\.\."
    first, second = re.findall(turn, story)
    assert {first[0], second[0]} == {"A", "B"}
    assert (first[1], second[1]) == ("", ", attempt 2")
    assert first[2] == second[2]
    assert re.search(rf"^    kill -9 \d+: worker {first[0]} is dead", story, re.MULTILINE)
    assert "the bank knows this key, and takes nothing twice\n          says 'Ordered: 2 x Pizza Margherita.'\n" in story


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
        ("assistant", "Are you still there?"),
        ("user", "yes"),
        ("assistant", "Ordered: 2 x Pizza Margherita."),
    ]
    assert "flows that wait: none; answers that lie there: none\n    PRAGMA integrity_check: ok\n" in left
    assert story.endswith("\nNo answer was lost, nobody was forgotten, and everything was done once.\n")


def test_the_command_without_options_tells_it(monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    monkeypatch.setattr("greentic_session.cli.demo.tell", lambda: told.append("story"))
    assert command_line.main([]) == command_line.main(["demo"]) == 0
    assert told == ["story"] * 2


def test_workers_that_end_by_themselves_are_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "executable", "false")
    with pytest.raises(UnavailableError, match="the workers have ended"):
        takeover.tell()
    assert capsys.readouterr().out.startswith("A burst, a reminder")


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
