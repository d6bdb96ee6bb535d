"""Plays a recording to the runner, and prints what happens."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

import anyio

from greentic_session import ReplyScope, SessionStore, Wait
from greentic_session.conversation import ConversationStore
from greentic_session.conversation import Message as Said

from .flow import FLOW_ID
from .routing import tenant_of, tenant_partition, user_of
from .runner import Outcome, Runner
from .telegram import InvalidUpdateError, Message, Update, decode_update

__all__ = ["DEFAULT_TTL", "play"]

DEFAULT_TTL: Final = 0.7
"""For how many seconds a question waits for its answer."""

_ANSWER_WINDOW: Final = 15 * 60  # what the TTL stands for, in seconds of recorded time
_MARGIN: Final = 0.05  # seconds past the TTL, so that it has surely ended
_SUMMARY: Final = ("parked", "resumed", "finished", "ignored", "too late", "skipped lines")
_LONGEST_TEXT: Final = 50


async def play(
    store: SessionStore,
    conversations: ConversationStore[Said],
    lines: Iterable[tuple[int, bytes]],
    ttl: float = DEFAULT_TTL,
) -> None:
    """Play recorded updates to a runner; print each outcome, a transcript, and the final store.

    Args:
        store: Where paused flows wait; closed at the end.
        conversations: Where their transcripts are; closed at the end.
        lines: The updates, each with the number of its line.
        ttl: For how many seconds a question waits for its answer.

    Raises:
        GreenticError: A store failed.
    """
    async with store, conversations:
        await store.health()
        await conversations.health()
        await _Playback(store, conversations, ttl).run(lines)


class _Playback:
    def __init__(self, store: SessionStore, conversations: ConversationStore[Said], ttl: float) -> None:
        self._store = store
        self._conversations = conversations
        self._ttl = ttl
        self._runner = Runner(store, conversations, ttl)
        self._first_order: tuple[str, str] | None = None  # the first that was finished: tenant and conversation
        self._counts: Counter[str] = Counter()
        self._tenants: dict[str, None] = {}  # a set in the order of their first message
        self._now = 0  # recorded time

    async def run(self, lines: Iterable[tuple[int, bytes]]) -> None:
        _print(f"A question waits {self._ttl:g} s for its answer, which stands for {_ANSWER_WINDOW // 60} minutes.\n")
        for number, line in lines:
            try:
                update = decode_update(line)
            except InvalidUpdateError as error:
                self._counts["skipped lines"] += 1
                _print(f"line {number}: skipped: {error}\n")
                continue
            if update.message is not None:
                self._tenants.setdefault(tenant_of(update.message))
                await self._let_time_pass(update.message.date)
            _print(f"line {number}: {_headline(update)}")
            if update.message is not None:
                _print(f"    message   {_quoted(update.message)}")
            outcome = await self._runner.handle(update)
            self._count(outcome)
            if update.message is not None and outcome.conversation is not None and outcome.parked_at is None:
                self._first_order = self._first_order or (tenant_of(update.message), outcome.conversation)
            for told in _tell(outcome):
                _print(f"    {told}")
            _print("")
        await self._print_transcript()
        await self._print_held()
        _print("\n" + ", ".join(f"{what} {self._counts[what]}" for what in _SUMMARY))

    async def _let_time_pass(self, date: int) -> None:
        """Wait only where the recording has a gap.

        Then every question before it goes without an answer for too long.
        """
        gap = date - self._now
        if self._now and gap > _ANSWER_WINDOW:
            pause = self._ttl + _MARGIN
            _print(f"--- {gap // 60} minutes pass in the recording; waiting {pause:.2f} s, until every TTL has ended\n")
            await anyio.sleep(pause)
        # An update that is delivered twice brings its old date along.
        self._now = max(self._now, date)

    def _count(self, outcome: Outcome) -> None:
        resumed, parked = outcome.resumed_at is not None, outcome.parked_at is not None
        self._counts["resumed"] += resumed
        self._counts["parked"] += parked
        self._counts["finished"] += resumed and not parked
        self._counts["too late"] += outcome.too_late
        self._counts["ignored"] += not (resumed or parked or outcome.too_late)

    async def _print_transcript(self) -> None:
        if self._first_order is None:
            return
        tenant, conversation = self._first_order
        _print(f"The transcript of the first order that was finished, at {tenant}:")
        for message in await self._conversations.messages(tenant_partition(tenant), conversation):
            _print(f"  {message.role:<9}  {_shortened(message.text)}")
        _print("")

    async def _print_held(self) -> None:
        _print("The store still holds, until the TTL ends:")
        if not self._tenants:
            _print("  nothing: no tenant has had a message")
        for tenant in self._tenants:
            _print(f"  {tenant}")
            held = [wait async for wait in self._store.iter_sessions(tenant_partition(tenant))]
            for row in sorted(map(_row, held)) or ["nothing"]:
                _print(f"    {row}")


def _headline(update: Update) -> str:
    message = update.message
    if message is None:
        return f"update {update.update_id}"
    who = "nobody" if message.sender is None else user_of(message.sender)
    topic = "" if message.topic is None else f" topic {message.topic}"
    when = f"{datetime.fromtimestamp(message.date, UTC):%H:%M}"
    return f"{when}  {tenant_of(message)}  {who} in chat {message.chat.id}{topic}"


def _quoted(message: Message) -> str:
    reply = "" if message.replied is None else f" in reply to {message.replied.message_id}"
    text = message.text
    if text is None:
        return f"{message.message_id}{reply}, without text"
    return f"{message.message_id}{reply}: {_shortened(text)}"


def _shortened(text: str) -> str:
    # repr() keeps control characters away from the terminal.
    return repr(text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 3] + "...")


def _tell(outcome: Outcome) -> Iterable[str]:
    if outcome.resumed_at is not None:
        yield f"resumed   {FLOW_ID} at {outcome.resumed_at}"
    if outcome.parked_at is not None and outcome.scope is not None:
        yield f"parked    {FLOW_ID} at {outcome.parked_at:<12}  waits on {_place(outcome.scope)}"
    elif outcome.resumed_at is not None:
        yield f"finished  {FLOW_ID}, its session is removed"
    if outcome.too_late:
        yield "too late  nothing waits for this answer (any more)"
    if outcome.note is not None:
        yield f"note      {outcome.note}"
    if outcome.says is not None:
        yield f"bot says  {outcome.says!r}"
    if outcome.length:
        yield f"recorded  both, as messages {outcome.length - 1} and {outcome.length} of the conversation"


def _row(wait: Wait) -> str:
    data = wait.data
    place = "nothing that the store knows" if wait.scope is None else _place(wait.scope)
    return f"{data.tenant_ctx.effective_user}  {data.flow_id}  at {data.cursor.node_pointer:<12}  waits on {place}"


def _place(scope: ReplyScope) -> str:
    thread = "" if scope.thread is None else f" thread {scope.thread}"
    reply_to = "" if scope.reply_to is None else f" reply_to {scope.reply_to}"
    return f"{scope.conversation}{thread}{reply_to}"


def _print(text: str) -> None:
    print(text, flush=True)  # noqa: T201  # the demo's output; flushed, for the pauses are part of it
