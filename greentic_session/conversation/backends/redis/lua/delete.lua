-- Remove a conversation, readable or not.
-- KEYS     index by recency, index by expiry, header, messages
-- ARGV     id
-- Returns  1; 0 if it is absent
-- @include _partition
if redis.call('EXISTS', KEYS[3]) == 0 then return 0 end
local removed_ids = find_expired(ARGV[1])
redis.call('UNLINK', KEYS[3], KEYS[4])
removed_ids[#removed_ids + 1] = ARGV[1]
remove_from_index(removed_ids)
return 1
