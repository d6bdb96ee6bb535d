-- Find the session that waits at a scope.
-- KEYS[1]  the scope
-- ARGV     namespace, owner
-- Returns  its key; nil if nothing waits
-- @include _rules
local session = find(ARGV[2], KEYS[1]:sub(-64))
return session and session.key or nil
