-- Find the session that waits at a scope.
-- KEYS[1]  the scope
-- ARGV     namespace, owner
-- Returns  {"found", its key}; {"absent"} if nothing waits
-- @include session
local session = find_wait(ARGV[2], hash_of_scope(KEYS[1]))
return session and {'found', session.key} or {'absent'}
