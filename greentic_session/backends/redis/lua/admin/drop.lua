-- Remove the oldest reply at the place of a wait, for an operator. Its delivery stays remembered.
-- KEYS[1]  the session
-- ARGV     namespace, session key
-- Returns  {"dropped", reply}; {"empty"} where nothing lies there; {"claimed"} where a live claim
--          holds it; {"absent"}
-- @include session
local session = load(ARGV[2])
if not session then return {'absent'} end
if not session.place or not verify_owner(session) then return {'empty'} end
-- @include operators
local wait, at = open_session(session), instant()
local inbox = wait.inbox
if not inbox then return {'empty'} end
local dropped = drop(inbox.replies, at)
if dropped == false then return {'claimed'} end
if not dropped then return {'empty'} end
local reply = told_reply(inbox, dropped)
note(inbox, dropped, id_end(dropped, REMOVED, at, inbox.terms))
table.remove(inbox.replies, 1)
drop_bodies(inbox, {dropped})
refresh(wait)
return {'dropped', reply}
