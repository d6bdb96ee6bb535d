-- On a cluster: see that no session is under a key here, nor comes under it by a reservation, so
-- that another user may have it.
-- KEYS[1]  the session
-- ARGV     namespace, session key, nonce of the reservation, owner of what shall be there
-- Returns  {"free"}; {"live", the part of its identity that differs, or "" where nothing tells its
--          owner}
-- @include session
local session = load(ARGV[2])
if session then return {'live', session.owner and difference(session.owner, ARGV[4]) or ''} end
bar_reservation(ARGV[3])
return {'free'}
