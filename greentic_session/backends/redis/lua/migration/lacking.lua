-- Tell which of some replies do not lie here.
-- KEYS[1]  the prefix of all session keys
-- ARGV     namespace; of each: owner, SHA-256 of the scope of its place, id
-- Returns  of each 1 if it is not there, else 0
-- @include keys
local answer = {}
for number = 2, #ARGV, 3 do
  local found = redis.pcall('HEXISTS', replies_key(ARGV[number], ARGV[number + 1]), 'b:' .. ARGV[number + 2])
  answer[#answer + 1] = found == 1 and 0 or 1
end
return answer
