-- Tell which of the replies that lie at some places were copied there.
-- KEYS[1]  the prefix of all session keys
-- ARGV     namespace, source, places: owner's path, colon, SHA-256 of the scope
-- Returns  for each place: {owner, SHA-256 of the scope, ids}
-- @include places
local answer = {}
for number = 3, #ARGV do
  local path, hash = ARGV[number]:match('^(.*):(%x+)$')
  local owner = path and owner_of_path(path)
  local read, inbox = pcall(inbox_at, owner, hash)
  local told = {owner, hash}
  for _, received in ipairs(read and inbox.replies or {}) do
    if redis.pcall('HGET', carried_key(owner, hash), received.id) == ARGV[2] then told[#told + 1] = received.id end
  end
  if #told > 2 then answer[#answer + 1] = told end
end
return answer
