"""Typed functions for the scripts in `lua/`.

The head of each script's file says what the script does and returns.
"""

from collections.abc import Awaitable, Sequence
from typing import Any

from greentic_session._redis.executor import Arg, Executor
from greentic_session._redis.scripts import Script
from greentic_session.conversation.header import Edit
from greentic_session.conversation.rules import SCHEMA_VERSION
from greentic_session.tenancy import Partition

from .fields import Counter
from .keys import Keys
from .plain_messages import PlainMessages

__all__ = ["Answer", "Scripts"]

Answer = list[Any]
"""The outcome of a script as a word, and the values that belong to the outcome."""


def _script(name: str, *answers: type, repeatable: bool = False) -> Script:
    return Script("greentic_session.conversation.backends.redis.lua", name, answers, repeatable=repeatable)


_APPEND = _script("append", list)
_DELETE = _script("delete", int)
_EDIT = _script("edit", list)
_LOAD = _script("load", list, repeatable=True)
_LOAD_AND_RENEW = _script("load", list)
_MESSAGES = _script("messages", list, repeatable=True)
_MESSAGES_AND_RENEW = _script("messages", list)
_PURGE = _script("purge", int)
_PUT = _script("put", list)
_RECENT = _script("recent", list, repeatable=True)
_UPDATE = _script("update", list)


class Scripts:
    """Scripts of one namespace, run by one client. Each call is one atomic step on the server.

    Lifetimes are in milliseconds. `again_ms` is the lifetime that begins with this operation;
    None leaves the current one.
    """

    def __init__(self, client: Executor, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self._plain = None if client.moving else PlainMessages(client)

    async def put(
        self,
        partition: Partition,
        id: str,
        times: tuple[int, int],
        fields: Sequence[Arg],
        messages: Sequence[bytes],
        expected: str,
        ttl_ms: int | None,
        again_ms: int | None,
    ) -> Answer:
        """Store a whole conversation; `times` are created_at and updated_at in microseconds."""
        args = (expected, _ms(ttl_ms), _ms(again_ms), *times, len(fields), *fields, *messages)
        return await self._run(_PUT, partition, id, *args)

    async def load(self, partition: Partition, id: str, again_ms: int | None) -> Answer:
        """Return the header's fields and all messages."""
        return await self._run(_LOAD if again_ms is None else _LOAD_AND_RENEW, partition, id, _ms(again_ms))

    async def messages(self, partition: Partition, id: str, last: int | None, again_ms: int | None) -> Answer:
        """Return the number of messages, the birth, and the last `last` messages (None: all)."""
        if self._plain is not None and again_ms is None and last != 0:
            found = await self._plain.read(*self._keys.conversation(partition, id), last)
            if found is not None:
                return found
        script = _MESSAGES if again_ms is None else _MESSAGES_AND_RENEW
        return await self._run(script, partition, id, _ms(again_ms), 0 if last is None else -last or "")

    async def append(
        self, partition: Partition, id: str, messages: Sequence[bytes], now: int, again_ms: int | None
    ) -> Answer:
        """Append messages; return the new number of messages."""
        return await self._run(_APPEND, partition, id, _ms(again_ms), max(now, 0), *messages)

    async def edit(self, partition: Partition, id: str, edit: Edit, now: int, again_ms: int | None) -> Answer:
        """Replace messages; return the new number of messages."""
        end, read = "" if edit.end is None else edit.end, edit.read
        known: tuple[Arg, Arg] = ("", "") if read is None else (read.total, read.birth)
        args = (_ms(again_ms), max(now, 0), edit.birth, edit.first, end, *known, *edit.messages)
        return await self._run(_EDIT, partition, id, *args)

    async def update(
        self,
        partition: Partition,
        id: str,
        counters: Sequence[tuple[Counter, int]],
        fields: Sequence[Arg],
        removed: Sequence[Arg],
        now: int,
        again_ms: int | None,
    ) -> Answer:
        """Add to counters within their limits; set other fields, and remove some."""
        adding = [part for (name, count), most in counters for part in (name, count, most)]
        begins = (7 + len(adding), 7 + len(adding) + len(removed))
        return await self._run(_UPDATE, partition, id, _ms(again_ms), max(now, 0), *begins, *adding, *removed, *fields)

    async def delete(self, partition: Partition, id: str) -> bool:
        """Remove a conversation; False if it is absent."""
        return bool(await _DELETE.run(self._client, 4, (*self._all(partition, id), id)))

    async def recent(self, partition: Partition, most: int, after: Arg, score: Arg) -> Answer:
        """Return a page of summaries, and the cursor for the next page.

        Args:
            partition: The partition to list.
            most: The size of the page, from 1.
            after: The id of the last conversation on the page before; "" for the first page.
            score: The score of that id, minus updated_at; "" for its current score.
        """
        prefixes = self._all(partition, "")
        answer: Answer = await _RECENT.run(self._client, 4, (*prefixes, SCHEMA_VERSION, most, after, score))
        return answer

    async def ids(self, partition: Partition, cursor: bytes) -> tuple[bytes, list[bytes]]:
        """Return some ids of a partition, and the cursor for more; the first and last one is 0.

        All ids that stay in the partition during the iteration are returned, some perhaps twice.
        """
        index = self._keys.index(partition)[0]
        cursor, found = await self._client.call(("ZSCAN", index, cursor, "COUNT", 200), repeatable=True)
        return cursor, found[::2]

    async def purge(self, partition: Partition, ids: Sequence[bytes]) -> int:
        """Remove some conversations; return how many existed."""
        heads, messages = (key.encode() for key in self._keys.conversation(partition, ""))
        keys = [key for id in ids for key in (heads + id, messages + id)]
        removed: int = await _PURGE.run(self._client, 2 + len(keys), (*self._keys.index(partition), *keys, *ids))
        return removed

    def pattern(self, env: str, tenant: str) -> bytes:
        """Do `Keys.pattern`."""
        return self._keys.pattern(env, tenant)

    def parse(self, key: bytes) -> tuple[Partition, bytes]:
        """Do `Keys.parse`."""
        return self._keys.parse(key)

    def _all(self, partition: Partition, id: str) -> tuple[Arg, ...]:
        return (*self._keys.index(partition), *self._keys.conversation(partition, id))

    def _run(self, script: Script, partition: Partition, id: str, *args: Arg) -> Awaitable[Answer]:
        return script.run(self._client, 4, (*self._all(partition, id), id, SCHEMA_VERSION, *args))


def _ms(ttl_ms: int | None) -> Arg:
    return "" if ttl_ms is None else ttl_ms
