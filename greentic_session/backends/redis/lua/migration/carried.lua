-- Tell which of the replies that lie at some places were copied there.
-- KEYS[1]  the prefix of all session keys
-- ARGV     namespace, source, places: owner's path, colon, SHA-256 of the scope
-- Returns  for each place: {owner, SHA-256 of the scope, of each reply id and name of its delivery
--          or ""}
-- @include places
local answer = {}
for number = 3, #ARGV do
  local path, hash = ARGV[number]:match('^(.*):(%x+)$')
  local owner = path and owner_of_path(path)
  local read, inbox = pcall(inbox_at, owner, hash)
  local told = {owner, hash}
  for _, received in ipairs(read and inbox.replies or {}) do
    local from = redis.pcall('HGET', carried_key(owner, hash), received.id)
    if type(from) == 'string' and from:match('^%S+') == ARGV[2] then
      told[#told + 1], told[#told + 2] = received.id, received.delivered
    end
  end
  if #told > 2 then answer[#answer + 1] = told end
end
return answer
