-- Replace messages at the beginning or at the end of a conversation, as `header.Edit` says.
-- KEYS     index by recency, index by expiry, header, messages
-- ARGV     id, schema version, renewed lifetime in ms, or "", the time in microseconds, the new
--          birth, position of the first message that goes, position behind the last one, or "" for
--          all, number of messages that were read, or "" if that does not matter, birth that was
--          read, messages that take their place
-- Returns  {"ok", new number of messages}, {"other", birth, number of messages} if these are not
--          the messages that were read; {"absent"}, {"corrupt"}, {"schema", version}
-- @include _conversation
local header, failure = read_header(head, schema)
if failure then return failure end
local total, first, stop, read = redis.call('LLEN', messages), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
if read and (header.birth ~= ARGV[9] or read > total or (not stop and read < total)) then
  return {'other', header.birth, total}
end
stop = stop or total
local ttl = redis.call('PTTL', head)
local expired = find_expired(id)

local updated = later(ARGV[4], header.updated_at)
redis.call('HSET', head, 'updated_at', updated, 'birth', ARGV[5])
set_recency(updated)
if stop == total then
  if first == 0 then redis.call('UNLINK', messages) else redis.call('LTRIM', messages, 0, first - 1) end
  call_in_batches('RPUSH', messages, 10, #ARGV)
else
  redis.call('LTRIM', messages, stop, -1)
  for at = #ARGV, 10, -1 do redis.call('LPUSH', messages, ARGV[at]) end
end
if ttl >= 0 and #ARGV > 9 then redis.call('PEXPIRE', messages, math.max(ttl, 1)) end -- the list may be new
renew(ARGV[3], updated)
remove_from_index(expired)
return {'ok', redis.call('LLEN', messages)}
