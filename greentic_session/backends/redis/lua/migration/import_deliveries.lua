-- Remember deliveries that were settled or removed elsewhere, and are not known here.
-- KEYS[1]  the prefix of all session keys
-- ARGV     namespace; of each: owner, name, for how many ms
-- Returns  how many were not known
local count = 0
-- @include keys
for number = 2, #ARGV, 3 do
  local key, left = delivered_key(ARGV[number], ARGV[number + 1]), tonumber(ARGV[number + 2])
  local known = redis.call('GET', key)
  if left > 0 and not known then
    redis.call('SET', key, '', 'PX', ARGV[number + 2])
    count = count + 1
  elseif known == '' and redis.call('PTTL', key) < left then
    redis.call('PEXPIRE', key, ARGV[number + 2])
  end
end
return count
