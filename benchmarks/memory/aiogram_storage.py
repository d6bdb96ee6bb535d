"""aiogram's in-memory storage on the same payload. Needs the extra `bench`.

It keeps a state and a dict of data under a key of integers, and copies the dict (one level) whenever it is written or read.
Here the state is where the flow stands, and the dict has one item, the snapshot's text: no dict is cheaper to copy. The keys
are prepared; those that read are not the objects that wrote.
"""

from collections.abc import Sequence
from typing import Any

from aiogram.fsm.storage.base import StorageKey
from aiogram.fsm.storage.memory import MemoryStorage

from benchmarks.harness.measuring import Contestant
from benchmarks.harness.population import NODE, SNAPSHOT

from .calls import Peer

__all__ = ["aiogram"]

Write = tuple[StorageKey, str, dict[str, Any]]


def _keys(users: int) -> list[StorageKey]:
    return [StorageKey(bot_id=7_000_000_001, chat_id=5_000_000_000 + n, user_id=5_000_000_000 + n) for n in range(users)]


async def aiogram(users: int) -> Peer:
    """Return the contestants: those that find all users there already, and one whose storage is new in every round."""
    held, new = MemoryStorage(), [MemoryStorage()]
    keys = _keys(users)
    writes: list[Write] = [(key, NODE, {"context_json": SNAPSHOT}) for key in _keys(users)]

    async def get(keys: Sequence[StorageKey]) -> None:
        get_state, get_data = held.get_state, held.get_data
        for key in keys:
            await get_state(key)
            await get_data(key)

    async def put(storage: MemoryStorage, writes: Sequence[Write]) -> None:
        set_state, set_data = storage.set_state, storage.set_data
        for key, state, data in writes:
            await set_state(key, state)
            await set_data(key, data)

    async def forget() -> None:
        new[0] = MemoryStorage()

    await put(held, writes)
    assert await held.get_state(keys[-1]) == NODE
    assert (await held.get_data(keys[-1]))["context_json"] == SNAPSHOT
    reads, write = "aiogram get_state + get_data", "aiogram set_state + set_data"
    return Peer(
        read=Contestant(name=reads, pick=lambda n, _: keys[n], run=get),
        write_new=Contestant(name=write, pick=lambda n, _: writes[n], run=lambda args: put(new[0], args), begin=forget),
        write_again=Contestant(name=write, pick=lambda n, _: writes[n], run=lambda args: put(held, args)),
    )
