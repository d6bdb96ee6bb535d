"""Copies between files carry inboxes, remembered ids, deadlines, attempts and what is put off."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from greentic_session import InvalidInputError, SQLiteSessionStore, Start
from greentic_session.backends.migration import Report, migrate
from greentic_session.claim import Claim
from greentic_session.testing import later
from greentic_session.testing._sessions.calls import answer, bodies, claim_answer, inbox, park, ready
from greentic_session.testing._sessions.samples import ALICE, CHAT, DAY, MINUTE, OTHER, data

pytestmark = pytest.mark.asyncio


class Files:
    """A store on each of two files."""

    def __init__(self, directory: Path) -> None:
        self.urls = [f"sqlite:///{directory}/{name}.db" for name in ("from", "to")]
        self.source, self.target = (SQLiteSessionStore.open(directory / f"{name}.db") for name in ("from", "to"))

    async def copy(self) -> Report:
        """Copy all; both files agree afterwards, each with itself."""
        report = await migrate(*self.urls)
        for store in (self.source, self.target):
            inspector = store.backend.inspector()
            assert inspector is not None
            assert (await inspector.examine(lambda _: None)).findings == []
        return report

    async def later(self, seconds: float) -> None:
        """Let time pass for both."""
        for store in (self.source, self.target):
            await later(store, seconds)


@pytest_asyncio.fixture
async def files(tmp_path: Path) -> AsyncIterator[Files]:
    files = Files(tmp_path)
    yield files
    for store in (files.source, files.target):
        await store.aclose()


async def test_an_inbox_is_carried_in_its_order(files: Files) -> None:
    await park(files.source)
    for number in range(7):
        await answer(files.source, f"answer {number}", delivery_id=str(number), sender="bob", claim=False)
    report = await files.copy()
    assert (report.copied, report.replies) == (1, 7)
    assert await files.target.inbox(ALICE, "alice", CHAT) == await files.source.inbox(ALICE, "alice", CHAT)
    again = await answer(files.target, "other", delivery_id="3", claim=False)
    assert (again.outcome, again.reply and again.reply.body) == ("queued", "answer 3")
    claim = await ready(files.target)
    assert bodies((*claim.replies, *await claim.take())) == [f"answer {number}" for number in range(7)]
    await claim.stay()
    assert (await answer(files.target, delivery_id="3")).outcome == "duplicate"


async def test_a_copy_that_is_repeated_changes_nothing(files: Files) -> None:
    await park(files.source, ttl=3600, on_timeout="resume")
    await answer(files.source, "1", claim=False)
    await answer(files.source, "early", scope=OTHER, keep_for=DAY)
    await files.copy()
    for _ in range(2):
        report = await files.copy()
        assert (report.copied, report.kept, report.unchanged, report.replies, report.removed) == (0, 0, 1, 0, 0)
    assert (await inbox(files.target), await inbox(files.target, OTHER)) == (["1"], ["early"])


async def test_attempts_and_keys_go_on(files: Files) -> None:
    await park(files.source)
    first = await claim_answer(files.source)
    await first.release(MINUTE)
    await files.copy()
    assert await files.target.claim_ready() == []  # it is put off there, too
    assert (await answer(files.target, "2")).outcome == "queued"
    await files.later(MINUTE)
    second = await ready(files.target)
    assert (second.attempt, second.idempotency_key) == (2, first.idempotency_key)
    assert bodies(second.replies) == ["yes"]


async def test_a_claim_holds_there_what_it_holds(files: Files) -> None:
    await park(files.source)
    claim = await claim_answer(files.source, "1", lease=600)
    await answer(files.source, "2")
    await files.copy()
    assert await files.target.claim_ready() == []
    assert (await answer(files.target, "3")).outcome == "queued"
    await files.later(601)
    again = await ready(files.target)
    assert (again.attempt, again.idempotency_key) == (2, claim.idempotency_key)
    assert bodies(again.replies) == ["1"]
    await again.stay()
    assert await inbox(files.target) == ["2", "3"]


async def test_deadlines_are_heard_there(files: Files) -> None:
    await park(files.source, ttl=3600, on_timeout="resume")
    await park(files.source, "passed", OTHER, ttl=60, on_timeout="resume")
    await later(files.source, 61)
    heard = await ready(files.source, lease=30)
    await files.copy()
    assert await files.target.claim_ready() == []
    await files.later(31)
    [again] = await files.target.claim_ready(limit=9)
    assert (again.key, again.timed_out, again.attempt) == ("passed", True, 2)
    assert again.idempotency_key == heard.idempotency_key
    await again.complete()
    await files.later(3600)
    claim = await ready(files.target)
    assert (claim.key, claim.timed_out, claim.attempt) == ("k", True, 1)


async def test_what_is_new_is_new_there(files: Files) -> None:
    await answer(files.source, start=Start(data(), key="begun"), claim=False)
    await files.copy()
    claim = await ready(files.target)
    assert (claim.key, claim.is_new) == ("begun", True)


async def test_a_kept_reply_waits_there(files: Files) -> None:
    await answer(files.source, "early", keep_for=3600, delivery_id="d")
    await answer(files.source, "gone", scope=OTHER, keep_for=60)
    await files.copy()
    await files.later(61)
    assert (await inbox(files.target), await inbox(files.target, OTHER)) == (["early"], [])
    await park(files.target)
    assert bodies((await ready(files.target)).replies) == ["early"]
    await files.later(3600)
    assert await inbox(files.target) == ["early"]


async def test_ids_that_were_settled_are_remembered_there(files: Files) -> None:
    await park(files.source)
    await (await claim_answer(files.source, delivery_id="d")).complete()
    await park(files.source, ttl=2 * DAY)
    await files.copy()
    assert (await answer(files.target, delivery_id="d")).outcome == "duplicate"
    await files.later(DAY)
    assert (await answer(files.target, delivery_id="d")).outcome == "claimed"


async def test_what_either_side_did_since_is_respected(files: Files) -> None:
    await park(files.source)
    await park(files.source, "l", OTHER)
    for scope in (CHAT, OTHER):
        for number in range(3):
            await answer(files.source, str(number), scope=scope, delivery_id=str(number), claim=False)
    await files.copy()
    await settle_one(await files.source.claim_wait(ALICE, "alice", OTHER))
    await settle_one(await files.target.claim_wait(ALICE, "alice", CHAT))
    await answer(files.source, "new", claim=False)
    report = await files.copy()
    assert report.replies == 1
    assert await inbox(files.target) == ["1", "2", "new"]  # what was settled there does not come back
    assert await inbox(files.target, OTHER) == ["1", "2"]  # what was settled where it came from goes
    assert (await answer(files.target, scope=OTHER, delivery_id="0")).outcome == "duplicate"


async def settle_one(claim: Claim | None) -> None:
    """Settle the oldest reply."""
    assert claim is not None
    assert len(await claim.take(1)) == 1
    await claim.stay()


async def test_what_the_target_has_accepted_itself_comes_once(files: Files) -> None:
    for store in (files.source, files.target):
        await park(store)
        await answer(store, delivery_id="d", claim=False)
    await files.copy()
    assert await inbox(files.target) == ["yes"]


async def test_a_wait_of_the_targets_own_has_what_is_copied_to_its_place(files: Files) -> None:
    await answer(files.source, "early", keep_for=3600)
    await park(files.target)
    await files.copy()
    assert bodies((await ready(files.target)).replies) == ["early"]


async def test_a_session_that_moves_meanwhile(files: Files) -> None:
    await park(files.source)
    await answer(files.source, "1", claim=False)
    await files.copy()
    await park(files.source, scope=OTHER)
    await answer(files.source, "2", scope=OTHER, claim=False)
    await files.copy()
    assert (await inbox(files.target), await inbox(files.target, OTHER)) == ([], ["2"])
    assert (await ready(files.target)).scope == OTHER


async def test_towards_a_store_that_cannot_carry_them_nothing_is_copied(files: Files, redis_url: str) -> None:
    await park(files.source, "other", OTHER)
    await answer(files.source, keep_for=DAY)
    with pytest.raises(InvalidInputError, match="replies or deadlines"):
        await migrate(files.urls[0], redis_url, namespace="test-refused")
