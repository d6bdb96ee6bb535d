-- How long a session has still to live. Changes nothing.
-- KEYS[1]  the session
-- ARGV     namespace, session key, caller's context or ""
-- Returns  {"found", ms, -1 for ever}; {"absent"}, also where it is out of the caller's reach
-- @include session
local session, ctx = load(ARGV[2]), ARGV[3]
if not session or (ctx ~= '' and not reaches(ctx, verify_owner(session))) then return {'absent'} end
if session.place then
  -- @include places
  return {'found', left_of(lifetime_end(open_session(session), instant()))}
end
return {'found', session.ttl}
