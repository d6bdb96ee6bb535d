"""What holds replies or deadlines is not copied to a cluster: they would be lost."""

from collections.abc import Awaitable, Callable

import pytest
from migration_places import Pair
from redis_invariants import dump

from greentic_session import InvalidInputError
from greentic_session.store import SessionStore
from greentic_session.testing._sessions.calls import answer, park
from greentic_session.testing._sessions.samples import ALICE, DAY


async def a_reply(store: SessionStore) -> None:
    await park(store)
    await answer(store, claim=False)


async def a_kept_reply(store: SessionStore) -> None:
    await answer(store, keep_for=DAY)


async def a_reply_that_is_worked_on(store: SessionStore) -> None:
    await park(store)
    await answer(store)


async def a_deadline(store: SessionStore) -> None:
    await park(store, ttl=DAY, on_timeout="resume")


@pytest.mark.parametrize("pair", [("server", "cluster"), ("cluster", "cluster")], indirect=True, ids="-".join)
@pytest.mark.parametrize("holds", [a_reply, a_kept_reply, a_reply_that_is_worked_on, a_deadline])
@pytest.mark.asyncio
async def test_what_holds_replies_is_refused_before_anything_is_copied(
    pair: Pair, holds: Callable[[SessionStore], Awaitable[None]]
) -> None:
    await park(pair.source.store, "other")
    await holds(pair.source.store)
    with pytest.raises(InvalidInputError, match="replies or deadlines"):
        await pair.copy()
    assert dump(pair.target.raw, pair.target.namespace) == {}
    await pair.source.store.purge(ALICE)
    await park(pair.source.store, "other")
    assert (await pair.copy()).copied == 1
