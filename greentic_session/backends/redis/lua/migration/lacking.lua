-- Tell which of some replies do not lie here.
-- KEYS[1]  the prefix of all session keys
-- ARGV     namespace; of each: owner, SHA-256 of the scope of its place, id, the name of its delivery
--          or ""
-- Returns  of each "there"; "gone"; or "forgotten" where its delivery is not remembered either, or
--          as that of another reply
-- @include keys
local answer = {}
for number = 2, #ARGV, 4 do
  local owner, hash, id, name = unpack(ARGV, number, number + 3)
  if redis.pcall('HEXISTS', replies_key(owner, hash), 'b:' .. id) == 1 then
    answer[#answer + 1] = 'there'
  else
    local known = name ~= '' and redis.pcall('GET', delivered_key(owner, name))
    answer[#answer + 1] = (name == '' or known == '') and 'gone' or 'forgotten'
  end
end
return answer
