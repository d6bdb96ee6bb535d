-- Tell which users may have something that is ready, on a cluster: of all tenants, or of one, or of
-- a team of it. Changes nothing.
-- KEYS[1]  the prefix of the index
-- ARGV     namespace, "env:tenant" or "", team or ""
-- Returns  {1 if there are more, else 0, the owners' paths}
-- @include instant
-- @include keys
local MOST = 500 -- users; each takes a command elsewhere
local found, seen = {0}, 0

local function due_of(set) -- names, of what is due
  return redis.call('ZRANGEBYSCORE', set, '-inf', written(instant()), 'LIMIT', '0', tostring(MOST + 1))
end

local function add_team(of_tenant, team)
  for _, user in ipairs(due_of(ready_key(of_tenant .. ':' .. team))) do
    if #found > MOST then
      found[1] = 1
      return
    end
    found[#found + 1] = of_tenant .. ':' .. team .. ':' .. user
  end
end

for _, of_tenant in ipairs(ARGV[2] ~= '' and {ARGV[2]} or due_of(ready_key('tenants'))) do
  for _, team in ipairs(ARGV[3] ~= '' and {ARGV[3]} or due_of(ready_key(of_tenant))) do
    seen = seen + 1
    if seen > MOST then found[1] = 1 end
    if found[1] == 1 then return found end
    add_team(of_tenant, team)
  end
end
return found
