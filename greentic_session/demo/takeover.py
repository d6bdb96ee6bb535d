"""The story of a runner that is killed in the middle of a turn, and of another one that goes on.

The runners are real processes, one of them is really killed (SIGKILL), and all that they know is in
one SQLite file.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import anyio
import msgspec

from greentic_session import create_session_store
from greentic_session.conversation import Message as Said
from greentic_session.conversation import create_conversation_store
from greentic_session.errors import UnavailableError

from .process import SLOW, Report
from .routing import tenant_of, tenant_partition, user_of
from .runner import Outcome
from .telegram import Chat, Message, Update, User

__all__ = ["tell"]

_LEASE_S: Final = 2.0
_RETRY_PAUSE_S: Final = 0.4
_MAX_RETRIES: Final = 100
_CUSTOMER: Final = User(5101)
_CHAT: Final = Chat(5101, "private")
_NOON: Final = 1_767_265_200
_BOLD, _DIM, _RED, _GREEN, _CYAN = "1", "2", "1;31", "32", "36"


def tell(*, lease: float = _LEASE_S) -> None:
    """Play the story on a temporary SQLite file, and print it.

    Args:
        lease: For how many seconds the claim of a killed runner holds.

    Raises:
        GreenticError: The store failed.
        UnavailableError: Besides that: a runner ended by itself, or Python has no SQLite.
    """
    with tempfile.TemporaryDirectory(prefix="greentic-session-") as directory:
        path = Path(directory, "bot.db")
        create_session_store(f"sqlite:///{path}")  # no I/O: it says so where Python has no SQLite
        _Story(path, lease).play()
        anyio.run(_print_what_is_left, path)


class _Process:
    """A runner's process."""

    def __init__(self, name: str, path: Path, lease: float, *words: str) -> None:
        self.name = name
        self._process = subprocess.Popen(  # noqa: S603  # of ours
            [sys.executable, "-m", "greentic_session.demo.process", str(path), str(lease), *words],
            bufsize=0,  # nothing is left to be flushed when the process is gone
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    @property
    def id(self) -> int:
        return self._process.pid

    def begin(self, update: Update) -> Outcome | None:
        """Hand an update over; return what became of it, None where its turn goes on."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(msgspec.json.encode(update) + b"\n")
            self._process.stdin.flush()
        except OSError:
            pass  # the answer is missing, too
        answer = self._process.stdout.readline()
        if not answer:
            raise UnavailableError(f"runner {self.name} has ended")
        return msgspec.json.decode(answer, type=Report).outcome

    def handle(self, update: Update) -> Outcome:
        """Hand an update over, and return what became of it."""
        outcome = self.begin(update)
        assert outcome is not None  # no slow one
        return outcome

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        self._process.kill()
        with self._process:
            pass


@contextmanager
def _runner(name: str, path: Path, lease: float, *words: str) -> Iterator[_Process]:
    process = _Process(name, path, lease, *words)
    try:
        yield process
    finally:
        process.stop()


class _Story:
    """The messages of one customer, and which runner gets each."""

    def __init__(self, path: Path, lease: float) -> None:
        self._path = path
        self._lease = lease
        self._update_id = 100

    def play(self) -> None:
        with ExitStack() as stack:
            first = stack.enter_context(_runner("A", self._path, self._lease))
            second = stack.enter_context(_runner("B", self._path, self._lease))
            slow = stack.enter_context(_runner("C", self._path, self._lease, SLOW))
            _title("A runner is killed in the middle of a turn. Another one goes on.")
            _print("A flow takes an order in three questions. Its runners are processes that share")
            _print("one SQLite file, and remember nothing between two messages.")
            _print("")
            self._turn(first, self._next("/order"))
            self._turn(second, self._next("Pizza Margherita"))
            answer = self._next("2")
            self._begin(slow, answer)
            _print("")
            _print(_painted(_RED, f"    kill -9 {slow.id}") + ": runner C is dead, and its turn is not done.")
            slow.kill()
            killed = time.monotonic()
            _print("    Nobody has acknowledged the message, so it is delivered again:")
            _print("")
            self._take_over(first, answer, killed)
            self._turn(second, answer, "delivered once more")
            self._turn(second, self._next("yes"))
        _print("")

    def _next(self, text: str) -> Update:
        self._update_id += 1
        message = Message(self._update_id, _CHAT, _NOON + self._update_id, _CUSTOMER, text)
        return Update(self._update_id, message)

    def _turn(self, runner: _Process, update: Update, remark: str = "") -> None:
        self._print_turn(runner, update, runner.handle(update), remark)

    def _begin(self, runner: _Process, update: Update) -> None:
        _print_message(runner, update)
        if runner.begin(update) is not None:
            raise UnavailableError("the turn of a slow runner has ended")
        _print_step(f"claims the wait for {self._lease:g} seconds, and asks a model ...")

    def _take_over(self, runner: _Process, update: Update, killed: float) -> None:
        """Deliver an update until the lease of the killed runner is over."""
        outcome = runner.handle(update)
        if outcome.resumed_at is None:
            _print_message(runner, update, "delivered again")
            _print_step(_note(outcome))
            _print("")
        for _ in range(_MAX_RETRIES):
            if outcome.resumed_at is not None:
                break
            time.sleep(_RETRY_PAUSE_S)
            outcome = runner.handle(update)
        _print(f"    {time.monotonic() - killed:.1f} seconds after the kill the lease is over:")
        _print("")
        self._print_turn(runner, update, outcome, "delivered again")

    def _print_turn(self, runner: _Process, update: Update, outcome: Outcome, remark: str) -> None:
        _print_message(runner, update, remark)
        if outcome.resumed_at is not None:
            _print_step(_painted(_GREEN, f"resumes at {outcome.resumed_at}"))
        if outcome.says is not None:
            _print_step(f"says {outcome.says!r}")
        if outcome.parked_at is not None:
            _print_step(_painted(_DIM, f"parks at {outcome.parked_at}"))
        if outcome.resumed_at is None and outcome.parked_at is None:
            _print_step(_painted(_DIM, _note(outcome)))


def _note(outcome: Outcome) -> str:
    return outcome.note or "nothing waits for this answer any more"


async def _print_what_is_left(path: Path) -> None:
    """Print the transcript, the sessions that are left, and whether the file is sound."""
    import sqlite3  # noqa: PLC0415  # the command line does without

    update = Message(1, _CHAT, _NOON, _CUSTOMER, "")
    ctx = tenant_partition(tenant_of(update))
    url = f"sqlite:///{path}"
    async with create_session_store(url) as store, create_conversation_store(url) as conversations:
        (summary,) = await conversations.list(ctx)
        messages = await conversations.messages(ctx, summary.id)
        _title("What the file has now")
        for message in messages:
            _print(f"    {_painted(_CYAN, f'{message.role:<9}')}  {message.text}")
        waiting = [wait async for wait in store.iter_sessions(ctx)]
    with sqlite3.connect(path) as connection:
        (sound,) = connection.execute("PRAGMA integrity_check").fetchone()
    connection.close()
    _print("")
    _print(f"    flows that wait: {len(waiting) or 'none'}; PRAGMA integrity_check: {sound}")
    _print("")
    _print(_painted(_BOLD, _verdict(messages)))


def _verdict(messages: list[Said]) -> str:
    asked = [message.text for message in messages if message.role == "assistant"]
    said = [message.text for message in messages if message.role == "user"]
    once = len(set(asked)) == len(asked)
    all_there = said == ["/order", "Pizza Margherita", "2", "yes"]
    return f"Every question was asked {'once' if once else 'AGAIN'}, and {'no' if all_there else 'AN'} answer was lost."


def _print_message(runner: _Process, update: Update, remark: str = "") -> None:
    assert update.message is not None
    assert update.message.sender is not None
    end = f"  ({remark})" if remark else ""
    text = f"{user_of(update.message.sender)} writes {update.message.text!r}{end}"
    _print(f"{_painted(_BOLD, f'runner {runner.name}')}  {text}")


def _print_step(text: str) -> None:
    _print(f"          {text}")


def _title(text: str) -> None:
    _print(_painted(_BOLD, text))
    _print("")


def _painted(colour: str, text: str) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if _has_colours() else text


def _has_colours() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _print(text: str) -> None:
    print(text, flush=True)  # noqa: T201  # the demo's output; flushed, for the pauses are part of it
