-- Give a live claim a new lease, and let the session live at least as long.
-- KEYS[1]  the claim
-- ARGV     namespace, session key, token, lease in ms
-- Returns  1; 0 if the claim is over
-- @include _rules
local key, token, lease = ARGV[2], ARGV[3], tonumber(ARGV[4])
local session = look(key)
local hash = session and claimed_at(key, token)
if not hash then return 0 end
redis.call('PEXPIRE', claim_key(key), lease)
if session.ttl ~= -1 and session.ttl < lease then set_lifetime(session, lease) end
if session.owner and holds(scope_key(session.owner, hash), key) then outlive(scope_key(session.owner, hash), lease) end
return 1
