-- Append messages to a conversation, without reading any.
-- KEYS     index by recency, index by expiry, header, messages
-- ARGV     id, schema version, renewed lifetime in ms, or "", the time in microseconds, messages
-- Returns  {"ok", new number of messages}, {"absent"}, {"corrupt"}, {"schema", version}
-- @include _conversation
local header, failure = read_header(head, schema)
if failure then return failure end
local expired = find_expired(id)
local count, updated = nil, header.updated_at
if #ARGV == 4 then
  count = redis.call('LLEN', messages)
else
  count = call_in_batches('RPUSH', messages, 5, #ARGV)
  if count == #ARGV - 4 then -- the list is new, and must not outlive the header
    local ttl = redis.call('PTTL', head)
    if ttl >= 0 then redis.call('PEXPIRE', messages, math.max(ttl, 1)) end
  end
  updated = later(ARGV[4], updated)
  redis.call('HSET', head, 'updated_at', updated)
  set_recency(updated)
end
renew(ARGV[3], updated)
remove_from_index(expired)
return {'ok', count}
