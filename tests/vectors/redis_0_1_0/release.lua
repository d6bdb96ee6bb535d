-- End a live claim.
-- KEYS[1]  the claim
-- ARGV     namespace, session key, token
-- Returns  1; 0 if the claim is over
-- @include _rules
local key, token = ARGV[2], ARGV[3]
if not look(key) or not claimed_at(key, token) then return 0 end
redis.call('DEL', claim_key(key))
return 1
