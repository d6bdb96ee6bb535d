-- Count the waits that are ready: of all tenants, or of one, or of a team of it. Changes nothing.
-- KEYS[1]  the prefix of the index
-- ARGV     namespace, "env:tenant" or "", team or ""
-- Returns  {how many, for how many ms the first of them has been, 1 if it stopped counting, else 0}
-- @include instant
-- @include keys
local SETS_AT_MOST = 500 -- each takes two commands
local at, count, oldest, seen, capped = instant(), 0, math.huge, 0, 0

local function due_of(set) -- names, of what is due
  return redis.call('ZRANGEBYSCORE', set, '-inf', written(at), 'LIMIT', '0', tostring(SETS_AT_MOST + 1))
end

local function count_team(of_tenant, team)
  if seen >= SETS_AT_MOST then capped = 1 return end
  seen = seen + 1
  local set = ready_key(of_tenant .. ':' .. team)
  local due = redis.call('ZCOUNT', set, '-inf', written(at))
  if due == 0 then return end
  count, oldest = count + due, math.min(oldest, tonumber(redis.call('ZRANGE', set, '0', '0', 'WITHSCORES')[2]))
end

local function count_tenant(of_tenant)
  if ARGV[3] ~= '' then return count_team(of_tenant, ARGV[3]) end
  for _, team in ipairs(due_of(ready_key(of_tenant))) do
    if capped == 1 then return end
    count_team(of_tenant, team)
  end
end

if ARGV[2] ~= '' then
  count_tenant(ARGV[2])
else
  for _, of_tenant in ipairs(due_of(ready_key('tenants'))) do
    if capped == 1 then break end
    count_tenant(of_tenant)
  end
end
return {count, count > 0 and math.max(math.floor(at - oldest), 0) or 0, capped}
