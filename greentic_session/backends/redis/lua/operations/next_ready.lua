-- Name the user who may have something that is ready, on a cluster: of all tenants, or of one, or
-- of a team of it. The tenant has had its turn. See ready_entries.py.
-- KEYS[1]  the prefix of the index
-- ARGV     namespace, "env:tenant" or "", team or "", a new nonce
-- Returns  {"idle"}; {"idle", in how many ms there may be somebody}; {"again"}; {"named", the
--          owner's path, nonce of the entry, the server's time in ms, for how many ms it lives}
-- @include next_team
local MET_AT_MOST, LOOKED_MS, CHOICE = 16, 1000, 64

-- Note that somebody looks at a user, unless somebody does so already.
local function look_at(path)
  local till = tonumber(redis.call('ZSCORE', ready_key(LOOKED), path) or 0)
  if till > instant() then return false end
  redis.call('ZADD', ready_key(LOOKED), written(instant() + LOOKED_MS), path)
  redis.call('PEXPIRE', ready_key(LOOKED), LOOKED_MS)
  return true
end

-- Whom to look at: who is due first, or where somebody looks there just now, who is due next.
local function choose(team, first)
  if look_at(team .. ':' .. first) then return first end
  local due = redis.call('ZRANGEBYSCORE', ready_key(team), '-inf', written(instant()), 'LIMIT', '1', tostring(CHOICE))
  for _, user in ipairs(due) do
    if look_at(team .. ':' .. user) then return user end
  end
  return first
end

for _ = 1, MET_AT_MOST do
  local of_tenant, of_team = next_team(ARGV[2], ARGV[3])
  if not of_tenant then return of_team end
  local user, when
  if of_team then
    user, when = first_of(ready_key(of_tenant .. ':' .. of_team))
    if not user or wait_for(when) then rank_tenant(of_tenant, of_team) else
      serve(of_tenant, of_team, instant())
      local team = of_tenant .. ':' .. of_team
      local path = team .. ':' .. choose(team, user)
      local nonce = redis.call('HGET', ready_key(NONCES), path)
      if not nonce then
        nonce = ARGV[4]
        redis.call('HSET', ready_key(NONCES), path, nonce)
      end
      local ends = tonumber(redis.call('ZSCORE', ready_key(ENDS), path) or 0)
      return {'named', path, nonce, written(instant()), math.max(math.floor(ends - instant()), 0)}
    end
  end
end
return {'again'}
