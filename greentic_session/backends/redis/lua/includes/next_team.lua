-- Whose turn it is: of all tenants, or of one, or of a team of it. An index, see ready_index.lua.
-- @include ready_index

-- In how many ms what is first in a set is due; nil where it is, or nothing is there.
local function wait_for(due) return due > instant() and math.max(math.ceil(due - instant()), 1) or nil end

-- The tenant, and its team where it has one; or (nil, an answer) where nothing is ready: {"idle"},
-- or {"idle", in how many ms there may be something}.
local function next_team(tenant, team)
  local of_tenant, of_team, when = tenant, team, nil
  if of_tenant == '' then
    of_tenant, when = first_of(ready_key(TENANTS))
    if not of_tenant then return nil, {'idle'} end
    if wait_for(when) then return nil, {'idle', wait_for(when)} end
  end
  if of_team == '' then
    of_team, when = first_of(ready_key(of_tenant))
    if of_team and tenant ~= '' and wait_for(when) then return nil, {'idle', wait_for(when)} end
  elseif team ~= '' then
    of_team, when = team, select(2, first_of(ready_key(of_tenant .. ':' .. team)))
    if not when then return nil, {'idle'} end
    if wait_for(when) then return nil, {'idle', wait_for(when)} end
  end
  if not of_team and tenant ~= '' then return nil, {'idle'} end
  if not of_team then rank_tenant(of_tenant, '-') end
  return of_tenant, of_team
end
