-- Change the header of a conversation, field by field.
-- KEYS     index by recency, index by end, header, messages
-- ARGV     id, schema version, lifetime that begins now, in ms, or "", the time in microseconds,
--          where the names of removed fields begin, and where the other fields do; for each counter
--          its name, what to add, and the most that may be there before; the names of fields to
--          remove; names and values of other fields
-- Returns  {"ok"}, {"full", name, count} for a counter with more than that; {"absent"},
--          {"corrupt"}, {"schema", version}
-- @include _conversation
local header, refusal = look(head, schema)
if refusal then return refusal end
local removed, others = tonumber(ARGV[5]), tonumber(ARGV[6])
for at = 7, removed - 1, 3 do
  local count = redis.call('HGET', head, ARGV[at]) or '0'
  if not is_count(count) then return {'corrupt'} end
  if exceeds(count, ARGV[at + 2]) then return {'full', ARGV[at], count} end
end
local dead = find_dead(id)

local updated = later(ARGV[4], header.updated_at)
redis.call('HSET', head, 'updated_at', updated)
for at = 7, removed - 1, 3 do redis.call('HINCRBY', head, ARGV[at], ARGV[at + 1]) end
each('HDEL', head, removed, others - 1)
each('HSET', head, others, #ARGV)
move(updated)
use(ARGV[3], updated)
forget(dead)
return {'ok'}
