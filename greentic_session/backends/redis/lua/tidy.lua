-- Remove what leads nowhere among what a purged tenant has left.
-- KEYS[1]  the front of all keys
-- ARGV     namespace, env, tenant, team or "", user or "", keys without the namespace and the colon after it
-- Returns  {how many were looked at, and no more once it has cost enough; how many were removed}. It may be none that was
--          looked at: of a large set only a part was
-- @include _rules
local removed, looked, left = 0, 0, false

local function is_meant(owner)
  local env, tenant, team, user = owner:match('^([^:]*):([^:]*):([^:]*):([^:]*)$')
  return env == ARGV[2] and tenant == ARGV[3] and (ARGV[4] == '' or team == ARGV[4]) and (ARGV[5] == '' or user == ARGV[5])
end

local function owner_of(rest)
  return (rest:gsub('^([^:]*:[^:]*:)%-:', '%1:'))
end

local tidy = {}

function tidy.own(key)
  local owner = redis.call('HGET', own_key(key), 'o')
  if owner and is_meant(owner) and redis.call('EXISTS', session_key(key)) == 0 then forget(key) end
end

function tidy.scope(rest)
  local place, hash = rest:match('^(.*):(%x+)$')
  local owner = place and owner_of(place)
  if owner and is_meant(owner) then find(owner, hash) end
end

function tidy.set(rest)
  if is_meant(owner_of(rest)) then left = not mend(owner_of(rest)) end
end

function tidy.mending(rest)
  if is_meant(owner_of(rest)) and redis.call('EXISTS', ns .. ':waits:user:' .. rest) == 0 then
    redis.call('DEL', ns .. ':mending:' .. rest)
  end
end

function tidy.pointer(rest)
  local key = is_meant(owner_of(rest)) and redis.call('GET', ns .. ':user:' .. rest)
  if key and redis.call('EXISTS', session_key(key)) == 0 then redis.call('DEL', ns .. ':user:' .. rest) end
end

-- The check that is due goes on where writes would: what it names may be gone for good.
function tidy.endless()
  check_endless(due_endless())
end

local KINDS = {
  {'own:', tidy.own}, {'waits:scope:', tidy.scope}, {'waits:user:', tidy.set}, {'scopes:', tidy.set}, {'user:', tidy.pointer},
  {'mending:', tidy.mending}, {'endless:', tidy.endless},
}
for number = 6, #ARGV do
  if left or is_enough() then break end
  local name = ARGV[number]
  for _, kind in ipairs(KINDS) do
    if name:sub(1, #kind[1]) == kind[1] then
      local there = redis.call('EXISTS', ns .. ':' .. name)
      pcall(kind[2], name:sub(#kind[1] + 1)) -- something of a wrong type is nothing of ours
      removed = removed + there - redis.call('EXISTS', ns .. ':' .. name)
      break
    end
  end
  if not left then looked = looked + 1 end
end
return {looked, removed}
