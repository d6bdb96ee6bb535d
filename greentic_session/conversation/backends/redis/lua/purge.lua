-- Remove some conversations of a partition, whatever is there.
-- KEYS     index by recency, index by end, header and messages of each
-- ARGV     the id of each
-- Returns  how many were removed
-- @include _index
find_dead() -- fails now if an index is of a wrong type
local removed = 0
for at = 3, #KEYS, 2 do
  removed = removed + redis.call('UNLINK', KEYS[at])
  redis.call('UNLINK', KEYS[at + 1])
end
forget(ARGV)
return removed
