-- The end of a claim without a verdict, of a session that takes part in replies.
-- @include places
local function release(key, hash)
  local session = load(key)
  if not session then return redis.call('DEL', claim_key(key)) end -- another namespace's
  if verify_owner(session) then
    local wait = open_session(session, hash)
    let_go(wait)
    unclaim(wait)
    refresh(wait)
  else
    redis.call('DEL', claim_key(key))
  end
end
