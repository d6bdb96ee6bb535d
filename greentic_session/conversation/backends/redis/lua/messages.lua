-- Read the last messages of a conversation, and no others.
-- KEYS     index by recency, index by end, header, messages
-- ARGV     id, schema version, lifetime that begins now, in ms, or "", the position of the first,
--          from the end if it is negative, or "" for none
-- Returns  {"ok", how many there are, these messages}, {"absent"}, {"corrupt"}, {"schema", version}
-- @include _conversation
local header, refusal = look(head, schema)
if refusal then return refusal end
local count, first, texts = redis.call('LLEN', messages), tonumber(ARGV[4]), {}
if first and first < 0 and count > -400 * first then
  -- Few of many. Before Redis 7, LRANGE comes to them all the way from the first; LINDEX comes from
  -- the end.
  for at = first, -1 do texts[#texts + 1] = redis.call('LINDEX', messages, at) end
elseif first then
  texts = redis.call('LRANGE', messages, ARGV[4], -1)
end
if ARGV[3] ~= '' then
  local dead = find_dead(id)
  use(ARGV[3], header.updated_at)
  forget(dead)
end
return {'ok', count, texts}
