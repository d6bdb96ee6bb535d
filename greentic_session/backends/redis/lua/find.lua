-- Find the wait of the first scope that has one.
-- KEYS     the scopes, best first; then the user's set
-- ARGV     namespace, owner, how the owner's payloads begin, SHA-256 of each scope
-- Returns  {number of the scope that matched, session key, text}; nil if nothing waits
-- @include _usual
for number = 1, #KEYS - 1 do
  local key, text = usual(ARGV[1], KEYS[number], KEYS[#KEYS], ARGV[2], ARGV[3], ARGV[number + 3])
  if key then return {number - 1, key, text} end
  if key == nil then break end
  if number == #KEYS - 1 then return nil end
end
-- @include _rules
for number = 4, #ARGV do
  local session = find(ARGV[2], ARGV[number])
  if session then return {number - 4, session.key, text_of(session)} end
end
return nil
