-- Read a whole conversation.
-- KEYS     index by recency, index by expiry, header, messages
-- ARGV     id, schema version, renewed lifetime in ms, or ""
-- Returns  {"ok", names and values of the header, messages}, {"absent"}, {"corrupt"}, {"schema",
--          version}
-- @include _conversation
local header, failure = read_header(head, schema)
if failure then return failure end
local answer = {'ok', redis.call('HGETALL', head), redis.call('LRANGE', messages, 0, -1)}
if ARGV[3] ~= '' then
  local expired = find_expired(id)
  renew(ARGV[3], header.updated_at)
  remove_from_index(expired)
end
return answer
