-- Remove the session of a live claim.
-- KEYS[1]  the claim
-- ARGV     namespace, session key, token
-- Returns  1, or on a cluster the nonce of its reservation; 0 if the claim is over
-- @include _rules
local key, token = ARGV[2], ARGV[3]
local session = look(key)
local hash = session and claimed_at(key, token)
if not hash then return 0 end
if session.owner then cut(session.owner, hash, key) end
return drop(session)
