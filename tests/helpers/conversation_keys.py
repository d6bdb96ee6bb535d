"""What the conversation store keeps in Redis, and whether it belongs together."""

import re
from typing import Any

import redis

__all__ = ["check", "everything", "head", "ids_left"]

_LIFETIMES = """
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
local answer = {now(), 0}
for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
  answer[#answer + 1] = key
  answer[#answer + 1] = redis.call('PTTL', key)
end
answer[2] = now()
return answer
"""

SLACK = 10
"""By how many milliseconds lifetimes that belong together may differ.

The clock goes on within a script.
"""
_DUE = 20
"""How near to its end, in milliseconds, nothing is said of a key.

The next look may find it gone.
"""


def head(namespace: str, id: str = "c") -> str:
    """Return the Redis key of a conversation's header, in the partition of the samples' team."""
    return f"{namespace}:conv:head:dev:acme:ops:{id}"


def everything(raw: redis.Redis, prefix: str = "") -> dict[bytes, Any]:
    """Return all that a server stores, byte by byte."""
    pattern = re.sub(r"([\\\[\]*?^-])", r"\\\1", prefix) + "*"
    return {key: raw.dump(key) for key in sorted(raw.scan_iter(pattern, count=1000))}


def ids_left(raw: redis.Redis, namespace: str) -> list[bytes]:
    """Return all ids that a partition's index still names, of all partitions."""
    found: list[Any] = []
    for kind in ("recent", "ends"):
        for key in raw.scan_iter(f"{namespace}:conv:{kind}:*"):
            found += raw.zrange(key, 0, -1)
    return found


def check(raw: redis.Redis, namespace: str) -> None:
    """Check all partitions of a namespace.

    What is there is in the index, and all lives together.
    """
    front = f"{namespace}:conv:".encode()
    answer: Any = raw.eval(_LIFETIMES, 0, f"{namespace}:*")
    now, then, *found = answer
    slack = SLACK + then - now  # a busy machine may stop the server in the middle
    assert all(key.startswith(front) for key in found[::2])
    all_ttls = {key[len(front) :]: ttl for key, ttl in zip(found[::2], found[1::2], strict=True)}
    ttls = {key: ttl for key, ttl in all_ttls.items() if ttl == -1 or ttl > _DUE}
    partitions: dict[bytes, list[int]] = {}
    for key, ttl in ttls.items():
        kind, env, tenant, team, *id = key.split(b":", 4)
        partition = b":".join((env, tenant, team))
        if kind == b"messages":
            assert near(ttl, ttls[b":".join((b"head", partition, *id))], slack), (
                "messages have another end than their header"
            )
        elif kind == b"head":
            partitions.setdefault(partition, []).append(ttl)
            updated_at = int(raw.hget(front + key, "updated_at") or b"")
            assert raw.zscore(front + b"recent:" + partition, id[0]) == -updated_at
            end = raw.zscore(front + b"ends:" + partition, id[0])
            assert near(ttl, -1 if end is None else end - now, slack), "the index knows another end"
    for key, ttl in ttls.items():
        kind, _, partition = key.partition(b":")
        if kind == b"recent":
            lives = partitions.get(partition, [])
            assert near(ttl, -1 if -1 in lives else max(lives), slack), "the index does not live as long as the longest"
        elif kind == b"ends":
            assert near(ttl, ttls[b"recent:" + partition], slack)
    for partition, lives in partitions.items():
        recent, ends = raw.zcard(front + b"recent:" + partition), raw.zcard(front + b"ends:" + partition)
        assert recent >= len(lives)
        assert ends >= sum(ttl != -1 for ttl in lives)


def near(ttl: float, other: float, slack: float = SLACK) -> bool:
    return ttl == other if -1 in (ttl, other) else abs(ttl - other) <= slack
