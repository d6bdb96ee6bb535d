-- The wait at a scope where all is as usual, in as few commands as it takes: our record says that
-- the session waits there, and the user's set outlives it. That is what `find_wait` in waits.lua
-- would find out, too, but for whose the text is: who asks sees to that. Whose the scope is, and its
-- hash, are read from its key: a request that is short travels faster, and Redis reads more of them
-- at a time.
-- @include record
local path = path_of_scope(KEYS[1])

-- Returns session key, text, lifetime in ms; false if nothing is there; nil if it is for the rules
-- to say.
local function usual(scope)
  local call = redis.call
  local key = call('GET', scope)
  if not key then return false end
  if call('HGET', record_key(key), SCOPE_HASH) ~= hash_of_scope(scope) then return nil end
  local session = session_key(key)
  local text, ttl, kept = call('GET', session), call('PTTL', session), call('PTTL', set_at(path))
  if text and (kept == -1 or (ttl ~= -1 and kept >= ttl - 5)) then return key, text, ttl end
  return nil
end
