-- List the waits of a user.
-- KEYS     the user's set, its index
-- ARGV     namespace, owner, how the owner's payloads begin, how the owner's scope keys begin; "" for a thorough look
-- Returns  how many session keys, and all of them in one text, a line each, in no order; after a thorough look a list. If one is
--          there twice, or there are more lines than keys, only a thorough look tells what waits.
local set, index, front, scopes = KEYS[1], KEYS[2], ARGV[3], ARGV[4]
local call, waits = redis.call, redis.call('SCARD', set)

-- Where the scopes lead that our records know; nil where they may not know all.
local function led_to()
  if waits < 2 then
    redis.pcall('DEL', index) -- left where the reference has cleared the others
    local key = call('SMEMBERS', set)[1]
    if not key then return {} end
    local hash = redis.pcall('HGET', ARGV[1] .. ':own:' .. key, 's')
    local led = type(hash) == 'string' and redis.pcall('GET', scopes .. hash)
    return type(led) == 'string' and {led} or nil
  end
  if call('ZCARD', index) ~= waits then return nil end
  -- SORT looks them up within Redis. (It counts among the commands that write, so a replica and a full server refuse it.)
  local found = redis.pcall('SORT', index, 'BY', 'nosort', 'GET', scopes .. '*')
  if not found.err then return found end
  found = {} -- on a cluster SORT looks nothing up
  for number, hash in ipairs(call('ZRANGE', index, '0', '-1')) do found[number] = call('GET', scopes .. hash) end
  return found
end

-- Whether each is a session of the owner's.
local function are_owners(keys)
  local session, last = ARGV[1] .. ':session:', tostring(#front - 1) -- a number would be made a string for each
  local get = redis.pcall -- something else than a text is nobody's session
  for number = 1, #keys do
    local key = keys[number]
    if not key or get('GETRANGE', session .. key, '0', last) ~= front then return false end
  end
  return true
end

-- Whether each is in the set, too: the reference may have taken one out, and left the scope key that leads to it.
local function are_members(keys)
  for start = 1, #keys, 1000 do
    local are_there = call('SMISMEMBER', set, unpack(keys, start, math.min(start + 999, #keys)))
    for number = 1, #are_there do
      if are_there[number] == 0 then return false end
    end
  end
  return true
end

if scopes ~= '' then
  local keys = led_to()
  if keys and #keys == waits and are_owners(keys) and are_members(keys) then
    return {waits, table.concat(keys, '\n')} -- a reply for each would take longer, there and here
  end
end
-- @include _rules
local keys = {}
for number, session in ipairs(mend(ARGV[2], true)) do keys[number] = session.key end
return keys
