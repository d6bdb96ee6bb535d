-- End a live claim.
-- KEYS     the claim, its session
-- ARGV     namespace, token
-- Returns  {"released"}; {"over"} if the claim is
-- @include claims
if not claimed_at(KEYS[1], ARGV[2]) or redis.call('EXISTS', KEYS[2]) == 0 then return {'over'} end
redis.call('DEL', KEYS[1])
return {'released'}
