-- Store a whole conversation.
-- KEYS     index by recency, index by expiry, header, messages
-- ARGV     id, schema version, expected conversation ("" none, "*" any or none, or
--          birth:updated_at), lifetime of a new one in ms, or "", renewed lifetime of an old one,
--          or "" to keep the current one, created_at, updated_at, number of the following names and
--          values of the header, these, messages
-- Returns  {"ok", created_at, updated_at}; {"other"} without a conversation, {"other", birth,
--          updated_at} for an unexpected one; {"corrupt"}, {"schema", version}
-- @include _conversation
local expected, created, updated = ARGV[3], ARGV[6], ARGV[7]
local before
if expected == '*' then
  -- Any conversation, but the new times follow those of the old one, if they can be read.
  local times = redis.pcall('HMGET', head, 'created_at', 'updated_at')
  if is_moment(times[1]) and is_moment(times[2]) then before = {created_at = times[1], updated_at = times[2]} end
else
  local header, failure = read_header(head, schema)
  if failure and failure[1] ~= 'absent' then return failure end
  if (header and header.birth .. ':' .. header.updated_at or '') ~= expected then
    return header and {'other', header.birth, header.updated_at} or {'other'}
  end
  before = header
end
if before then created, updated = before.created_at, later(updated, before.updated_at) end
local ttl = redis.call('PTTL', head)
local expired = find_expired(id)

redis.call('ZADD', recent, '-' .. updated, id)
redis.call('UNLINK', head, messages)
local fields = 8 + ARGV[8]
redis.call('HSET', head, 'updated_at', updated, 'created_at', created)
call_in_batches('HSET', head, 9, fields)
call_in_batches('RPUSH', messages, fields + 1, #ARGV)
if ttl == -2 then set_lifetime(ARGV[4]) elseif ARGV[5] ~= '' then set_lifetime(ARGV[5]) else keep_lifetime(ttl) end
remove_from_index(expired)
return {'ok', created, updated}
