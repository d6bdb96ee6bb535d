-- The index of what is ready, or will be, in sorted sets:
--   {ns}:ready:tenants                "env:tenant" by rank: when its first wait is due, or when it
--                                     had its last turn, whichever is later
--   {ns}:ready:{env}:{tenant}         teams by when their first wait is due
--   {ns}:ready:{env}:{tenant}:{team}  "user:hash" of places by when they are due
-- and {ns}:ready:served, a hash: when each tenant had its last turn. So of all tenants that have
-- something the one whose turn is longest ago is the next, and whatever others have, each step
-- costs the logarithm of it. A team and a tenant may be named too early, never too late: where the
-- first place goes, nobody looks for the next one until claim_ready.lua meets them. An entry may be
-- of a wait that the reference has cleared: who meets it looks. No entry outlives its wait for
-- long: a place's key lives as long as the longest wait in it and an hour, the others as long as
-- that.
-- @include instant
-- @include keys
-- @inline
local TENANTS, SERVED = 'tenants', 'served'
-- On a cluster: of each user's entry the nonce, when it ends, and until when somebody looks there.
local NONCES, ENDS, LOOKED = 'nonces', 'ends', 'looked'
local SPARE_MS = 3600000

local function first_of(set)
  local found = redis.call('ZRANGE', set, '0', '0', 'WITHSCORES')
  return found[1], tonumber(found[2])
end

-- Bring the ranks of a team and its tenant in order.
local function rank_tenant(of_tenant, team)
  local teams, tenants, served = ready_key(of_tenant), ready_key(TENANTS), ready_key(SERVED)
  local _, due = first_of(ready_key(of_tenant .. ':' .. team))
  if due then redis.call('ZADD', teams, written(due), team) else redis.call('ZREM', teams, team) end
  local _, earliest = first_of(teams)
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
  local path = owner_path(owner)
  return tonumber(redis.call('ZSCORE', places_at(path), place_name(path, hash)) or 'inf')
end

-- Say when a place of a team is due, or on a cluster a user; never, where that is infinite.
local function put_name(of_tenant, team, name, due, ends)
  local places, teams = ready_key(of_tenant .. ':' .. team), ready_key(of_tenant)
  if due == math.huge then
    local gone = redis.call('ZREM', places, name)
    if gone == 1 and redis.call('EXISTS', places) == 0 then rank_tenant(of_tenant, team) end
    return
  end
  local left = redis.call('PTTL', places)
  redis.call('ZADD', places, written(due), name)
  local named = tonumber(redis.call('ZSCORE', teams, team) or 'inf')
  local rank = tonumber(redis.call('ZSCORE', ready_key(TENANTS), of_tenant) or 'inf')
  local is_short = left ~= -1 and ends - instant() > left
  local made = {}
  for _, key in ipairs(is_short and {places, teams, ready_key(TENANTS)} or {}) do
    made[key] = redis.call('EXISTS', key) == 0 or (key == places and left == -2)
  end
  if due < named or due < rank then rank_tenant(of_tenant, team) end
  for key, is_made in pairs(made) do outlive(key, is_made, ends + SPARE_MS) end
end

-- Say when a place is due; never, where that is infinite. In the slot of a user there is only the
-- set of places: what step_ends.lua asks.
local function put_ready(owner, hash, due, ends)
  local path = owner_path(owner)
  local name = place_name(path, hash)
  if not in_slot() then
    local of_tenant, team = path:match('^([^:]*:[^:]*):([^:]*):')
    return put_name(of_tenant, team, name, due, ends)
  end
  local places = places_at(path)
  if due == math.huge then return redis.call('ZREM', places, name) end
  local is_made = redis.call('EXISTS', places) == 0
  redis.call('ZADD', places, written(due), name)
  outlive(places, is_made, ends + SPARE_MS)
end

-- Take the entry of a user out, on a cluster.
local function forget_entry(path)
  local of_tenant, team, user = path:match('^([^:]*:[^:]*):([^:]*):(.*)$')
  put_name(of_tenant, team, user, math.huge)
  redis.call('HDEL', ready_key(NONCES), path)
  redis.call('ZREM', ready_key(ENDS), path)
end

-- Let a tenant have had its turn.
local function serve(of_tenant, team, at)
  redis.call('HSET', ready_key(SERVED), of_tenant, written(at))
  local ttl = redis.call('PTTL', ready_key(TENANTS))
  if ttl == -1 then redis.call('PERSIST', ready_key(SERVED))
  else redis.call('PEXPIRE', ready_key(SERVED), math.max(ttl, 1)) end
  rank_tenant(of_tenant, team)
end
