-- Read the last messages of a conversation, without reading others.
-- KEYS     index by recency, index by expiry, header, messages
-- ARGV     id, schema version, renewed lifetime in ms, or "", position of the first message (from
--          the end if negative), or "" for none
-- Returns  {"ok", number of messages, birth, these messages}, {"absent"}, {"corrupt"}, {"schema",
--          version}
-- @include _conversation
local header, failure = read_header(head, schema)
if failure then return failure end
local count, first, texts = redis.call('LLEN', messages), tonumber(ARGV[4]), {}
if first and first < 0 and count > -400 * first then
  -- Few of many: before Redis 7, LRANGE walks the list from its first message, LINDEX from the end.
  for at = first, -1 do texts[#texts + 1] = redis.call('LINDEX', messages, at) end
elseif first then
  texts = redis.call('LRANGE', messages, ARGV[4], -1)
end
if ARGV[3] ~= '' then
  local expired = find_expired(id)
  renew(ARGV[3], header.updated_at)
  remove_from_index(expired)
end
return {'ok', count, header.birth, texts}
