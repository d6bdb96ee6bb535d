-- Remove the session that waits at a scope.
-- KEYS[1]  the scope
-- ARGV     namespace, owner, SHA-256 of the scope
-- Returns  1; 0 if nothing waits
-- @include _rules
local session = find(ARGV[2], ARGV[3])
if not session then return 0 end
redis.call('DEL', scope_key(ARGV[2], ARGV[3]))
drop(session)
return 1
