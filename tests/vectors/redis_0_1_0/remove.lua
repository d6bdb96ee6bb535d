-- Remove a session with all that leads to it.
-- KEYS[1]  the session
-- ARGV     namespace, session key, caller's context or ""
-- Returns  1, or on a cluster the nonce of its reservation; 0 if it is absent, or not aligned with the caller
-- @include _rules
local key, ctx = ARGV[2], ARGV[3]
local session = look(key)
if not session or (ctx ~= '' and not aligned(ctx, session.owner)) then return 0 end
return drop(session)
