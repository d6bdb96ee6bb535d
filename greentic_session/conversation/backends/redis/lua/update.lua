-- Change fields of the header of a conversation.
-- KEYS     index by recency, index by expiry, header, messages
-- ARGV     id, schema version, renewed lifetime in ms, or "", the time in microseconds, index of
--          the first field to remove, index of the first field to set; for each counter its name,
--          the increment, and the largest count before it; names of fields to remove; names and
--          values of fields to set
-- Returns  {"ok"}, {"full", name, count} for a counter above its largest count; {"absent"},
--          {"corrupt"}, {"schema", version}
-- @include _conversation
local header, failure = read_header(head, schema)
if failure then return failure end
local removed, others = tonumber(ARGV[5]), tonumber(ARGV[6])
for at = 7, removed - 1, 3 do
  local count = redis.call('HGET', head, ARGV[at]) or '0'
  if not is_count(count) then return {'corrupt'} end
  if is_greater(count, ARGV[at + 2]) then return {'full', ARGV[at], count} end
end
local expired = find_expired(id)

local updated = later(ARGV[4], header.updated_at)
redis.call('HSET', head, 'updated_at', updated)
for at = 7, removed - 1, 3 do redis.call('HINCRBY', head, ARGV[at], ARGV[at + 1]) end
call_in_batches('HDEL', head, removed, others - 1)
call_in_batches('HSET', head, others, #ARGV)
set_recency(updated)
renew(ARGV[3], updated)
remove_from_index(expired)
return {'ok'}
