-- The wait at a scope where all is as usual, in as few commands as it takes: the payload begins with the JSON that names the
-- owner, both fields of each pair alike; our record says that the session waits there; and the user's set outlives it. That
-- is what `find` in _rules.lua would find out, too. Whose the scope is, and its hash, are read from its key: a request that is
-- short travels faster, and Redis reads more of them at a time.
-- @include _front
local ns = ARGV[1]
local place = KEYS[1]:sub(#ns + 14, -66) -- {ns}:waits:scope:{place}:{64 hex digits}
local env, tenant, team, user = place:match('^([^:]*):([^:]*):([^:]*):([^:]*)$')
if team == '-' then team = '' end
local owner = env .. ':' .. tenant .. ':' .. team .. ':' .. user

-- Returns session key, text, lifetime in ms; false if nothing is there; nil if it is for the rules to say.
local function usual(scope)
  local key = redis.call('GET', scope)
  if not key then return false end
  local text = redis.call('GET', ns .. ':session:' .. key)
  local own = redis.call('HMGET', ns .. ':own:' .. key, 'o', 's')
  if not text or own[1] ~= owner or own[2] ~= scope:sub(-64) then return nil end
  local front = front_of(env, tenant, team, user)
  if text:sub(1, #front) ~= front then return nil end
  local ttl, kept = redis.call('PTTL', ns .. ':session:' .. key), redis.call('PTTL', ns .. ':waits:user:' .. place)
  if kept == -1 or (ttl ~= -1 and kept >= ttl - 5) then return key, text, ttl end
  return nil
end
