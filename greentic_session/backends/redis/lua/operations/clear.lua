-- Remove the session that waits at a scope.
-- KEYS[1]  the scope
-- ARGV     namespace, owner
-- Returns  {"removed", its key, on a cluster the nonce of its reservation}; {"absent"} if nothing
--          waits
-- @include session
local session = find_wait(ARGV[2], hash_of_scope(KEYS[1]))
if not session then return {'absent'} end
if session.place or redis.call('EXISTS', replies_key(ARGV[2], hash_of_scope(KEYS[1]))) == 1 then
  -- @include places
  local wait = open_place(ARGV[2], hash_of_scope(KEYS[1]))
  local _, nonce = remove_wait(wait, REMOVED)
  return {'removed', session.key, nonce}
end
redis.call('DEL', KEYS[1])
return {'removed', session.key, remove_session(session)}
