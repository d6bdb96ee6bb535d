"""Contestants of aiogram's MemoryStorage on the same payload. Needs the extra `bench`.

aiogram keeps a state and a dict of data under a key of integers, and copies the dict (one level) in
each read and write. Here the state is the flow's node, and the dict has one item, the text of the
snapshot: no dict is cheaper to copy. Keys are prepared; the keys of reads are equal to the stored
ones and not the same objects.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

from aiogram.fsm.storage.base import StorageKey
from aiogram.fsm.storage.memory import MemoryStorage

from benchmarks.harness.measuring import Contestant
from benchmarks.harness.population import NODE, SNAPSHOT

from .peer import Peer

__all__ = ["make_peer"]

_READ, _WRITE = "aiogram get_state + get_data", "aiogram set_state + set_data"
_BOT_ID = 7_000_000_001
_FIRST_CHAT_ID = 5_000_000_000

_Write: TypeAlias = tuple[StorageKey, str, dict[str, Any]]


def _keys(users: int) -> list[StorageKey]:
    chats = range(_FIRST_CHAT_ID, _FIRST_CHAT_ID + users)
    return [StorageKey(bot_id=_BOT_ID, chat_id=chat, user_id=chat) for chat in chats]


async def make_peer(users: int) -> Peer:
    """Return aiogram's contestants; `write_new` has a new storage in every round."""
    filled, new = MemoryStorage(), [MemoryStorage()]
    keys = _keys(users)
    writes: list[_Write] = [(key, NODE, {"context_json": SNAPSHOT}) for key in _keys(users)]

    async def get(keys: Sequence[StorageKey]) -> None:
        get_state, get_data = filled.get_state, filled.get_data
        for key in keys:
            await get_state(key)
            await get_data(key)

    async def put(storage: MemoryStorage, writes: Sequence[_Write]) -> None:
        set_state, set_data = storage.set_state, storage.set_data
        for key, state, data in writes:
            await set_state(key, state)
            await set_data(key, data)

    async def renew() -> None:
        new[0] = MemoryStorage()

    await put(filled, writes)
    assert await filled.get_state(keys[-1]) == NODE
    assert (await filled.get_data(keys[-1]))["context_json"] == SNAPSHOT
    return Peer(
        read=Contestant(name=_READ, pick=lambda n, _: keys[n], run=get),
        write_new=Contestant(name=_WRITE, pick=lambda n, _: writes[n], run=lambda args: put(new[0], args), begin=renew),
        write_again=Contestant(name=_WRITE, pick=lambda n, _: writes[n], run=lambda args: put(filled, args)),
    )
