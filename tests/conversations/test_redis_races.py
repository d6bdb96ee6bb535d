"""Writers that meet in one conversation: in several processes, and on a server that is killed."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from itertools import pairwise

import pytest
import redis
from conversation_keys import check
from paths import ROOT
from redis_server import Server, kill_under_load

from greentic_session.conversation import Message, RedisConversationStore, TokenUsage
from greentic_session.errors import GreenticError, OperationTimeoutError, UnavailableError
from greentic_session.testing._conversations.samples import OPS, said, texts

pytestmark = pytest.mark.asyncio

Store = RedisConversationStore[Message]
WRITER = ROOT / "tests/helpers/conversation_writer.py"


@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=pytest.mark.slow)])
async def test_processes_that_append_to_one_conversation(
    redis_url: str, raw: redis.Redis, namespace: str, count: int
) -> None:
    async with RedisConversationStore.from_url(redis_url, namespace=namespace, timeout=60, ttl=3600) as store:
        held = await store.create(OPS, id="c")
        command = (sys.executable, str(WRITER), redis_url, namespace)
        writers = [
            await asyncio.create_subprocess_exec(*command, name, str(count), stdin=PIPE, stdout=PIPE, stderr=PIPE)
            for name in ("a", "b")
        ]
        for writer in writers:
            assert writer.stdout is not None
            await writer.stdout.readline()
        for writer, (_, errors) in zip(
            writers, await asyncio.gather(*(writer.communicate(b"go\n") for writer in writers)), strict=True
        ):
            assert writer.returncode == 0, errors.decode()
        found = [text.split() for text in await texts(store)]
        assert len(found) == 2 * count
        for name in ("a", "b"):
            assert [int(number) for who, number in found if who == name] == list(range(count))
        turns = sum(one[0] != other[0] for one, other in pairwise(found))
        assert turns > count / 50, "they hardly ever met"
        loaded = await store.load(OPS, "c")
        assert loaded.state.event_count == 2 * (count // 10)
        assert loaded.state.token_usage == TokenUsage(2 * (count // 10), 4 * (count // 10))
        assert loaded.updated_at > held.updated_at
        assert [summary.message_count for summary in await store.list(OPS)] == [2 * count]
        check(raw, namespace)


class Load:
    """Writers that go on whatever happens, and remember what was acknowledged to them."""

    def __init__(self, store: Store, writers: int) -> None:
        self.store = store
        self.acknowledged: list[list[int]] = [[] for _ in range(writers)]
        self.errors: list[GreenticError] = []
        self.done = False
        self.tasks = [asyncio.create_task(self._write(number)) for number in range(writers)]

    async def _write(self, number: int) -> None:
        count = 0
        while not self.done:
            count += 1
            try:
                await self.store.append(OPS, f"c{number % 2}", *said(f"{number} {count} a", f"{number} {count} b"))
                self.acknowledged[number].append(count)
            except GreenticError as error:
                self.errors.append(error)
                await asyncio.sleep(0.01)

    async def run(self, more: int) -> None:
        """Return when so many more appends have been acknowledged."""
        wanted = sum(map(len, self.acknowledged)) + more
        while sum(map(len, self.acknowledged)) < wanted:
            for task in self.tasks:
                if task.done():
                    task.result()
            await asyncio.sleep(0.005)

    async def check(self) -> None:
        """Every acknowledged append is there, once, whole, and in its writer's order."""
        self.done = True
        await asyncio.gather(*self.tasks)
        counts = {summary.id: summary.message_count for summary in await self.store.list(OPS)}
        found: list[list[int]] = [[] for _ in self.acknowledged]
        for id in ("c0", "c1"):
            lines = [text.split() for text in await texts(self.store, id=id)]
            assert len(lines) == counts[id]
            for first, second in zip(lines[::2], lines[1::2], strict=True):
                assert (first[:2], first[2], second[2]) == (second[:2], "a", "b")
                found[int(first[0])].append(int(first[1]))
        for mine, acknowledged in zip(found, self.acknowledged, strict=True):
            assert mine == sorted(set(mine))
            assert set(acknowledged) <= set(mine)


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
async def test_what_was_acknowledged_survives_a_kill(kills: int) -> None:
    with Server("--appendonly", "yes", "--appendfsync", "always") as server:
        async with RedisConversationStore.from_url(server.url, namespace="n", timeout=2, ttl=3600) as store:
            for id in ("c0", "c1"):
                await store.create(OPS, id=id)
            load = Load(store, writers=8)
            await kill_under_load(server, load.run, kills)
            await load.check()
            assert load.errors  # it was under load
            assert {type(error) for error in load.errors} <= {UnavailableError, OperationTimeoutError}
            with server.client() as raw:
                check(raw, "n")
