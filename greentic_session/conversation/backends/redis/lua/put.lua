-- Store a whole conversation.
-- KEYS     index by recency, index by end, header, messages
-- ARGV     id, schema version, what must be there ("" nothing, "*" anything, or birth:updated_at),
--          lifetime that begins if nothing is there, in ms, or "", lifetime that begins if
--          something is, or "" for what is left, created_at, updated_at, how many of the following
--          are names and values of the header, these, messages
-- Returns  {"ok", created_at, updated_at}, {"other"} if nothing is there, {"other", birth,
--          updated_at} for something else than what must be; {"corrupt"}, {"schema", version}
-- @include _conversation
local expected, created, updated = ARGV[3], ARGV[6], ARGV[7]
local before
if expected == '*' then
  -- Whatever it is; its times go on if they can be read.
  local times = redis.pcall('HMGET', head, 'created_at', 'updated_at')
  if is_moment(times[1]) and is_moment(times[2]) then before = {created_at = times[1], updated_at = times[2]} end
else
  local header, refusal = look(head, schema)
  if refusal and refusal[1] ~= 'absent' then return refusal end
  if (header and header.birth .. ':' .. header.updated_at or '') ~= expected then
    return header and {'other', header.birth, header.updated_at} or {'other'}
  end
  before = header
end
if before then created, updated = before.created_at, later(updated, before.updated_at) end
local was = redis.call('PTTL', head)
local dead = find_dead(id)

redis.call('ZADD', recent, '-' .. updated, id)
redis.call('UNLINK', head, messages)
local fields = 8 + ARGV[8]
redis.call('HSET', head, 'updated_at', updated, 'created_at', created)
each('HSET', head, 9, fields)
each('RPUSH', messages, fields + 1, #ARGV)
if was == -2 then begin(ARGV[4]) elseif ARGV[5] ~= '' then begin(ARGV[5]) else go_on(was) end
forget(dead)
return {'ok', created, updated}
