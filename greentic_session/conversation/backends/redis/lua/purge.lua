-- Remove some conversations of a partition, readable or not.
-- KEYS     index by recency, index by expiry, header and messages of each
-- ARGV     the id of each
-- Returns  number of removed conversations
-- @include _partition
find_expired() -- fails before any write if a key of the index has a wrong type
local removed = 0
for at = 3, #KEYS, 2 do
  removed = removed + redis.call('UNLINK', KEYS[at])
  redis.call('UNLINK', KEYS[at + 1])
end
remove_from_index(ARGV)
return removed
