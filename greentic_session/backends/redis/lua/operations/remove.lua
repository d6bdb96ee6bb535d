-- Remove a session with all that leads to it.
-- KEYS[1]  the session
-- ARGV     namespace, session key, caller's context or ""
-- Returns  {"removed", on a cluster the nonce of its reservation}; {"absent"}, also where it is out
--          of the caller's reach
-- @include session
local key, ctx = ARGV[2], ARGV[3]
local session = load(key)
if not session or (ctx ~= '' and not reaches(ctx, verify_owner(session))) then return {'absent'} end
if session.place then
  -- @include places
  local _, nonce = remove_wait(open_session(session), REMOVED)
  return {'removed', nonce}
end
return {'removed', remove_session(session)}
