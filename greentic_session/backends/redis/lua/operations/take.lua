-- Let a live claim hold more of what lies at its place.
-- KEYS[1]  the claim
-- ARGV     namespace, session key, token, its idempotency key, how many at most
-- Returns  {"taken", replies}; {"over"} if the claim is
-- @include session
-- @include places
local key, token, turn_key, limit = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local session = load(key)
local hash = session and claimed_at(KEYS[1], token)
if not hash or not verify_owner(session) then return {'over'} end
local wait = open_session(session, hash)
local answer = {'taken'}
if not wait.inbox then return answer end
local taken = takeable(wait.inbox.replies, limit, instant())
if #taken == 0 then return answer end
wait.turn = take_turn(wait, taken, turn_key)
hold_replies(wait, taken)
for number, received in ipairs(taken) do answer[number + 1] = told_reply(wait.inbox, received) end
refresh(wait)
return answer
