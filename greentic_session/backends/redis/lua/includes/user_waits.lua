-- The set of a user's waits, and its index: members and lifetimes, put in order after a change.
-- @include waits
-- Look at one member of a user's set: what is no wait goes. A thorough look returns the session,
-- too; another one takes our record's word where it says that the member waits. Returns its
-- lifetime in ms (nil: it is no wait), and the SHA-256 of its scope if our record has one.
-- @inline
local function inspect_member(owner, key, thorough)
  members_seen = members_seen + 1
  local ttl = redis.call('PTTL', session_key(key))
  if ttl == -1 and redis.call('PTTL', record_key(key)) >= 0 then -- an update of the reference's took its lifetime
    local read, session = pcall(load, key)
    if read and session and pcall(restore_lifetime, session) then ttl = session.ttl end
  end
  local own = ttl ~= -2 and redis.pcall('HMGET', record_key(key), OWNER, SCOPE_HASH) or {}
  local parked = own[1] == owner and own[2] and own[2] ~= '' and own[2] or nil
  if parked and not thorough then return ttl, parked end
  if ttl ~= -2 then
    local read, session = pcall(load, key) -- something else than a text under its key is no wait
    if read and session and is_wait(session, owner) then return ttl, parked, session end
  end
  redis.pcall('SREM', set_key(owner), key)
  if ttl == -2 then discard_leftovers(key) end
  return nil
end

-- Of a user with no more waits than these a script looks at all; of one with more, at a step of
-- them at a time.
local FEW, STEP = 64, 50

-- Look at every member of a small set: it lives as long as the longest wait in it; then make the
-- index anew, if there are several. Returns the waits, if the look was thorough. Never fails: it
-- comes last in a write, and reads do it too, on a replica as well, where it changes nothing.
local function rebuild_index(owner, thorough)
  local set, index = set_key(owner), index_key(owner)
  local members = redis.pcall('SMEMBERS', set)
  local waits, longest, left, entries = {}, nil, 0, {}
  if members.err then return waits end
  redis.pcall('UNLINK', index)
  for _, key in ipairs(members) do
    local ttl, parked, session = inspect_member(owner, key, thorough)
    if ttl then
      left = left + 1
      if longest ~= -1 and (ttl == -1 or ttl > (longest or -1)) then longest = ttl end
      if parked then entries[parked] = end_of(ttl) end
      waits[left] = session
    end
  end
  if longest then pcall(ensure_lifetime, set, longest) end
  if left > 1 then
    for hash, ending in pairs(entries) do redis.pcall('ZADD', index, ending, hash) end
    pcall(ensure_lifetime, index, longest)
  end
  return waits
end

local function left_until(ending)
  return ending == math.huge and -1 or ending - now()
end

-- Let a key live at least until then. (Whoever has not seen all waits must not shorten the life of
-- their set.)
local function lengthen(key, ending)
  local ttl = redis.call('PTTL', key)
  if ttl >= 0 and (ending == math.huge or ending > now() + ttl + 5) then expire(key, left_until(ending)) end
end

-- One step through a large set, and then one through its index: as `rebuild_index`, but the next
-- operation goes on where this one ends. {ns}:mending:{env}:{tenant}:{team or -}:{user}, a string,
-- tells where: "set" or "index", the cursor of SSCAN or ZSCAN, and the end of the longest wait that
-- is in no index. After the last step it is "clean", for a minute, with how many members are in no
-- index (waits of the reference's): while they are so many, there is nothing to do. Returns whether
-- it is so.
local MENDING_MS, CLEAN_MS = '3600000', '60000'

local function step_through_set(owner, cursor, longest)
  local index = index_key(owner)
  local scanned = redis.call('SSCAN', set_key(owner), cursor, 'COUNT', STEP)
  for _, key in ipairs(scanned[2]) do
    local ttl, parked = inspect_member(owner, key)
    if parked and not leads_to(scope_key(owner, parked), key) then
      ttl, parked = inspect_member(owner, key, true), nil -- the reference has moved it, or somebody else has its scope
    end
    if ttl and parked then
      redis.call('ZADD', index, end_of(ttl), parked)
    elseif ttl then
      longest = math.max(longest, tonumber(end_of(ttl)))
    end
  end
  return scanned[1], longest
end

local function step_through_index(owner, cursor)
  local set, index = set_key(owner), index_key(owner)
  local scanned = redis.call('ZSCAN', index, cursor, 'COUNT', STEP)
  for number = 1, #scanned[2], 2 do
    local hash = scanned[2][number]
    local key = redis.pcall('GET', scope_key(owner, hash))
    local leads = type(key) == 'string' and redis.pcall('HGET', record_key(key), SCOPE_HASH) == hash
    if not leads or redis.call('SISMEMBER', set, key) == 0 then redis.call('ZREM', index, hash) end
  end
  return scanned[1]
end

local function rebuild_step(owner)
  local set, index, state = set_key(owner), index_key(owner), mending_key(owner)
  local indexed, found = redis.pcall('ZCARD', index), redis.pcall('GET', state)
  if type(indexed) == 'table' then
    redis.call('UNLINK', index)
    indexed = 0
  end
  local part, cursor, longest = (type(found) == 'string' and found or ''):match('^(%a+) (%d+) (%w+)$')
  longest = tonumber(longest) or 0
  local last = math.max(last_end(index), longest)
  if part == 'clean' then
    local is_same = redis.call('SCARD', set) - indexed == tonumber(cursor)
      and redis.call('ZCOUNT', index, '-inf', now()) == 0
    if is_same then
      lengthen(set, last)
      lengthen(index, last_end(index))
      return true
    end
    part = nil
  end
  if not part then part, cursor, longest = 'set', '0', 0 end
  if part == 'set' then
    cursor, longest = step_through_set(owner, cursor, longest)
    if cursor == '0' then part = 'index' end
  else
    cursor = step_through_index(owner, cursor)
    if cursor == '0' then part = 'clean' end
  end
  local ending = last_end(index)
  last = math.max(ending, longest)
  if part ~= 'clean' then
    lengthen(set, last)
    lengthen(index, ending)
    redis.call('SET', state, part .. ' ' .. cursor .. ' ' .. string.format('%.0f', longest), 'PX', MENDING_MS)
    return false
  end
  if last > now() then ensure_lifetime(set, left_until(last)) end
  if ending > now() then ensure_lifetime(index, left_until(ending)) end
  local apart = math.max(redis.call('SCARD', set) - redis.call('ZCARD', index), 0)
  if apart == 0 then
    redis.call('DEL', state)
  else
    redis.call('SET', state, 'clean ' .. apart .. ' ' .. string.format('%.0f', longest), 'PX', CLEAN_MS)
  end
  return true
end

-- Bring a user's set and index in order, or of a large one a part. Never fails. Returns whether no
-- part is left.
local function repair_index(owner)
  local members = redis.pcall('SCARD', set_key(owner))
  if type(members) == 'table' then return true end
  if members > FEW then
    local stepped, ended = pcall(rebuild_step, owner)
    return not stepped or ended
  end
  rebuild_index(owner)
  return true
end

-- Bring a user's set in order after a change.
local function sync_or_repair(owner)
  local known, settled = pcall(sync_lifetimes, set_key(owner), index_key(owner))
  if not (known and settled) then repair_index(owner) end
end
