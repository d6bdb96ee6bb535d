-- Teams with something that is due: of all tenants, or of one, or one of its own. Some in a step,
-- so that nobody waits for it: what changes between two steps may be missed, or met twice.
-- @include instant
-- @include keys
local SETS_AT_MOST = 100 -- each takes two or three commands

-- Call `visit` with tenant and team, until it returns false. ARGV[2] is "env:tenant" or "", ARGV[3] a
-- team or "", ARGV[4] how many tenants were visited before, ARGV[5] how many teams of the next one.
-- Returns {}, or if there are more of them {ARGV[4], ARGV[5] of the next step}.
local function visit_due_teams(visit)
  local tenants, teams, left = tonumber(ARGV[4]), tonumber(ARGV[5]), SETS_AT_MOST

  local function due_of(set, from) -- names, of what is due
    return redis.call('ZRANGEBYSCORE', set, '-inf', written(instant()), 'LIMIT', tostring(from), tostring(left + 1))
  end

  local function visit_teams(of_tenant)
    for _, team in ipairs(ARGV[3] ~= '' and {ARGV[3]} or due_of(ready_key(of_tenant), teams)) do
      if left == 0 or not visit(of_tenant, team) then return false end
      left, teams = left - 1, teams + 1
    end
    teams = 0
    return true
  end

  local page = ARGV[2] ~= '' and {ARGV[2]} or due_of(ready_key('tenants'), tenants)
  for _, of_tenant in ipairs(page) do
    if not visit_teams(of_tenant) then return {tenants, teams} end
    tenants = tenants + 1
  end
  return #page > SETS_AT_MOST and {tenants, 0} or {}
end
