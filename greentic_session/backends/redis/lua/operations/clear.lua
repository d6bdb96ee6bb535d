-- Remove the session that waits at a scope.
-- KEYS[1]  the scope
-- ARGV     namespace, owner
-- Returns  {its key, 1 or on a cluster the nonce of its reservation}; nil if nothing waits
-- @include session
local session = find(ARGV[2], hash_of_scope(KEYS[1]))
if not session then return nil end
redis.call('DEL', KEYS[1])
return {session.key, drop(session)}
