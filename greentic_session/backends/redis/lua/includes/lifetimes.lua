-- The lifetime of a session, of its record, and of all that leads to it.
-- @include belongings
-- @include owner_pointer
-- @include user_waits

-- Let a record that tells by its lifetime since when its session waits go on to tell that, where it
-- is to live for so long; -1 for ever.
local function keep_since(key, ttl)
  local since = redis.pcall('HGET', record_key(key), SINCE)
  local life = type(since) == 'string' and tonumber(since) or 0
  local left = life < 0 and redis.call('PTTL', record_key(key)) or -1
  if left < 0 then return end
  since = ttl ~= -1 and later_by(since, ttl - left) or redis.call('TIME')[1] - math.floor((-life - left) / 1000)
  redis.call('HSET', record_key(key), SINCE, since)
end

-- Give what lives as long as a session, but for its text, the session's lifetime.
local function expire_beside(key, ttl)
  keep_since(key, ttl)
  for _, one in ipairs(OF_SESSION) do
    if one.lives and one.kind ~= SESSION then expire(key_of_kind(one, key), ttl) end
  end
  if is_lasting(ttl) then note_lasting(key, ttl) else unnote_lasting(key) end
end

-- What lies at the place of a session that the reference has removed, and what tells of it, ends in
-- a day, if nobody comes by there before and sees to it (see open_place).
local function end_inbox(owner, hash, key)
  local path, inbox = owner_path(owner), replies_key(owner, hash)
  redis.pcall('ZREM', places_at(path), place_name(path, hash))
  local packed = redis.pcall('HGET', inbox, ORDER)
  local head = type(packed) == 'string' and cmsgpack.unpack(packed)
  if not head or head[1] ~= key then return end
  redis.call('PEXPIRE', inbox, CHECK_AFTER_MS)
  for number = 8, #head do
    if head[number][7] ~= '' then redis.call('PEXPIRE', delivered_at(path, head[number][7]), CHECK_AFTER_MS) end
  end
end

-- Check a few lasting sessions: what leads to one that is gone is removed, the others are due again
-- in a day, if they live as long.
local function check_lasting(due)
  for _, key in ipairs(due) do
    local ttl = redis.call('PTTL', session_key(key))
    if ttl ~= -2 then
      if is_lasting(ttl) then note_lasting(key, ttl) else unnote_lasting(key) end
    else
      local owner, place = redis.pcall('HGET', record_key(key), OWNER), redis.pcall('HGET', record_key(key), PLACE)
      if type(owner) == 'string' and type(place) == 'string' and #place == HASH_LENGTH then
        end_inbox(owner, place, key)
      end
      discard_leftovers(key)
      if type(owner) == 'string' then
        redis.pcall('SREM', set_key(owner), key)
        repair_index(owner)
      end
    end
  end
end

-- The keys that lead to a session, as far as we know, where they name it.
local function leading(session)
  local found = {}
  for _, one in ipairs(OF_USER) do
    local name = one.leading and one.leading(session)
    if name and leads_to(name, session.key) then found[#found + 1] = name end
  end
  return found
end

-- On a cluster: whether a session may live for so long, by its owner pointer: the one that it has,
-- or the one that `nonce` has reserved, which lives for `reach` ms. Anywhere else it may.
local function may_live(session, ttl, nonce, reach)
  if not session.nonce then return true end
  local left = session.pointer_life or pointer_left(session.ttl, session.pointer_reach)
  if nonce == session.nonce then left = math.max(left, tonumber(reach)) end
  session.pointer_life, session.pointer_left = left, left - math.max(ttl, 0)
  return left >= (ttl == -1 and FOR_GOOD or ttl)
end

-- On a cluster: see that a session which lives longer for what takes part in replies does not
-- outlive its owner pointer.
local function require_pointer(session, ttl)
  local reservation = session.nonce and rawget(redis, 'reservation')
  if not reservation then return end
  local nonce, reach = reservation()
  if not may_live(session, ttl, nonce, reach) then redis.refuse({'outlives', session.key, ttl}) end
end

-- Give a session, and all that leads to it, a lifetime.
local function set_lifetime(session, ttl)
  if session.owner_written and session.ttl and not session.written_by_others and is_rewritten(session) then
    redis.call('HSET', record_key(session.key), MOVED, '1')
  end
  require_pointer(session, ttl)
  if session.pointer_left then
    redis.call('HSET', record_key(session.key), POINTER_REACH, string.format('%.0f', session.pointer_left))
  end
  expire(session_key(session.key), ttl)
  expire_beside(session.key, ttl)
  for _, name in ipairs(leading(session)) do expire(name, ttl) end
  if session.owner_written and session.scope_hash ~= '' then
    redis.pcall('ZADD', index_key(session.owner_written), 'XX', end_of(ttl), session.scope_hash)
  end
  if session.owner then sync_or_repair(session.owner) end
  if is_lasting(ttl) then check_lasting(due_lasting()) end
end

-- Let a scope key live at least as long as a lease: nothing else reaches the reference's.
local function extend_key(key, lease)
  local ttl = redis.call('PTTL', key)
  if ttl >= 0 and ttl < lease then expire(key, lease) end
end
