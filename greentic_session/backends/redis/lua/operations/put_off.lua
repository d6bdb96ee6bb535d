-- End a live claim, and let its wait be ready after a delay only.
-- KEYS[1]  the claim
-- ARGV     namespace, session key, token, the delay in ms
-- Returns  {"put off"}; {"over"} if the claim is
-- @include session
-- @include places
local key, token, delay = ARGV[2], ARGV[3], tonumber(ARGV[4])
local session = load(key)
local hash = session and claimed_at(KEYS[1], token)
if not hash then return {'over'} end
if not verify_owner(session) then
  redis.call('DEL', KEYS[1])
  return {'put off'}
end
local wait = open_session(session, hash)
wait.turn = fail(wait.turn)
let_go(wait)
unclaim(wait)
wait.put_off = instant() + delay
lengthen_life(wait, wait.put_off)
refresh(wait)
return {'put off'}
