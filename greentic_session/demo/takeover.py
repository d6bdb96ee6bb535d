"""The story of a burst of messages, a reminder, and a worker that is killed while it takes money.

The workers are real processes, one of them is really killed (SIGKILL), and all that they know is in
one SQLite file.
"""

import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import anyio
import msgspec
from anyio import to_thread

from greentic_session import ReplyScope, SessionData, SessionStore, Start, TenantCtx, create_session_store
from greentic_session.conversation import ConversationStore, create_conversation_store, link_conversation
from greentic_session.conversation import Message as Said
from greentic_session.errors import UnavailableError

from .flow import FLOW_ID, Order
from .worker import NEW, Began, Paying, Report, Says

__all__ = ["tell"]

R = TypeVar("R", bound=Report)

_LEASE_S: Final = 3.0
_PATIENCE_S: Final = 1.5
_USER: Final = "ada"
_CTX: Final = TenantCtx.new("demo", "trattoria", user=_USER)
_CHAT: Final = ReplyScope("telegram:5101")
_BURST: Final = ("/order", "Pizza Margherita", "2")
_LAST: Final = "yes"
_BOLD, _DIM, _RED, _GREEN, _CYAN = "1", "2", "1;31", "32", "36"


def tell(*, lease: float = _LEASE_S, patience: float = _PATIENCE_S) -> None:
    """Play the story on a temporary SQLite file, and print it.

    Args:
        lease: For how many seconds the claim of a killed worker holds.
        patience: After how many seconds without an answer the customer is reminded.

    Raises:
        GreenticError: The store failed.
        UnavailableError: Besides that: the workers ended by themselves, or Python has no SQLite.
    """
    with tempfile.TemporaryDirectory(prefix="greentic-session-") as directory:
        path = Path(directory, "bot.db")
        verdict = anyio.run(_play, path, lease, patience)
        _print_soundness(path)
    _print("")
    _print(_painted(_BOLD, verdict))


class _Workers:
    """The processes of the workers, who write what they do into one pipe, line by line.

    Args:
        path: The file that they share.
        lease: As for `tell`.
        patience: The same.
    """

    def __init__(self, path: Path, lease: float, patience: float) -> None:
        self._arguments = [str(path), str(lease), str(patience)]
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._ends = ExitStack()

    def __enter__(self) -> Self:
        reading, writing = os.pipe()
        self._reports = self._ends.enter_context(os.fdopen(reading, "rb"))
        with os.fdopen(writing, "wb") as output:
            for name in "AB":
                command = [sys.executable, "-m", "greentic_session.demo.process", name, *self._arguments]
                self._processes[name] = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output)  # noqa: S603  # of ours
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for process in self._processes.values():
            process.kill()
            with process:
                pass
        self._ends.close()

    async def report(self, type: type[R]) -> R:
        """Return the next report; it is of this type."""
        line = await to_thread.run_sync(self._reports.readline, abandon_on_cancel=True)
        if not line:
            raise UnavailableError("the workers have ended")
        return msgspec.json.decode(line, type=type)

    def kill(self, name: str) -> int:
        """Kill a worker; return its process id."""
        process = self._processes[name]
        process.kill()
        process.wait()
        return process.pid


async def _play(path: Path, lease: float, patience: float) -> str:
    """Tell the story; return what is to be said of it at the end."""
    url = f"sqlite:///{path}"
    async with create_session_store(url) as store, create_conversation_store(url) as conversations:
        conversation = await conversations.create(_CTX)
        start = Start(link_conversation(SessionData.new(_CTX, FLOW_ID, NEW, context=Order()), conversation.id))
        with _Workers(path, lease, patience) as workers:
            _print(_painted(_BOLD, "A burst, a reminder, and a worker that dies while it takes the money."))
            _print("")
            _print("A flow takes an order. Its workers, A and B, are processes that share one")
            _print("SQLite file, and remember nothing between two messages.")
            await _tell_of_a_burst(store, workers, start)
            await _tell_of_a_reminder(workers, patience)
            payments = await _tell_of_a_death(store, workers)
            while await store.find_wait(_CTX, _USER, _CHAT):  # noqa: ASYNC110  # the last verdict is on its way
                await anyio.sleep(0.02)
            return _verdict(await _print_what_is_left(store, conversations, conversation.id), payments)


