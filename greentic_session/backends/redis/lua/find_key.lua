-- Find the session that waits at a scope.
-- KEYS[1]  the scope
-- ARGV     namespace, owner, SHA-256 of the scope
-- Returns  its key; nil if nothing waits
-- @include _rules
local session = find(ARGV[2], ARGV[3])
return session and session.key or nil
