-- Claim a wait that is ready: of all tenants, or of one, or of a team of it.
-- KEYS[1]  the prefix of the index
-- ARGV     namespace, "env:tenant" or "", team or "", token, idempotency key of a new turn, lease
--          in ms
-- Returns  {"idle"}; {"idle", in how many ms there may be something}; {"again"} where what was met
--          was ready no more; {"claimed", the owner, then what told_claim in places.lua tells:
--          instead of the number of the scope that as JSON}
-- @include ready_index
local tenant, team, token, turn_key, lease = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local MET_AT_MOST, MADE_MS = 16, 60000

-- In how many ms what is first in a set is due; nil where it is, or nothing is there.
local function wait_for(due) return due > instant() and math.max(math.ceil(due - instant()), 1) or nil end

local name, due = first_of(ready_key(tenant == '' and TENANTS or team == '' and tenant or tenant .. ':' .. team))
if not name then return {'idle'} end
if wait_for(due) then return {'idle', wait_for(due)} end
-- @include places

-- Claim the first wait of a team, or see that it has none that is ready.
local function claim_first(of_tenant, of_team)
  local place, when = first_of(ready_key(of_tenant .. ':' .. of_team))
  if not place or wait_for(when) then return rank_tenant(of_tenant, of_team) end
  local user, hash = place:match('^(.*):(%x+)$')
  local owner = owner_of_path(of_tenant .. ':' .. of_team .. ':' .. user)
  local wait, inbox = open_place(owner, hash)
  if not wait then
    put_ready(owner, hash, math.huge)
    serve(of_tenant, of_team, instant()) -- it may have many of these: others have their turns in between
  elseif due_at(wait, inbox.replies, instant(), when) > instant() then
    wait.was_due = when
    refresh(wait) -- the reference has parked it anew
  else
    serve(of_tenant, of_team, instant())
    local scope = redis.call('HGET', replies_key(owner, hash), SCOPE_OF_PLACE)
      or redis.call('HGET', record_key(wait.key), SCOPE_JSON) or ''
    redis.call('SET', made_key(token), wait.key, 'PX', math.min(tonumber(lease), MADE_MS))
    return {'claimed', owner, unpack(start_turn(wait, token, turn_key, tonumber(lease), scope, text_of(wait.session)))}
  end
  opened = {}
end

for _ = 1, MET_AT_MOST do
  local of_tenant, of_team, when = tenant, team, nil
  if of_tenant == '' then
    of_tenant, when = first_of(ready_key(TENANTS))
    if not of_tenant then return {'idle'} end
    if wait_for(when) then return {'idle', wait_for(when)} end
  end
  if of_team == '' then
    of_team, when = first_of(ready_key(of_tenant))
    if of_team and tenant ~= '' and wait_for(when) then return {'idle', wait_for(when)} end
  elseif team ~= '' then
    of_team, when = team, select(2, first_of(ready_key(of_tenant .. ':' .. team)))
    if not when then return {'idle'} end
    if wait_for(when) then return {'idle', wait_for(when)} end
  end
  if of_team then
    local claimed = claim_first(of_tenant, of_team)
    if claimed then return claimed end
  elseif tenant ~= '' then
    return {'idle'}
  else
    rank_tenant(of_tenant, '-')
  end
end
return {'again'}
