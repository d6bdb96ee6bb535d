-- Remove the session of a live claim.
-- KEYS[1]  the claim
-- ARGV     namespace, session key, token
-- Returns  1; 0 if the claim is over
local key, token = ARGV[2], ARGV[3]
local session = look(key)
if not session or not holds(claim_key(key), token) then return 0 end
drop(session)
return 1
