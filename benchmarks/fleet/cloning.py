"""Cloning of a wait within the servers, for other users and tenants: a million in some minutes.

The store registers one wait. All keys that it has left are read, and written again for each number,
with that in place of the mark; nothing else is known of the layout, but that a hash keeps the SHA-1
of a text. Each key is written where its slot is.
"""

import asyncio
import binascii
import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import redis

from greentic_session._servers.cluster import SLOTS

__all__ = ["TENANT_MARK", "USER_MARK", "Template", "clone"]

USER_MARK = "UUUUUUU"
"""Stands for the number of a wait, in seven digits."""
TENANT_MARK = "TTTT"
"""Stands for that of its tenant, in four."""
_BATCH = 200
"""How many waits one script writes."""
_WRITE = """
local plan, marked = cjson.decode(ARGV[1]), {}
local function mark(text)
  marked[text] = text:find(plan.user_mark, 1, true) ~= nil or text:find(plan.tenant_mark, 1, true) ~= nil
end
for _, text in pairs(plan.texts) do mark(text) end
for _, key in ipairs(plan.keys) do
  mark(key.name)
  for _, word in ipairs(key.words) do mark(word) end
end
for at = 2, #ARGV, 2 do
  local user, tenant = ARGV[at], ARGV[at + 1]
  local function its(text)
    return marked[text] and (text:gsub(plan.user_mark, user):gsub(plan.tenant_mark, tenant)) or text
  end
  for _, key in ipairs(plan.keys) do
    local words = {key.command, its(key.name)}
    for _, word in ipairs(key.words) do
      local text = plan.texts[word]
      words[#words + 1] = text and redis.sha1hex(its(text)) or its(word)
    end
    redis.call(unpack(words))
    if key.ttl > 0 then redis.call('PEXPIRE', words[2], key.ttl) end
  end
end
"""


class Template:
    """What a store has left of one wait, read from servers that hold nothing else.

    Args:
        nodes: The servers.
    """

    def __init__(self, nodes: Sequence[redis.Redis]) -> None:
        self.plans = defaultdict[str, list[dict[str, Any]]](list)
        self.texts: dict[str, str] = {}
        self._are_slots = len(nodes) > 1
        for node in nodes:
            for name in node.scan_iter():
                self._read(node, name.decode())

    def _read(self, node: Any, name: str) -> None:
        match node.type(name):
            case b"string":
                command, words = "SET", [node.get(name)]
                self.texts[hashlib.sha1(words[0], usedforsecurity=False).hexdigest()] = words[0].decode()
            case b"hash":
                command, words = "HSET", [word for pair in node.hgetall(name).items() for word in pair]
            case b"set":
                command, words = "SADD", list(node.smembers(name))
            case _:
                found = node.zrange(name, 0, -1, withscores=True)
                command, words = "ZADD", [word for member, score in found for word in (repr(score).encode(), member)]
        told = {"command": command, "name": name, "words": [word.decode() for word in words], "ttl": node.pttl(name)}
        self.plans[_tag_of(name) if self._are_slots else ""].append(told)

    def plan(self, tag: str) -> str:
        """Return what the script takes for the keys with a tag."""
        marks = {"user_mark": USER_MARK, "tenant_mark": TENANT_MARK}
        return json.dumps({**marks, "keys": self.plans[tag], "texts": self.texts})


async def clone(
    template: Template, nodes: Sequence[redis.Redis], numbers: Sequence[int], tenants: int, tick: Callable[[], object]
) -> None:
    """Write a template's keys for each number, to all nodes at once.

    Args:
        template: The wait that is cloned.
        nodes: The servers: one, or those of a cluster in the order of their slots, in equal shares.
        numbers: The numbers of the waits; number n is of tenant n modulo `tenants`.
        tenants: How many tenants there are.
        tick: Called after each batch.
    """
    bounds = [SLOTS * number // len(nodes) for number in range(len(nodes) + 1)]

    def write(node: redis.Redis, slots: range) -> None:
        script, words = node.register_script(_WRITE), list[str]()
        for tag in template.plans:
            for number in numbers:
                user, tenant = f"{number:07}", f"{number % tenants:04}"
                its = tag.replace(USER_MARK, user).replace(TENANT_MARK, tenant).encode()
                if binascii.crc_hqx(its, 0) % SLOTS in slots:
                    words += (user, tenant)
                if len(words) == 2 * _BATCH:
                    script(args=[template.plan(tag), *words])
                    words.clear()
                    tick()
            if words:
                script(args=[template.plan(tag), *words])
                words.clear()

    shares = zip(nodes, map(range, bounds, bounds[1:]), strict=True)
    await asyncio.gather(*(asyncio.to_thread(write, node, slots) for node, slots in shares))


def _tag_of(name: str) -> str:
    """Return what decides on the slot of a key."""
    _, is_there, behind = name.partition("{")
    tag, ends, _ = behind.partition("}")
    return tag if is_there and ends and tag else name
