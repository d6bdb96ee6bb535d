-- Tell what lies at some places.
-- KEYS[1]  the prefix of all keys
-- ARGV     namespace, places: owner's path, colon, SHA-256 of the scope
-- Returns  {how many were looked at: at least one, and no more once it has cost enough; for each:
--          owner, scope as JSON, and its replies, as told_reply in inboxes.lua tells them}
-- @include places
local answer, looked = {}, 0
for number = 2, #ARGV do
  if is_enough() then break end
  looked = looked + 1
  local path, hash = ARGV[number]:match('^(.*):(%x+)$')
  local owner = path and owner_of_path(path)
  local read, _, inbox = pcall(open_place, owner, hash)
  if read and #inbox.replies > 0 then
    local scope = redis.call('HGET', replies_key(owner, hash), SCOPE_OF_PLACE) or ''
    local told = {owner, scope}
    for _, received in ipairs(inbox.replies) do
      told[#told + 1] = told_reply(inbox, received)
      bytes_read = bytes_read + received.size
    end
    answer[#answer + 1] = told
  end
end
return {looked, answer}
