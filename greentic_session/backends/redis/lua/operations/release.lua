-- End a live claim.
-- KEYS     the claim, its session
-- ARGV     namespace, token
-- Returns  1; 0 if the claim is over
-- @include claims
if not claimed_at(KEYS[1], ARGV[2]) or redis.call('EXISTS', KEYS[2]) == 0 then return 0 end
return redis.call('DEL', KEYS[1])
