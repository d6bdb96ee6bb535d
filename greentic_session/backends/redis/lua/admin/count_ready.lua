-- Count the waits that are ready: of all tenants, or of one, or of a team of it. Changes nothing.
-- KEYS[1]  the prefix of the index
-- ARGV     namespace, and what due_teams.lua reads
-- Returns  {how many, for how many ms the first of them has been; if there are more, where the next
--          step goes on, as two numbers}
-- @include due_teams
local count, oldest = 0, math.huge

local rest = visit_due_teams(function(of_tenant, team)
  local set = ready_key(of_tenant .. ':' .. team)
  local due = redis.call('ZCOUNT', set, '-inf', written(instant()))
  if due > 0 then
    count, oldest = count + due, math.min(oldest, tonumber(redis.call('ZRANGE', set, '0', '0', 'WITHSCORES')[2]))
  end
  return true
end)
return {count, count > 0 and math.max(math.floor(instant() - oldest), 0) or 0, unpack(rest)}
