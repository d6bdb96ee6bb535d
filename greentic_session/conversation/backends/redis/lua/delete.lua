-- Remove a conversation, whatever is there.
-- KEYS     index by recency, index by end, header, messages
-- ARGV     id
-- Returns  1; 0 if it is absent
-- @include _index
if redis.call('EXISTS', KEYS[3]) == 0 then return 0 end
local gone = find_dead(ARGV[1])
redis.call('UNLINK', KEYS[3], KEYS[4])
gone[#gone + 1] = ARGV[1]
forget(gone)
return 1
