-- Claim a wait that is ready: of all tenants, or of one, or of a team of it.
-- KEYS[1]  the prefix of the index
-- ARGV     namespace, "env:tenant" or "", team or "", token, idempotency key of a new turn, lease
--          in ms
-- Returns  {"idle"}; {"idle", in how many ms there may be something}; {"again"} where what was met
--          was ready no more; {"claimed", the owner, then what told_claim in places.lua tells:
--          instead of the number of the scope that as JSON}
-- @include record
-- @inline
local function fields_of(key) return call('HMGET', record_key(key), SCOPE_HASH, PLACE, DEADLINE, REST_END, RESUME, PUT_OFF, TURN, TOKEN, HELD, IS_NEW, SCOPE_JSON) end
local tenant, team, token, turn_key, lease = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local MET_AT_MOST, MADE_MS = 16, 60000
local call = redis.call

local name, due = unpack(call('ZRANGE', ready_key(tenant == '' and TENANTS or team == '' and tenant or tenant .. ':' .. team),
  '0', '0', 'WITHSCORES'))
if not name then return {'idle'} end
local time = call('TIME')
local at = time[1] * 1000 + time[2] / 1000
if tonumber(due) > at then return {'idle', math.max(math.ceil(due - at), 1)} end

-- The usual case of a deadline: a wait of ours that nobody has claimed, at whose place nothing
-- lies. No function is made for it.
repeat
  local of_tenant = tenant == '' and name or tenant
  local of_team = team ~= '' and team or tenant ~= '' and name or call('ZRANGE', ready_key(of_tenant), '0', '0')[1]
  if not of_team then break end
  local places = ready_key(of_tenant .. ':' .. of_team)
  local first = call('ZRANGE', places, '0', '1', 'WITHSCORES') -- and the next one, which is first then
  if not first[1] or tonumber(first[2]) > at then break end
  local user, hash = first[1]:match('^(.*):(%x+)$')
  local path = of_tenant .. ':' .. of_team .. ':' .. user
  local scope = scope_at(path, hash)
  -- @include fast_path
  if not key or known[2] ~= hash or known[5] ~= '1' or known[7] ~= '' or known[8] ~= '' or known[9] ~= '' then break end
  local deadline, rest_end, own = tonumber(known[3]) or math.huge, tonumber(known[4]) or 0, record_key(key)
  local lease_end = at + lease
  if deadline > at or tonumber(known[6]) ~= 0 or rest_end < lease_end then break end
  local text = call('GET', session)
  local env, of = of_tenant:match('^([^:]*):([^:]*)$')
  local within = of_team ~= '-' and '"team":"' .. of_team .. '","team_id":"' .. of_team .. '",' or ''
  local prefix = '{"tenant_ctx":{"env":"' .. env .. '","tenant":"' .. of .. '","tenant_id":"' .. of .. '",' .. within
    .. '"user":"' .. user .. '","user_id":"' .. user .. '",'
  if text:sub(1, #prefix) ~= prefix then break end -- as `payload_prefix` in keys.py; the client sees to the rest
  if ttl == -1 or math.abs(call('PTTL', own) - ttl) > APART_MS or math.abs(at + ttl - rest_end) > 5 then break end -- as `refresh` in places.lua
  if call('EXISTS', replies_at(path, hash), claim_key(key)) ~= 0 then break end
  local left = call('PTTL', places)
  if left ~= -1 and ttl > left then break end

  -- First: a full server refuses a script only before it has written.
  call('SET', claim_key(key), token .. ':' .. hash .. ':r', 'PX', lease)
  call('SET', made_key(token), key, 'PX', math.min(tonumber(lease), MADE_MS))
  call('HSET', own, TURN, '0 ' .. turn_key .. ' deadline:' .. string.format('%.3f', deadline), TOKEN, token)
  local again = string.format('%.3f', lease_end)
  call('ZADD', places, again, first[1])
  -- Its tenant has had its turn: see `serve` and `rank_tenant` in ready_index.lua.
  local next_due = first[4] and tonumber(first[4]) < lease_end and first[4] or again
  call('ZADD', ready_key(of_tenant), next_due, of_team)
  local earliest = call('ZRANGE', ready_key(of_tenant), '0', '0', 'WITHSCORES')[2]
  call('ZADD', ready_key(TENANTS), string.format('%.3f', math.max(earliest, at)), of_tenant)
  call('HSET', ready_key(SERVED), of_tenant, string.format('%.3f', at))
  local life = call('PTTL', ready_key(TENANTS))
  if life == -1 then call('PERSIST', ready_key(SERVED)) else call('PEXPIRE', ready_key(SERVED), math.max(life, 1)) end
  local owner = of_team == '-' and of_tenant .. '::' .. user or path
  return {'claimed', owner, known[11] or '', key, text, string.format('%.3f', deadline), turn_key, 1, 1, known[10] == '1' and 1 or 0}
until true

-- @include next_team
precise = at
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
