-- Make ready what is put off, for an operator.
-- KEYS[1]  the session
-- ARGV     namespace, session key
-- Returns  {"retried"}; {"not put off"}; {"absent"}
-- @include session
local session = load(ARGV[2])
if not session then return {'absent'} end
if not session.place or not verify_owner(session) then return {'not put off'} end
-- @include operators
local wait = open_session(session)
if not retry(wait, instant()) then return {'not put off'} end
wait.put_off = 0
refresh(wait)
return {'retried'}
