-- Read the last messages of a conversation, and no others.
-- KEYS     index by recency, index by end, header, messages
-- ARGV     id, schema version, lifetime that begins now, in ms, or "", the position of the first, from the end if it is
--          negative, or "" for none
-- Returns  {"ok", how many there are, these messages}, {"absent"}, {"corrupt"}, {"schema", version}
-- @include _conversation
local header, refusal = look(head, schema)
if refusal then return refusal end
local answer = {'ok', redis.call('LLEN', messages), ARGV[4] == '' and {} or redis.call('LRANGE', messages, ARGV[4], -1)}
if ARGV[3] ~= '' then
  local dead = find_dead(id)
  begin(ARGV[3])
  forget(dead)
end
return answer
