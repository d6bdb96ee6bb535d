-- The scope where a live claim was made (of a session that only the reference wrote, nothing else
-- tells); nil if it is over. And whether its session takes part in replies: then ":r" stands behind
-- the scope.
local function claimed_at(claim, token)
  local found = redis.pcall('GET', claim)
  if type(found) ~= 'string' or found:sub(1, #token + 1) ~= token .. ':' then return nil end
  return found:match('^%x*', #token + 2), found:sub(-2) == ':r'
end
