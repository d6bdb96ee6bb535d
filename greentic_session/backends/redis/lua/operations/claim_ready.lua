-- Claim a wait that is ready: of all tenants, or of one, or of a team of it.
-- KEYS[1]  the prefix of the index
-- ARGV     namespace, "env:tenant" or "", team or "", token, idempotency key of a new turn, lease
--          in ms
-- Returns  {"idle"}; {"idle", in how many ms there may be something}; {"again"} where what was met
--          was ready no more; {"claimed", the owner, then what told_claim in places.lua tells:
--          instead of the number of the scope that as JSON}
-- @include instant
-- @include keys
local tenant, team, token, turn_key, lease = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local STALE_AT_MOST, MADE_MS = 16, 60000

local function first(set)
  local found = redis.call('ZRANGE', set, '0', '0', 'WITHSCORES')
  return found[1], tonumber(found[2])
end

local set = ready_key(tenant == '' and 'tenants' or team == '' and tenant or tenant .. ':' .. team)
local name, due = first(set)
if not name then return {'idle'} end
if due > instant() then return {'idle', math.max(math.ceil(due - instant()), 1)} end
-- @include places
local function next_place()
  local of_tenant, of_team = tenant, team
  if of_tenant == '' then of_tenant = first(ready_key(TENANTS)) end
  if not of_tenant then return nil end
  if of_team == '' then of_team = first(ready_key(of_tenant)) end
  if not of_team then return nil end
  local place, when = first(ready_key(of_tenant .. ':' .. of_team))
  if not place then return nil end
  local user, hash = place:match('^(.*):(%x+)$')
  return owner_of_path(of_tenant .. ':' .. of_team .. ':' .. user), hash, when
end

for _ = 1, STALE_AT_MOST do
  local owner, hash, when = next_place()
  if not owner then return {'idle'} end
  local at = instant()
  if when > at then return {'idle', math.max(math.ceil(when - at), 1)} end
  local wait, inbox = open_place(owner, hash)
  if not wait then
    put_ready(owner, hash, math.huge)
  elseif due_at(wait, inbox.replies, at, when) > at then
    refresh(wait) -- the reference has parked it anew
    opened = {}
  else
    serve(owner, at)
    local key = record_key(wait.key)
    local scope = redis.call('HGET', replies_key(owner, hash), SCOPE_OF_PLACE) or redis.call('HGET', key, SCOPE_JSON) or ''
    redis.call('SET', made_key(token), wait.key, 'PX', math.min(tonumber(lease), MADE_MS))
    return {'claimed', owner, unpack(start_turn(wait, token, turn_key, tonumber(lease), scope, text_of(wait.session)))}
  end
end
return {'again'}
