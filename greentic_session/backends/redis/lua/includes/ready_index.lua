-- The index of what is ready, or will be, in sorted sets:
--   {ns}:ready:tenants                  "env:tenant" by rank: when its first wait is due, or when
--                                       it had its last turn, whichever is later
--   {ns}:ready:{env}:{tenant}           teams by when their first wait is due
--   {ns}:ready:{env}:{tenant}:{team}    "user:hash" of places by when they are due
-- and {ns}:ready:served, a hash: when each tenant had its last turn. So of all tenants that have
-- something the one whose turn is longest ago is the next, and whatever others have, each step
-- costs the logarithm of it. An entry may be of a wait that the reference has cleared: whoever
-- meets it looks. No entry lives longer than a wait: each key ends with the longest.
-- @include instant
-- @inline

local TENANTS, SERVED = 'tenants', 'served'

local function ready_parts(owner)
  local env, tenant, team, user = owner_path(owner):match('^([^:]*):([^:]*):([^:]*):([^:]*)$')
  local of_tenant = env .. ':' .. tenant
  return of_tenant, team, user, ready_key(of_tenant), ready_key(of_tenant .. ':' .. team)
end

local function first_of(set)
  local found = redis.call('ZRANGE', set, '0', '0', 'WITHSCORES')
  return found[1], tonumber(found[2])
end

local function rank_tenant(of_tenant, team, teams, places)
  local _, due = first_of(places)
  if due then redis.call('ZADD', teams, written(due), team) else redis.call('ZREM', teams, team) end
  local _, earliest = first_of(teams)
  local tenants, served = ready_key(TENANTS), ready_key(SERVED)
  if not earliest then
    redis.call('ZREM', tenants, of_tenant)
    redis.call('HDEL', served, of_tenant)
  else
    local turn = tonumber(redis.call('HGET', served, of_tenant) or 0)
    redis.call('ZADD', tenants, written(math.max(earliest, turn)), of_tenant)
  end
end

-- Let a key live until then at least. One that was just made has no lifetime yet.
local function outlive(key, is_made, ending)
  local ttl = redis.call('PTTL', key)
  if ttl == -2 then return end
  if is_made then
    if ending < math.huge then redis.call('PEXPIRE', key, left_of(ending)) end
  elseif ttl ~= -1 and ending == math.huge then
    redis.call('PERSIST', key)
  elseif ttl ~= -1 and ending - instant() > ttl then
    redis.call('PEXPIRE', key, left_of(ending))
  end
end

local function ready_since(owner, hash)
  local _, _, user, _, places = ready_parts(owner)
  return tonumber(redis.call('ZSCORE', places, user .. ':' .. hash) or 'inf')
end

-- Say when a place is due; never, where that is infinite.
local function put_ready(owner, hash, due, ends)
  local of_tenant, team, user, teams, places = ready_parts(owner)
  if due == math.huge then
    if redis.call('ZREM', places, user .. ':' .. hash) == 1 then rank_tenant(of_tenant, team, teams, places) end
    return
  end
  local made = {}
  for _, key in ipairs({places, teams, ready_key(TENANTS)}) do made[key] = redis.call('EXISTS', key) == 0 end
  redis.call('ZADD', places, written(due), user .. ':' .. hash)
  rank_tenant(of_tenant, team, teams, places)
  for key, is_made in pairs(made) do outlive(key, is_made, ends) end
end

-- Let a tenant have had its turn.
local function serve(owner, at)
  local of_tenant, team, _, teams, places = ready_parts(owner)
  redis.call('HSET', ready_key(SERVED), of_tenant, written(at))
  local ttl = redis.call('PTTL', ready_key(TENANTS))
  if ttl == -1 then redis.call('PERSIST', ready_key(SERVED)) else redis.call('PEXPIRE', ready_key(SERVED), math.max(ttl, 1)) end
  rank_tenant(of_tenant, team, teams, places)
end
