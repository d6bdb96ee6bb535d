-- Find the session that waits at a scope.
-- KEYS[1]  the scope
-- ARGV     namespace, owner
-- Returns  its key; nil if nothing waits
-- @include session
local session = find(ARGV[2], hash_of_scope(KEYS[1]))
return session and session.key or nil
