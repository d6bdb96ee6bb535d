-- Remove the session that waits at a scope.
-- KEYS[1]  the scope
-- ARGV     namespace, owner, SHA-256 of the scope
-- Returns  {its key, 1 or on a cluster the nonce of its reservation}; nil if nothing waits
-- @include _rules
local session = find(ARGV[2], ARGV[3])
if not session then return nil end
redis.call('DEL', scope_key(ARGV[2], ARGV[3]))
return {session.key, drop(session)}
