-- Whether a stored session has the owner of a text, as far as a look at 512 bytes tells: both begin
-- alike, up to the end of the user, which is the last part of an owner, or a field behind it. (Ids
-- hold no quotes: these names stand nowhere before.)
local function begins_alike(session, text)
  local head = text:sub(1, 512)
  local _, user = head:find('"user_id":"', 1, true)
  local named = head:find(user and '"' or '"attempt":', user and user + 1 or 1, true)
  return named and redis.call('GETRANGE', session, '0', '511'):sub(1, named) == head:sub(1, named)
end