async def _tell_of_a_burst(store: SessionStore, workers: _Workers, start: Start) -> None:
    _title("Three messages at once. Each is in the file before anybody works on it.")
    for number, text in enumerate(_BURST):
        delivery = await store.deliver(_CTX, _USER, _CHAT, text, delivery_id=f"update-{number}", start=start, claim=False)
        _print(f"{_USER} writes {text!r}: {delivery.outcome}")
    _print("")
    for _ in _BURST:
        await _tell_of_a_turn(workers)
    again = await store.deliver(_CTX, _USER, _CHAT, _BURST[0], delivery_id="update-0", claim=False)
    _print(f"{_USER}'s first message is delivered once more: {_painted(_DIM, again.outcome)}")


async def _tell_of_a_reminder(workers: _Workers, patience: float) -> None:
    _title(f"{_USER.capitalize()} falls silent. {patience:g} seconds stand for ten minutes.")
    await _tell_of_a_turn(workers)


async def _tell_of_a_death(store: SessionStore, workers: _Workers) -> set[str]:
    """Kill the worker that asks the bank; return the keys that the bank has seen."""
    _title(f"{_USER.capitalize()} answers, and a worker dies.")
    await store.deliver(_CTX, _USER, _CHAT, _LAST, delivery_id="update-last", claim=False)
    first = await _tell_of_a_payment(workers)
    pid = workers.kill(first.worker)
    killed = time.monotonic()
    _print(_painted(_RED, f"    kill -9 {pid}") + f": worker {first.worker} is dead, and its turn has no verdict.")
    second = await _tell_of_a_payment(workers, killed)
    keys = {first.key, second.key}
    _print_step("the bank " + ("knows this key, and takes nothing twice" if len(keys) == 1 else "TAKES IT AGAIN"))
    _print_says(await workers.report(Says))
    return keys


async def _tell_of_a_turn(workers: _Workers) -> None:
    _print_began(await workers.report(Began))
    _print_says(await workers.report(Says))


async def _tell_of_a_payment(workers: _Workers, killed: float | None = None) -> Paying:
    """Print how a worker asks the bank; where another one was killed, how long that is ago."""
    began = await workers.report(Began)
    if killed is not None:
        _print(f"    {time.monotonic() - killed:.1f} seconds later its lease has ended:")
    _print_began(began)
    paying = await workers.report(Paying)
    order = paying.order
    _print_step(f"asks the bank for {order.quantity} x {order.item}, key {paying.key[:8]}...")
    return paying


def _print_began(began: Began) -> None:
    what = "finds that nobody has answered" if began.text is None else f"works on {began.text!r}"
    attempt = f", attempt {began.attempt}" if began.attempt > 1 else ""
    _print(f"{_painted(_BOLD, f'worker {began.worker}')}  {_painted(_GREEN, what)}{attempt}")


def _print_says(says: Says) -> None:
    _print_step(f"says {says.text!r}")


async def _print_what_is_left(store: SessionStore, conversations: ConversationStore[Said], conversation: str) -> list[Said]:
    """Print the transcript, and the waits and answers that are left; return the transcript."""
    messages = await conversations.messages(_CTX, conversation)
    waits = [wait async for wait in store.iter_sessions(_CTX.with_user(None))]
    answers = await store.inbox(_CTX, _USER, _CHAT)
    _title("What the file has now")
    for message in messages:
        _print(f"    {_painted(_CYAN, f'{message.role:<9}')}  {message.text}")
    _print("")
    _print(f"    flows that wait: {len(waits) or 'none'}; answers that lie there: {len(answers) or 'none'}")
    return messages


def _verdict(messages: list[Said], payments: set[str]) -> str:
    said = [message.text for message in messages if message.role == "user"]
    asked = [message.text for message in messages if message.role == "assistant"]
    lost = "No" if said == [*_BURST, _LAST] else "AN"
    once = "once" if len(set(asked)) == len(asked) and len(payments) == 1 else "TWICE"
    return f"{lost} answer was lost, nobody was forgotten, and everything was done {once}."


def _print_soundness(path: Path) -> None:
    import sqlite3  # noqa: PLC0415  # the command line does without

    connection = sqlite3.connect(path)
    (sound,) = connection.execute("PRAGMA integrity_check").fetchone()
    connection.close()
    _print(f"    PRAGMA integrity_check: {sound}")


def _title(text: str) -> None:
    _print("")
    _print(_painted(_BOLD, text))
    _print("")


def _print_step(text: str) -> None:
    _print(f"          {text}")


def _painted(colour: str, text: str) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if _has_colours() else text


def _has_colours() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _print(text: str) -> None:
    print(text, flush=True)  # noqa: T201  # the demo's output; flushed, for the pauses are part of it
