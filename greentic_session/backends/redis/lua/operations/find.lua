-- Find the wait of the first scope that has one.
-- KEYS     the scopes, best first
-- ARGV     namespace; anything more for a thorough look
-- Returns  {number of the scope that matched, session key, text}; nil if nothing waits. Where it was no thorough look, and
--          the text is not the owner's whose scope it is, only a thorough look tells what waits there.
-- @include fast_path
for number = 1, ARGV[2] and 0 or #KEYS do
  local key, text = usual(KEYS[number])
  if key then return {number - 1, key, text} end
  if key == nil then break end
  if number == #KEYS then return nil end
end
-- @include session
local owner = owner_of_path(path)
for number = 1, #KEYS do
  local session = find(owner, hash_of_scope(KEYS[number]))
  if session then return {number - 1, session.key, text_of(session)} end
end
return nil
