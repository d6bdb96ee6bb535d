-- Find the wait of the first scope that has one.
-- KEYS     the scopes, best first
-- ARGV     namespace, the nonce under which a large text may be staged for the answer, or "";
--          anything more forces the slow path, which verifies the owner on the server
-- Returns  {"found", number of the scope that matched, session key, text, or false where it is
--          staged}; {"absent"} if nothing
--          waits. Where the text is another owner's than the scope's, only the slow path tells what
--          waits there
-- @include staging
-- @inline
local function fields_of(key) return call('HMGET', record_key(key), SCOPE_HASH, PLACE) end
local call, path = redis.call, path_of_scope(KEYS[1])
local nonce = ARGV[2] ~= '' and ARGV[2]
for number = 1, ARGV[3] and 0 or #KEYS do
  local scope = KEYS[number]
  -- @include fast_path
  if key == nil then break end
  if key then
    -- @include answer_text
    return {'found', number - 1, key, text}
  end
  if number == #KEYS then return {'absent'} end
end
-- @include session
local owner = owner_of_path(path)
for number = 1, #KEYS do
  local session = find_wait(owner, hash_of_scope(KEYS[number]))
  if session then return {'found', number - 1, session.key, text_of(session)} end
end
return {'absent'}
