-- Claim a wait that is ready: of all tenants, or of one, or of a team of it.
-- KEYS[1]  the prefix of the index
-- ARGV     namespace, "env:tenant" or "", team or "", token, idempotency key of a new turn, lease
--          in ms
-- Returns  {"idle"}; {"idle", in how many ms there may be something}; {"again"} where what was met
--          was ready no more; {"claimed", the owner, then what told_claim in places.lua tells:
--          instead of the number of the scope that as JSON}
-- @include next_team
local tenant, team, token, turn_key, lease = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local MET_AT_MOST, MADE_MS = 16, 60000

local name, due = first_of(ready_key(tenant == '' and TENANTS or team == '' and tenant or tenant .. ':' .. team))
if not name then return {'idle'} end
if wait_for(due) then return {'idle', wait_for(due)} end
-- @include claim_place

-- Claim the first wait of a team, or see that it has none that is ready.
local function claim_first(of_tenant, of_team)
  local place, when = first_of(ready_key(of_tenant .. ':' .. of_team))
  if not place or wait_for(when) then return rank_tenant(of_tenant, of_team) end
  local user, hash = place:match('^(.*):(%x+)$')
  local owner = owner_of_path(of_tenant .. ':' .. of_team .. ':' .. user)
  local claimed, is_gone = claim_place(owner, hash, when)
  -- It may have many that are gone: others have their turns in between.
  if claimed or is_gone then serve(of_tenant, of_team, instant()) end
  if claimed then return {'claimed', owner, unpack(claimed)} end
  opened = {}
end

for _ = 1, MET_AT_MOST do
  local of_tenant, of_team = next_team(tenant, team)
  if not of_tenant then return of_team end
  local claimed = of_team and claim_first(of_tenant, of_team)
  if claimed then return claimed end
end
return {'again'}
