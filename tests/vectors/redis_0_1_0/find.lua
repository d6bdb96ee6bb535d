-- Find the wait of the first scope that has one.
-- KEYS     the scopes, best first
-- ARGV     namespace
-- Returns  {number of the scope that matched, session key, text}; nil if nothing waits
-- @include _usual
for number = 1, #KEYS do
  local key, text = usual(KEYS[number])
  if key then return {number - 1, key, text} end
  if key == nil then break end
  if number == #KEYS then return nil end
end
-- @include _rules
for number = 1, #KEYS do
  local session = find(owner, KEYS[number]:sub(-64))
  if session then return {number - 1, session.key, text_of(session)} end
end
return nil
