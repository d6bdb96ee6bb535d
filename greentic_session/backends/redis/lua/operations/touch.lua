-- Give a session, and all that leads to it, a new lifetime.
-- KEYS[1]  the session
-- ARGV     namespace, session key, lifetime in ms or -1, caller's context or ""; on a cluster nonce
--          and reach of a reservation
-- Returns  {"touched"}; {"absent"}, also where it is out of the caller's reach; on a cluster
--          {"short"} if its owner pointer would not live as long
-- @include session
local key, ttl, ctx = ARGV[2], tonumber(ARGV[3]), ARGV[4]
local session = load(key)
if not session or (ctx ~= '' and not reaches(ctx, verify_owner(session))) then return {'absent'} end
if not may_live(session, ttl, ARGV[5], ARGV[6]) then return {'short'} end
if session.place then
  -- @include places
  local wait = open_session(session)
  wait.put_off = 0
  touch_life(wait, ttl, instant())
  refresh(wait)
  return {'touched'}
end
set_lifetime(session, ttl)
return {'touched'}
