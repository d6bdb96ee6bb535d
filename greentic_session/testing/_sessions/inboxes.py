"""Inboxes: bodies, bounds, who may read and write them, and what administration makes of them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from greentic_session import Start
from greentic_session.errors import (
    ErrorCode,
    InboxFullError,
    InvalidInputError,
    TenantMismatchError,
    UnavailableError,
)
from greentic_session.models import ReplyScope
from greentic_session.store import SessionStore

from .calls import answer, bodies, claim_answer, inbox, park
from .samples import ALICE, CHAT, DAY, MINUTE, OTHER, MakeStore, Time, ctx, data

__all__ = ["InboxesContract"]

BOB = ctx("bob")


class InboxesContract:
    """deliver and inbox: the arguments, and how much there may be."""

    # -- bodies and arguments

    async def test_bodies(self, store: SessionStore) -> None:
        await park(store)
        for body, text in (("", ""), ("é 漢字 😀 \x00", "é 漢字 😀 \x00"), ({"a": [1, None]}, '{"a":[1,null]}'), (7, "7")):
            claim = await claim_answer(store, body)
            assert claim.reply is not None
            assert claim.reply.body == text
            if not isinstance(body, str):
                assert claim.reply.value() == body
            await claim.stay()
        claim = await claim_answer(store, "no json")
        assert claim.reply is not None
        with pytest.raises(InvalidInputError):
            claim.reply.value()
        await claim.stay()
        typed = await claim_answer(store, {"at": timedelta(hours=1)})
        assert typed.reply is not None
        assert typed.reply.value(dict[str, timedelta]) == {"at": timedelta(hours=1)}
        with pytest.raises(InvalidInputError):
            typed.reply.value(dict[str, int])

    async def test_bad_deliveries_are_refused_before_anything_is_written(self, make_store: MakeStore) -> None:
        async with make_store(max_reply_bytes=10) as store:
            await park(store)
            bad: list[dict[str, Any]] = [
                {"body": "x" * 11},
                {"body": "é" * 6},
                {"body": "\ud800"},
                {"body": float("nan")},
                {"delivery_id": ""},
                {"delivery_id": "x" * 256},
                {"delivery_id": "\ud800"},
                {"sender": ""},
                {"sender": "x" * 256},
                {"keep_for": 0},
                {"lease": -1},
                {"scope": ReplyScope("a\nb")},
                {"start": Start(data(), ttl=0)},
                {"start": Start(data(), key="")},
                {"start": Start(data(), on_timeout="other")},  # type: ignore[arg-type]  # refused
                {"start": Start(data(ctx(None)))},
            ]
            for options in bad:
                with pytest.raises(InvalidInputError):
                    await answer(store, **options)
            wrong: list[dict[str, Any]] = [
                {"body": object()},
                {"delivery_id": 1},
                {"sender": 1},
                {"start": data()},
                {"claim": 1},
                {"keep_for": "1"},
            ]
            for options in wrong:
                with pytest.raises(TypeError):
                    await answer(store, **options)
            assert await inbox(store) == []
            assert (await claim_answer(store, "x" * 10)).attempt == 1

    async def test_whoever_delivers_acts_for_the_user_who_is_waited_for(self, store: SessionStore) -> None:
        await park(store)
        with pytest.raises(TenantMismatchError):
            await store.deliver(BOB, "alice", CHAT, "x")
        with pytest.raises(TenantMismatchError):
            await answer(store, scope=OTHER, start=Start(data(BOB)))
        with pytest.raises(TenantMismatchError):
            await answer(store, scope=OTHER, start=Start(data(ctx(tenant="globex"))))
        for stranger in (ctx(None, tenant="globex"), ctx(None, team=None), ctx(None, env="prod")):
            assert (await store.deliver(stranger, "alice", CHAT, "x")).outcome == "unmatched"
        delivery = await store.deliver(ctx(None), "alice", CHAT, "x", sender="bob")
        assert delivery.claim is not None
        await delivery.claim.park(OTHER, data(node="next"))
        begun = await store.deliver(ctx(None), "alice", CHAT, "x", start=Start(data()))
        assert begun.claim is not None
        await begun.claim.complete()

    async def test_an_inbox_is_read_by_whoever_may(self, store: SessionStore) -> None:
        await answer(store, keep_for=MINUTE)
        assert bodies(await store.inbox(ctx(None), "alice", CHAT)) == ["yes"]
        assert await store.inbox(BOB, "alice", CHAT) == []
        assert await store.inbox(ALICE, "bob", CHAT) == []
        assert await store.inbox(ctx(tenant="globex"), "alice", CHAT) == []
        assert bodies(await store.inbox(ALICE, "alice", ReplyScope(CHAT.conversation, "", "", ""))) == ["yes"]

    # -- bounds

    async def test_an_inbox_takes_so_many_replies(self, make_store: MakeStore) -> None:
        async with make_store(max_replies=2, max_inbox_bytes=10) as store:
            await park(store)
            claim = await claim_answer(store, "1")
            assert (await answer(store, "2")).outcome == "queued"
            with pytest.raises(InboxFullError) as refused:
                await answer(store, "3", delivery_id="d")
            assert refused.value.code is ErrorCode.RATE_LIMITED
            assert await inbox(store) == ["1", "2"]
            await claim.stay()
            await (await claim_answer(store, "4", delivery_id="d")).release()  # nothing was remembered
            taken = await claim_answer(store, "5")  # what is free always takes one more
            assert await inbox(store) == ["2", "4", "5"]
            with pytest.raises(InboxFullError):
                await answer(store, "6")
            await taken.take()
            await taken.stay()
            with pytest.raises(InboxFullError):
                await answer(store, "x" * 11, claim=False)
            assert (await answer(store, "x" * 10, claim=False)).outcome == "queued"
            with pytest.raises(InboxFullError):
                await answer(store, "é" * 5, claim=False)

    async def test_an_owner_has_ten_times_as_many_kept_replies(self, make_store: MakeStore) -> None:
        async with make_store(max_replies=1, max_inbox_bytes=10) as store:
            for number in range(10):
                await answer(store, scope=ReplyScope(f"c{number}"), keep_for=MINUTE)
            with pytest.raises(InboxFullError):
                await answer(store, scope=CHAT, keep_for=MINUTE)
            with pytest.raises(InboxFullError):
                await answer(store, scope=ReplyScope("c0"), keep_for=MINUTE)
            other = await store.deliver(BOB, "bob", CHAT, "x", keep_for=MINUTE)
            assert other.outcome == "kept"
            await park(store, scope=ReplyScope("c0"))  # what has a wait is not kept
            assert (await answer(store, scope=CHAT, keep_for=MINUTE)).outcome == "kept"

    async def test_kept_replies_are_bounded_at_a_place_and_by_their_bytes(self, make_store: MakeStore) -> None:
        async with make_store(max_replies=2, max_inbox_bytes=10) as store:
            await answer(store, "x" * 5, keep_for=MINUTE)
            with pytest.raises(InboxFullError):
                await answer(store, "x" * 6, keep_for=MINUTE)  # of this place
            await answer(store, "x" * 5, keep_for=MINUTE)
            with pytest.raises(InboxFullError):
                await answer(store, "", keep_for=MINUTE)
            for number in range(9):
                await answer(store, "x" * 10, scope=ReplyScope(f"c{number}"), keep_for=MINUTE)
            with pytest.raises(InboxFullError):
                await answer(store, "x", scope=OTHER, delivery_id="d", keep_for=MINUTE)  # of this owner
            assert await inbox(store, OTHER) == []
            assert (await answer(store, "", scope=OTHER, delivery_id="d", keep_for=MINUTE)).outcome == "kept"

    async def test_what_ran_out_counts_for_nothing(self, make_store: MakeStore, time: Time) -> None:
        async with make_store(max_replies=1) as store:
            for number in range(10):
                await answer(store, scope=ReplyScope(f"c{number}"), keep_for=time.moment)
            await time.wait_out(time.moment)
            assert (await answer(store, scope=ReplyScope("c0"), keep_for=time.moment)).outcome == "kept"

    # -- the rest

    async def test_accepted_at_is_the_stores_clock(self, store: SessionStore) -> None:
        await park(store)
        claim = await claim_answer(store)
        assert claim.reply is not None
        assert abs(claim.reply.accepted_at - datetime.now(UTC)) < timedelta(minutes=1)

    async def test_purge_forgets_replies_and_ids(self, store: SessionStore) -> None:
        await park(store)
        await (await claim_answer(store, delivery_id="settled")).stay()
        await answer(store, delivery_id="queued", claim=False)
        await answer(store, scope=OTHER, delivery_id="kept", keep_for=DAY)
        await store.deliver(BOB, "bob", CHAT, "x", delivery_id="d", keep_for=DAY)
        assert await store.purge(ctx(None), user="alice") == 1
        assert (await inbox(store), await inbox(store, OTHER)) == ([], [])
        assert bodies(await store.inbox(BOB, "bob", CHAT)) == ["x"]
        await park(store)
        assert await store.claim_ready() == []
        for name in ("settled", "queued"):
            await (await claim_answer(store, delivery_id=name)).stay()
        await park(store, scope=OTHER)
        assert (await answer(store, scope=OTHER, delivery_id="kept")).outcome == "claimed"

    async def test_a_closed_store_takes_no_replies(self, make_store: MakeStore) -> None:
        store = make_store()
        await park(store)
        claim = await claim_answer(store)
        await store.aclose()
        for call in (answer(store), store.claim_ready(), store.inbox(ALICE, "alice", CHAT), claim.stay(), claim.take()):
            with pytest.raises(UnavailableError, match="closed"):
                await call
        with pytest.raises(UnavailableError):
            store.iter_ready()
