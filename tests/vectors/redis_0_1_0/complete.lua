-- Remove the session of a live claim.
-- KEYS[1]  the claim
-- ARGV     namespace, session key, token
-- Returns  1, or on a cluster the nonce of its reservation; 0 if the claim is over
-- @include _index
-- @include _front
local key, token = ARGV[2], ARGV[3]

-- Where all is as usual: we wrote the session last, it waits where it was claimed, and it is on no cluster.
-- Returns whose it was, and whether the user's set is in order; nil if nothing was done.
local function remove()
  local claim = redis.pcall('GET', KEYS[1])
  if type(claim) ~= 'string' or claim:sub(1, #token + 1) ~= token .. ':' then return nil end
  local hash, session, own = claim:sub(#token + 2), ARGV[1] .. ':session:' .. key, ARGV[1] .. ':own:' .. key
  local known = redis.call('HMGET', own, 'o', 's', 'p', 'g')
  local owner = known[1]
  if not owner or known[2] ~= hash or known[3] or known[4] then return nil end
  local env, tenant, team, user = owner:match('^([^:]*):([^:]*):([^:]*):([^:]*)$')
  local front = front_of(env, tenant, team, user)
  if redis.call('GETRANGE', session, '0', tostring(#front - 1)) ~= front then return nil end
  local place = env .. ':' .. tenant .. ':' .. (team == '' and '-' or team) .. ':' .. user
  local scope, pointer = ARGV[1] .. ':waits:scope:' .. place .. ':' .. hash, ARGV[1] .. ':user:' .. place
  if redis.pcall('GET', scope) ~= key then return nil end
  local is_latest = redis.pcall('GET', pointer) == key

  redis.call('DEL', session, own, KEYS[1], scope, is_latest and pointer or scope)
  local set, index = ARGV[1] .. ':waits:user:' .. place, ARGV[1] .. ':scopes:' .. place
  redis.pcall('ZREM', index, hash)
  redis.pcall('SREM', set, key)
  local known_types, settled = pcall(settle, set, index)
  return owner, known_types and settled
end

local owner, settled = remove()
if settled then return 1 end
-- @include _rules
if owner then
  mend(owner)
  return 1
end
local session = look(key)
local hash = session and claimed_at(key, token)
if not hash then return 0 end
if session.owner then cut(session.owner, hash, key) end
return drop(session)
