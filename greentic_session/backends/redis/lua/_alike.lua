-- Whether a stored session has the owner of a text, as far as a look at 512 bytes tells: both begin alike, up to the field
-- behind the owner. It is always there, and its name stands nowhere before: in a value its quotes would be escaped.
local function begins_alike(session, text)
  local named = text:find('"attempt":', 1, true)
  return named <= 512 and redis.call('GETRANGE', session, '0', '511'):sub(1, named) == text:sub(1, named)
end
