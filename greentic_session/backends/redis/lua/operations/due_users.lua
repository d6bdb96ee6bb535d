-- Tell which users may have something that is ready, on a cluster: of all tenants, or of one, or of
-- a team of it. Changes nothing.
-- KEYS[1]  the prefix of the index
-- ARGV     namespace, what due_teams.lua reads, how many users at most
-- Returns  {the owners' paths, {} or if there are more where the next step goes on, as two numbers}
-- @include due_teams
local found, most = {}, tonumber(ARGV[6])

local rest = visit_due_teams(function(of_tenant, team)
  local set, left = ready_key(of_tenant .. ':' .. team), most - #found
  local due = redis.call('ZRANGEBYSCORE', set, '-inf', written(instant()), 'LIMIT', '0', tostring(left + 1))
  for number = 1, math.min(#due, left) do found[#found + 1] = of_tenant .. ':' .. team .. ':' .. due[number] end
  return #due <= left
end)
return {found, rest}
