-- Read which of some deliveries were settled or removed, and are remembered, for a copy.
-- KEYS[1]  the prefix of all session keys
-- ARGV     namespace, deliveries: owner's path, colon, name
-- Returns  for each of those: {owner, name, for how many ms more}
-- @include keys
local answer = {}
for number = 2, #ARGV do
  local path, name = ARGV[number]:match('^(.*):(%x+)$')
  local key = path and ns .. DELIVERED .. ARGV[number]
  local left = key and redis.pcall('GET', key) == '' and redis.call('PTTL', key) or 0
  if left > 0 then answer[#answer + 1] = {(owner_of_path(path)), name, left} end
end
return answer
