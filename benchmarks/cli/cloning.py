"""Cloning of waits within the server: a million of them in a minute, each as a program parks it.

What is cloned was registered by the store, so the copies have its layout, but for their users and
keys. The benchmark counts them by the command line, and fails where one is missing.
"""

from collections.abc import Callable
from typing import Any

from benchmarks.harness.population import make_ctx, make_key, make_scope
from greentic_session._redis.namespace import DEFAULT_NAMESPACE

__all__ = ["clone"]

_BATCH = 500
"""Number of waits that one script makes."""
_CLONE = """
local ns, key, path, owner, user, hash = unpack(ARGV, 1, 6)
local first, last, ttl = tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9]
local text = redis.call('GET', ns .. ':session:' .. key)
local fields = redis.call('HGETALL', ns .. ':own:' .. key)
local mark = '"user":"' .. user .. '","user_id":"' .. user .. '"'
local from, to = text:find(mark, 1, true)
local before, behind = text:sub(1, from - 1), text:sub(to + 1)
for number = first, last do
  local its = 'clone-' .. number
  local copy = before .. '"user":"' .. its .. '","user_id":"' .. its .. '"' .. behind
  local its_key = key .. '-' .. number
  local record = {}
  for at = 1, #fields, 2 do
    local value = fields[at + 1]
    if fields[at] == 'o' then value = owner .. its end
    if fields[at] == 'h' then value = redis.sha1hex(copy) end
    if fields[at] == 'n' then value = #copy end
    if fields[at] ~= 'e' then record[#record + 1], record[#record + 2] = fields[at], value end
  end
  local scope, set = ns .. ':waits:scope:' .. path .. its .. ':' .. hash, ns .. ':waits:user:' .. path .. its
  redis.call('SET', ns .. ':session:' .. its_key, copy, 'PX', ttl)
  redis.call('HSET', ns .. ':own:' .. its_key, unpack(record))
  redis.call('PEXPIRE', ns .. ':own:' .. its_key, ttl)
  redis.call('SET', scope, its_key, 'PX', ttl)
  redis.call('SADD', set, its_key)
  redis.call('PEXPIRE', set, ttl)
end
"""


def clone(raw: Any, users: int, count: int, ttls_s: tuple[int, ...], tick: Callable[[], object]) -> None:
    """Make so many waits more, of the first `users` users.

    Args:
        raw: A redis.Redis.
        users: How many waits there are to be cloned, one of each user.
        count: How many are made.
        ttls_s: Their lifetimes, in turn.
        tick: Called after each batch.
    """
    script = raw.register_script(_CLONE)
    for number, first in enumerate(range(0, count, _BATCH)):
        user = number % users
        ctx = make_ctx(user)
        path = f"{ctx.env}:{ctx.tenant_id}:{ctx.team}:"
        last = min(first + _BATCH, count) - 1
        ttl_ms = ttls_s[number % len(ttls_s)] * 1000
        hash = make_scope(user).scope_hash()
        script(args=[DEFAULT_NAMESPACE, make_key(user), path, path, ctx.effective_user, hash, first, last, ttl_ms])
        tick()
