-- Give a session, and all that leads to it, a new lifetime.
-- KEYS[1]  the session
-- ARGV     namespace, session key, lifetime in ms or -1, caller's context or ""
-- Returns  1; 0 if it is absent, or not aligned with the caller
-- @include _rules
local key, ttl, ctx = ARGV[2], tonumber(ARGV[3]), ARGV[4]
local session = look(key)
if not session or (ctx ~= '' and not aligned(ctx, session.owner)) then return 0 end
set_lifetime(session, ttl)
return 1
