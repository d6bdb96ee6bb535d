-- End a live claim.
-- KEYS     the claim, its session
-- ARGV     namespace, token
-- Returns  {"released"}; {"over"} if the claim is
-- @include claims
local hash, takes_part = claimed_at(KEYS[1], ARGV[2])
if not hash or redis.call('EXISTS', KEYS[2]) == 0 then return {'over'} end
if takes_part then
  -- @include releasing
  release(KEYS[2]:sub(#session_key('') + 1), hash)
  return {'released'}
end
redis.call('DEL', KEYS[1])
return {'released'}
