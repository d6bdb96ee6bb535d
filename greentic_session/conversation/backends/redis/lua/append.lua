-- Add messages at the end of a conversation, reading none.
-- KEYS     index by recency, index by end, header, messages
-- ARGV     id, schema version, lifetime that begins now, in ms, or "", the time in microseconds,
--          messages
-- Returns  {"ok", how many there are now}, {"absent"}, {"corrupt"}, {"schema", version}
-- @include _conversation
local header, refusal = look(head, schema)
if refusal then return refusal end
local dead = find_dead(id)
local count, updated = nil, header.updated_at
if #ARGV == 4 then
  count = redis.call('LLEN', messages)
else
  count = each('RPUSH', messages, 5, #ARGV)
  if count == #ARGV - 4 then -- the first ones: the list is new, and must not outlive the header
    local ttl = redis.call('PTTL', head)
    if ttl >= 0 then redis.call('PEXPIRE', messages, math.max(ttl, 1)) end
  end
  updated = later(ARGV[4], updated)
  redis.call('HSET', head, 'updated_at', updated)
  move(updated)
end
use(ARGV[3], updated)
forget(dead)
return {'ok', count}
