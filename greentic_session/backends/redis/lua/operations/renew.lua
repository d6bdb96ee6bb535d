-- Give a live claim a new lease, and let the session live at least as long.
-- KEYS[1]  the claim
-- ARGV     namespace, session key, token, lease in ms; on a cluster nonce and reach of a
--          reservation
-- Returns  {"renewed"}; {"over"} if the claim is; on a cluster {"short"} if the session's owner
--          pointer would not live as long
-- @include session
local key, token, lease = ARGV[2], ARGV[3], tonumber(ARGV[4])
local session = load(key)
local hash, takes_part
if session then hash, takes_part = claimed_at(KEYS[1], token) end
if not hash then return {'over'} end
local lengthened = session.ttl ~= -1 and session.ttl < lease
if lengthened and not may_live(session, lease, ARGV[5], ARGV[6]) then return {'short'} end
if takes_part and session.owner then
  -- @include places
  lease_wait(open_session(session, hash), token, hash, lease)
  if leads_to(scope_key(session.owner, hash), key) then extend_key(scope_key(session.owner, hash), lease) end
  return {'renewed'}
end
redis.call('PEXPIRE', claim_key(key), lease)
if lengthened then set_lifetime(session, lease) end
if session.owner and leads_to(scope_key(session.owner, hash), key) then extend_key(scope_key(session.owner, hash), lease) end
return {'renewed'}
