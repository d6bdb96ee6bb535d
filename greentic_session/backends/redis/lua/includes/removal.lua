-- The removal of sessions, and the end of a wait that is displaced.
-- @include lifetimes

-- On a cluster: let nobody store a session under a reservation any more. It is remembered for
-- longer than a call can be on its way.
local function bar_reservation(nonce) redis.call('SET', barred_key(nonce), '', 'PX', '120000') end

-- Take the scope of a wait out of the index of its user's waits.
local function unlist_scope(session)
  if session.owner_written and session.scope_hash ~= '' then
    redis.pcall('ZREM', index_key(session.owner_written), session.scope_hash)
  end
end

local function all_keys(session)
  local found = keys_beside(session.key)
  found[#found + 1] = session_key(session.key)
  for _, name in ipairs(leading(session)) do found[#found + 1] = name end
  return found
end

-- Remove a session with its claim and all that leads to it. Whoever drops many mends their users'
-- sets once, at the end. Returns the nonce of its reservation on a cluster, else false.
local function remove_session(session, unmended)
  local key = session.key
  if session.nonce then bar_reservation(session.nonce) end
  redis.call('DEL', unpack(all_keys(session)))
  unnote_lasting(key)
  unlist_scope(session)
  if session.owner then
    redis.pcall('SREM', set_key(session.owner), key)
    if not unmended then sync_or_repair(session.owner) end
  end
  return session.nonce
end

-- A session that was displaced stays readable, and is no wait any more.
local function end_wait(session, owner)
  local own = record_key(session.key)
  local unseen = not is_session(session) and '1' or ''
  -- Without a lifetime nothing tells whether the reference has registered the same text elsewhere.
  local moved = (not is_known(session) or (session.ttl == -1 and not session.reparked)) and '1' or ''
  local text = text_of(session)
  redis.call('HSET', own, OWNER, owner, SCOPE_HASH, '', TEXT_SHA, redis.sha1hex(text), TEXT_BYTES, #text,
    MOVED, moved, UNSEEN, unseen)
  redis.call('HDEL', own, SCOPE_JSON)
  expire_beside(session.key, session.ttl)
  redis.call('SREM', set_key(owner), session.key)
  unlist_scope(session)
end
