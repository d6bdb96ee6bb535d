-- List the waits of a user: up to 1,000 in one step, more of them in several.
-- KEYS     the user's set, its index
-- ARGV     namespace, owner, how the owner's payloads begin, how the owner's scope keys begin, ""
--          to begin or a cursor to go on; "0" to begin with the slow path
-- Returns  {"all", how many session keys, all of them in one text, a line each, in no order}: if
--          one is there twice, or there are more lines than keys, only the slow path tells what
--          waits. Else {"some", cursor, "0" if that was all; the server's run id, which such a
--          cursor is good for; list of session keys}. A cursor is that of SSCAN: what lived
--          throughout is in some answer
-- @include record
local set, index, prefix, scopes, cursor = KEYS[1], KEYS[2], ARGV[3], ARGV[4], ARGV[5]
local call, waits = redis.call, redis.call('SCARD', set)
local IN_ONE_STEP = 1000

-- Where the scopes lead that our records know, false for those that lead nowhere; nil where they
-- may not know all.
local function led_to()
  if waits < 2 then
    redis.pcall('UNLINK', index) -- left where the reference has cleared the others
    local key = call('SMEMBERS', set)[1]
    if not key then return {} end
    local hash = redis.pcall('HGET', record_key(key), SCOPE_HASH)
    local led = type(hash) == 'string' and redis.pcall('GET', scopes .. hash)
    return type(led) == 'string' and {led} or nil
  end
  local indexed = redis.pcall('ZCARD', index)
  if type(indexed) == 'table' or indexed > IN_ONE_STEP then return nil end
  -- SORT looks them up within Redis. (It counts among the commands that write, so a replica and a
  -- full server refuse it. It puts what it looks up in place of the first star, so a namespace has
  -- none.)
  local found = not scopes:find('*', 1, true) and redis.pcall('SORT', index, 'BY', 'nosort', 'GET', scopes .. '*')
  if found and not found.err then return found end
  found = {} -- on a cluster SORT looks nothing up
  for number, hash in ipairs(call('ZRANGE', index, '0', '-1')) do found[number] = redis.pcall('GET', scopes .. hash) end
  return found
end

-- Whether each is a session of the owner's.
local last = tostring(#prefix - 1) -- a number would be made a string for each
local function is_owners(key)
  return redis.pcall('GETRANGE', session_key(key), '0', last) == prefix -- something else than a text is nobody's
end

local function are_owners(keys)
  for number = 1, #keys do
    if not keys[number] or not is_owners(keys[number]) then return false end
  end
  return true
end

-- Whether each is in the set, too: the reference may have taken one out, and left the scope key
-- that leads to it.
local function are_members(keys)
  for start = 1, #keys, 1000 do
    local are_there = call('SMISMEMBER', set, unpack(keys, start, math.min(start + 999, #keys)))
    for number = 1, #are_there do
      if are_there[number] == 0 then return false end
    end
  end
  return true
end

local led = cursor == '' and waits <= IN_ONE_STEP and led_to()
if led and #led == waits and are_owners(led) and are_members(led) then
  return {'all', waits, table.concat(led, '\n')} -- a reply for each would take longer, there and here
end
-- @include session
local owner, keys = ARGV[2], {}

local function look_at(key)
  if inspect_member(owner, key, true) then keys[#keys + 1] = key end
end

if cursor == '' and waits <= FEW then
  for number, session in ipairs(rebuild_index(owner, true)) do keys[number] = session.key end
  return {'some', '0', '', keys}
end

-- Where most are led to by one scope each, only the others are looked at.
local function list_most()
  local times, rest = {}, {}
  for number = 1, #led do
    local key = led[number]
    if type(key) == 'string' then times[key] = (times[key] or 0) + 1 end
  end
  for _, key in ipairs(call('SMEMBERS', set)) do
    local list = times[key] == 1 and is_owners(key) and keys or rest
    list[#list + 1] = key
  end
  if #rest > STEP then return false end
  for _, key in ipairs(rest) do look_at(key) end
  return true
end

if led and list_most() then
  sync_or_repair(owner)
  return {'some', '0', '', keys}
end

local function is_usual(key)
  local own = redis.pcall('HMGET', record_key(key), OWNER, SCOPE_HASH)
  return own[1] == owner and own[2] and own[2] ~= '' and leads_to(scopes .. own[2], key) and is_owners(key)
end

keys = {}
local scanned = call('SSCAN', set, cursor == '' and '0' or cursor, 'COUNT', 2 * STEP)
for _, key in ipairs(scanned[2]) do
  if is_usual(key) then keys[#keys + 1] = key else look_at(key) end
end
if scanned[1] == '0' then sync_or_repair(owner) end
local server = redis.pcall('INFO', 'server')
return {'some', scanned[1], type(server) == 'string' and server:match('run_id:(%x+)') or '', keys}
