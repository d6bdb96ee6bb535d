"""A hypothesis state machine that holds a conversation store against a simple model."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from greentic_session.conversation import Conversation, ConversationSummary, Message, TokenUsage
from greentic_session.errors import ConflictError, NotFoundError
from greentic_session.testing._calls import CallsAStore

from .model import PARTITIONS, PLACES, TTL, ConversationModel, Held, Known, Seen, recency
from .samples import MakeConversationStore, StandingClock, said

__all__ = ["ConversationStoreMachine", "conversation_store_machine"]

places = st.sampled_from(PLACES)
words = st.lists(st.sampled_from(["x", "y", "z"]), max_size=3)


class ConversationStoreMachine(CallsAStore, ConversationModel, RuleBasedStateMachine):
    """Operations on a store and on the model, side by side."""

    refusals: ClassVar[tuple[type[Exception], ...]] = (ConflictError, NotFoundError)

    make_store: MakeConversationStore
    advance: Callable[[float], Awaitable[None] | None]
    unit: float

    def __init__(self) -> None:
        super().__init__()
        self.loop: asyncio.AbstractEventLoop = asyncio.new_event_loop()
        self.clock: StandingClock = StandingClock()
        self.store: Any = None
        self.held: list[Held] = []
        self.seen: list[Seen] = []
        self.pages: list[tuple[int, ConversationSummary]] = []

    @initialize(ttl=st.sampled_from([None, TTL]), sliding=st.booleans())
    def make(self, ttl: int | None, sliding: bool) -> None:  # noqa: FBT001
        """Make the store, with or without a lifetime."""
        self.ttl: int | None = ttl
        self.sliding: bool = sliding and ttl is not None
        lifetime = None if ttl is None else ttl * self.unit
        self.store = type(self).make_store(ttl=lifetime, sliding=self.sliding, clock=self.clock)

    def teardown(self) -> None:
        """Close the store."""
        if self.store is not None:
            self.run(self.store.aclose())
        self.loop.close()

    # -- the operations

    def written(self, place: tuple[int, str], known: Known) -> None:
        """Take over the time of a write, which must be a later one."""
        self.used(known)
        summaries = {summary.id: summary for summary in self.run(self.store.list(PARTITIONS[place[0]]))}
        updated_at = summaries[place[1]].updated_at
        assert updated_at > known.content.updated_at
        known.content.updated_at = updated_at

    def edited(self, place: tuple[int, str], known: Known) -> None:
        """Take over an edit: what was read before it is no longer the prefix."""
        known.edits += 1
        self.written(place, known)

    def at(self, place: tuple[int, str], call: Awaitable[Any]) -> tuple[Known | None, Any]:
        """Return the conversation at a place, and the outcome of a call there.

        The store must know of one where the model does.
        """
        known = self.live(place)
        result = self.outcome(call)
        assert (result is NotFoundError) is (known is None)
        return known, result

    @rule(place=places, model=st.sampled_from(["", "m"]), cwd=st.sampled_from(["", "/x"]))
    def create(self, place: tuple[int, str], model: str, cwd: str) -> None:
        """Create."""
        partition, id = place
        result = self.outcome(self.store.create(PARTITIONS[partition], id=id, model=model, cwd=cwd, metadata={"tag": model}))
        if self.live(place) is not None:
            assert result is ConflictError
            return
        assert (result.id, result.model, result.state.cwd, result.metadata) == (id, model, cwd, {"tag": model})
        assert (result.messages, result.created_at) == ([], result.updated_at)
        known = self.known[place] = Known(copy.deepcopy(result), self.ends())
        self.held.append(Held(result, partition, known, result.updated_at))

    @rule(place=places, said_words=words)
    def append(self, place: tuple[int, str], said_words: list[str]) -> None:
        """Append, also nothing."""
        partition, id = place
        known, result = self.at(place, self.store.append(PARTITIONS[partition], id, *said(*said_words)))
        if known is None:
            return
        known.content.messages += said(*said_words)
        assert result == len(known.content.messages)
        if said_words:
            self.written(place, known)
        else:
            self.used(known)

    @rule(
        place=places,
        cwd=st.sampled_from([None, "", "/y"]),
        tokens=st.integers(0, 5),
        cached=st.sampled_from([None, 0, 3]),
        custom=st.dictionaries(st.sampled_from(["k", "l"]), st.sampled_from([None, 1, [2]])),
        metadata=st.dictionaries(st.sampled_from(["tag", "t"]), st.sampled_from(["", "v"])),
    )
    def update_state(
        self,
        place: tuple[int, str],
        cwd: str | None,
        tokens: int,
        cached: int | None,
        custom: dict[str, Any],
        metadata: dict[str, str],
    ) -> None:
        """update_state."""
        partition, id = place
        usage = TokenUsage(tokens, 0, cached)
        known, _ = self.at(
            place,
            self.store.update_state(
                PARTITIONS[partition], id, cwd=cwd, add_usage=usage, add_events=tokens, custom=custom, metadata=metadata
            ),
        )
        if known is None:
            return
        state = known.content.state
        before = state.token_usage
        total = before.cache_read_tokens if cached is None else (before.cache_read_tokens or 0) + cached
        state.token_usage = TokenUsage(before.input_tokens + tokens, before.output_tokens, total)
        state.event_count += tokens
        state.custom |= custom
        state.cwd = state.cwd if cwd is None else cwd
        known.content.metadata |= metadata
        self.written(place, known)

    @rule(place=places)
    def load(self, place: tuple[int, str]) -> None:
        """Load, and keep the object."""
        partition, id = place
        known, result = self.at(place, self.store.load(PARTITIONS[partition], id))
        if known is None:
            return
        assert result == known.content
        self.used(known)
        self.held.append(Held(result, partition, known, result.updated_at))

    @rule(place=places, last=st.none() | st.integers(0, 4))
    def messages(self, place: tuple[int, str], last: int | None) -> None:
        """Read messages."""
        partition, id = place
        known, result = self.at(place, self.store.messages(PARTITIONS[partition], id, last=last))
        if known is None:
            return
        expected = known.content.messages
        assert result == (expected if last is None else expected[max(len(expected) - last, 0) :])
        assert (result.first, result.total) == (len(expected) - len(result), len(expected))
        self.seen.append(Seen(place, result.version, known, known.edits, result.total))
        self.used(known)

    @rule(place=places, n=st.integers(1, 3))
    def pop(self, place: tuple[int, str], n: int) -> None:
        """Pop."""
        known, result = self.at(place, self.store.pop(PARTITIONS[place[0]], place[1], n))
        if known is None:
            return
        there = known.content.messages
        assert result == there[max(len(there) - n, 0) :]
        if there:
            del there[max(len(there) - n, 0) :]
            self.edited(place, known)
        else:
            self.used(known)

    @rule(place=places)
    def clear(self, place: tuple[int, str]) -> None:
        """Clear."""
        known, _ = self.at(place, self.store.clear(PARTITIONS[place[0]], place[1]))
        if known is None:
            return
        known.content.messages.clear()
        self.edited(place, known)

    @precondition(lambda self: self.seen)
    @rule(choose=st.data(), said_words=words)
    def compact(self, choose: st.DataObject, said_words: list[str]) -> None:
        """Compact what was read, whatever has become of it."""
        seen = choose.draw(st.sampled_from(self.seen[-6:]))
        upto = choose.draw(st.integers(0, seen.total))
        known, result = self.at(
            seen.place,
            self.store.compact(PARTITIONS[seen.place[0]], seen.place[1], upto, said(*said_words), version=seen.version),
        )
        if known is None:
            return
        if known is not seen.known or known.edits != seen.edits:
            assert result is ConflictError
            return
        known.content.messages[:upto] = said(*said_words)
        assert result == len(known.content.messages)
        self.edited(seen.place, known)

    @rule(place=places)
    def hold_a_new_one(self, place: tuple[int, str]) -> None:
        """Make an object that no store knows."""
        self.held.append(Held(Conversation[Message].new(place[1]), place[0]))

    @precondition(lambda self: self.held)
    @rule(choose=st.data(), said_words=words, force=st.booleans())
    def save(self, choose: st.DataObject, said_words: list[str], force: bool) -> None:  # noqa: FBT001
        """Change an object and save it, also by force."""
        self.save_one(choose.draw(st.sampled_from(self.held[-6:])), said_words, force=force)

    def save_one(self, held: Held, said_words: list[str], *, force: bool) -> None:
        mine, place = held.object, (held.partition, held.object.id)
        mine.messages = said(*said_words) + mine.messages[:2]
        mine.state.custom["saved"] = len(said_words)
        mine.model = "saved"
        known = self.live(place)
        current = known is held.known and (known is None or known.content.updated_at == held.seen)
        before = mine.updated_at
        result = self.outcome(self.store.save(PARTITIONS[held.partition], mine, force=force))
        if not (current or force):
            assert result is ConflictError
            return
        assert result is None
        assert mine.updated_at > before
        if known is None:
            known = self.known[place] = Known(copy.deepcopy(mine), self.ends())
        else:
            assert mine.created_at == known.content.created_at
            assert mine.updated_at > known.content.updated_at
            known.content = copy.deepcopy(mine)
            known.edits += 1
            self.used(known)
        held.known, held.seen = known, mine.updated_at

    @rule(place=places, force=st.booleans())
    def save_when_another_was_created(self, place: tuple[int, str], force: bool) -> None:  # noqa: FBT001
        """Save an object whose conversation was deleted and made anew at the same moment."""
        self.delete(place)
        self.create(place, "", "")
        held = self.held[-1]
        self.delete(place)
        self.create(place, "m", "/x")
        self.save_one(held, [], force=force)

    @rule(place=places)
    def delete(self, place: tuple[int, str]) -> None:
        """Delete."""
        known, result = self.at(place, self.store.delete(PARTITIONS[place[0]], place[1]))
        if known is None:
            return
        assert result is None
        del self.known[place]

    @rule(partition=st.sampled_from(range(len(PARTITIONS))))
    def purge(self, partition: int) -> None:
        """Purge."""
        gone = [place for place in PLACES if place[0] == partition and self.live(place)]
        assert self.run(self.store.purge(PARTITIONS[partition])) == len(gone)
        for place in gone:
            del self.known[place]

    @rule(partition=st.sampled_from(range(len(PARTITIONS))), limit=st.none() | st.integers(0, 4))
    def list_from_the_beginning(self, partition: int, limit: int | None) -> None:
        """List, and remember where a page ended."""
        page = self.run(self.store.list(PARTITIONS[partition], limit=limit))
        assert page == self.in_partition(partition)[:limit]
        if page:
            self.pages.append((partition, page[-1]))

    @precondition(lambda self: self.pages)
    @rule(choose=st.data(), limit=st.none() | st.integers(0, 4), by_summary=st.booleans())
    def list_on(self, choose: st.DataObject, limit: int | None, by_summary: bool) -> None:  # noqa: FBT001
        """List on from where a page ended, whatever has become of its last one."""
        partition, summary = choose.draw(st.sampled_from(self.pages[-6:]))
        result = self.outcome(
            self.store.list(PARTITIONS[partition], limit=limit, after=summary if by_summary else summary.id)
        )
        known = self.live((partition, summary.id))
        if not by_summary:
            if known is None:
                assert result is NotFoundError
                return
            summary = known.content.summary()
        rest = [other for other in self.in_partition(partition) if recency(other) > recency(summary)]
        assert result == rest[:limit]
        if result:
            self.pages.append((partition, result[-1]))

    @rule(seconds=st.sampled_from([0.5, 1.0, 3.0]))
    def pass_time(self, seconds: float) -> None:
        """Let lifetimes get shorter."""
        waiting = type(self).advance(seconds * self.unit)
        if waiting is not None:
            self.run(waiting)
        self.passed(seconds)

    @rule(microseconds=st.sampled_from([1, 1_000_000, -1, -5_000_000]))
    def set_the_clock(self, microseconds: int) -> None:
        """Let the clock that timestamps come from go, forth and back."""
        self.clock.now += microseconds

    # -- what holds at any time

    @invariant()
    def store_agrees(self) -> None:
        """Lists, and without sliding lifetimes loads, agree with the model."""
        if self.store is not None:
            self.run(self.check_everything())

    async def check_everything(self) -> None:
        for partition, ctx in enumerate(PARTITIONS):
            assert await self.store.list(ctx) == self.in_partition(partition)
        for place in () if self.sliding else PLACES:
            known = self.live(place)
            if known is not None:
                assert await self.store.load(PARTITIONS[place[0]], place[1]) == known.content


def conversation_store_machine(
    make_store: MakeConversationStore,
    advance: Callable[[float], Awaitable[None] | None],
    *,
    unit: float = 1.0,
    base: type[ConversationStoreMachine] = ConversationStoreMachine,
) -> type[Any]:
    """Return a hypothesis state machine for one kind of conversation store.

    Its ``TestCase`` is a unittest class.

    Args:
        make_store: Makes a fresh, empty store, once an example, with the options `ttl`, `sliding`
            and `clock`. That `clock` is where timestamps come from; it stands, and goes back now
            and then: lifetimes must not depend on it.
        advance: Makes so many seconds pass for lifetimes: sets an injected timer forward, or
            sleeps. May be async.
        unit: How many seconds the smallest lifetime has; more of them for a store whose timer
            cannot be stopped.
        base: The machine to build on; one of your own may check more after every step.
    """
    bound = {"make_store": staticmethod(make_store), "advance": staticmethod(advance), "unit": unit}
    return type("BoundMachine", (base,), bound)
