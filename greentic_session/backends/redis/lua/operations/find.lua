-- Find the wait of the first scope that has one.
-- KEYS     the scopes, best first
-- ARGV     namespace; anything more forces the slow path, which verifies the owner on the server
-- Returns  {"found", number of the scope that matched, session key, text}; {"absent"} if nothing
--          waits. Where the text is another owner's than the scope's, only the slow path tells what
--          waits there
-- @include fast_path
for number = 1, ARGV[2] and 0 or #KEYS do
  local key, text = usual(KEYS[number])
  if key then return {'found', number - 1, key, text} end
  if key == nil then break end
  if number == #KEYS then return {'absent'} end
end
-- @include session
local owner = owner_of_path(path)
for number = 1, #KEYS do
  local session = find_wait(owner, hash_of_scope(KEYS[number]))
  if session then return {'found', number - 1, session.key, text_of(session)} end
end
return {'absent'}
