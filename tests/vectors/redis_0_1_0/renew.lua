-- Give a live claim a new lease, and let the session live at least as long.
-- KEYS[1]  the claim
-- ARGV     namespace, session key, token, lease in ms; on a cluster nonce and reach of a reservation
-- Returns  1; 0 if the claim is over; "short" if the session's owner pointer would not live as long
-- @include _rules
local key, token, lease = ARGV[2], ARGV[3], tonumber(ARGV[4])
local session = look(key)
local hash = session and claimed_at(key, token)
if not hash then return 0 end
local lengthened = session.ttl ~= -1 and session.ttl < lease
if lengthened and not may_live(session, lease, ARGV[5], ARGV[6]) then return 'short' end
redis.call('PEXPIRE', claim_key(key), lease)
if lengthened then set_lifetime(session, lease) end
if session.owner and holds(scope_key(session.owner, hash), key) then outlive(scope_key(session.owner, hash), lease) end
return 1
