-- Read a whole conversation.
-- KEYS     index by recency, index by end, header, messages
-- ARGV     id, schema version, lifetime that begins now, in ms, or ""
-- Returns  {"ok", names and values of the header, messages}, {"absent"}, {"corrupt"}, {"schema",
--          version}
-- @include _conversation
local header, refusal = look(head, schema)
if refusal then return refusal end
local answer = {'ok', redis.call('HGETALL', head), redis.call('LRANGE', messages, 0, -1)}
if ARGV[3] ~= '' then
  local dead = find_dead(id)
  use(ARGV[3], header.updated_at)
  forget(dead)
end
return answer
