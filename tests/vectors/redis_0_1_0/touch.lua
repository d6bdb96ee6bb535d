-- Give a session, and all that leads to it, a new lifetime.
-- KEYS[1]  the session
-- ARGV     namespace, session key, lifetime in ms or -1, caller's context or ""; on a cluster nonce and reach of a reservation
-- Returns  1; 0 if it is absent, or not aligned with the caller; "short" if its owner pointer would not live as long
-- @include _rules
local key, ttl, ctx = ARGV[2], tonumber(ARGV[3]), ARGV[4]
local session = look(key)
if not session or (ctx ~= '' and not aligned(ctx, session.owner)) then return 0 end
if not may_live(session, ttl, ARGV[5], ARGV[6]) then return 'short' end
set_lifetime(session, ttl)
return 1
