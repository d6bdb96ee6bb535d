-- Claim the wait at a place that the index names as ready since `when`. Returns its claim, as
-- told_claim in places.lua tells it: instead of the number of the scope that as JSON; nil where it
-- is not ready by now, and whether that is because nothing waits there. The index knows then.
-- Reads  token, turn_key, lease (in ms), MADE_MS
-- @include places
local function claim_place(owner, hash, when)
  local wait, inbox = open_place(owner, hash)
  if not wait then
    put_ready(owner, hash, math.huge)
    return nil, true
  end
  if due_at(wait, inbox.replies, instant(), when) > instant() then
    wait.was_due = when
    refresh(wait) -- the reference has parked it anew
    return nil, false
  end
  local scope = redis.call('HGET', replies_key(owner, hash), SCOPE_OF_PLACE)
    or redis.call('HGET', record_key(wait.key), SCOPE_JSON) or ''
  redis.call('SET', made_key(token), wait.key, 'PX', math.min(tonumber(lease), MADE_MS))
  return start_turn(wait, token, turn_key, tonumber(lease), scope, text_of(wait.session))
end
