-- Waits and their scopes: what waits where, and entries that lead nowhere.
-- @include belongings
-- @include claims
-- @include lasting
-- @include loading
-- @include wait_index
-- Whether a scope key that names this session tells the truth.
local function waits_at(session, owner, hash)
  if session.owner ~= owner then return false end
  if (session.owner_written and session.scope_hash == hash) or not is_known(session) then return true end
  -- The reference may have registered the same text since. We keep a session without a wait out of
  -- its user's set, and the reference adds to the set before it writes the scope key. A wait that
  -- has no lifetime tells nothing: a scope key that has none either was written since, unless it
  -- may be left from before we parked the session anew.
  if session.scope_hash == '' then return redis.pcall('SISMEMBER', set_key(owner), session.key) == 1 end
  return session.ttl == -1 and not session.reparked and redis.call('PTTL', scope_key(owner, hash)) == -1
end

-- Whether it was the reference that parked a session where it waits: such a wait has no deadline.
local function is_theirs(session, hash)
  return not session.owner_written or session.scope_hash ~= hash or is_rewritten(session)
end

-- Remove a scope key, if it leads to this session.
local function unlink_scope(owner, hash, key)
  local scope = scope_key(owner, hash)
  if not leads_to(scope, key) then return end
  redis.call('DEL', scope)
  redis.pcall('ZREM', index_key(owner), hash)
end

-- Remove what leads to a session that is not there, as far as our record knows; never fails a read
-- (on a replica it cannot). The pointer of `heir` stays: whose session the key gets.
local function discard_leftovers(key, heir)
  local own = redis.pcall('HMGET', record_key(key), OWNER, SCOPE_HASH, LATEST_OF)
  if own[1] and own[2] and own[2] ~= '' then pcall(unlink_scope, own[1], own[2], key) end
  if own[3] and own[3] ~= heir and leads_to(pointer_key(own[3]), key) then redis.pcall('DEL', pointer_key(own[3])) end
  redis.pcall('DEL', unpack(keys_beside(key)))
  unnote_lasting(key)
end

-- Give a session its lifetime back which an update of the reference's has taken: our record still
-- has it. Where the reference has registered the session anew, without a lifetime, its scope key
-- has none either, or it is in its user's set.
local function restore_lifetime(session)
  if session.ttl ~= -1 or not session.owner_written or session.owner_written ~= session.owner then return end
  local life = redis.call('PTTL', record_key(session.key))
  if life < 0 then return end
  if session.scope_hash == '' then
    if redis.pcall('SISMEMBER', set_key(session.owner_written), session.key) ~= 0 then return end
  else
    local scope = scope_key(session.owner_written, session.scope_hash)
    if not leads_to(scope, session.key) or redis.call('PTTL', scope) < 0 then return end
  end
  redis.call('HSET', record_key(session.key), MOVED, '1') -- the lifetimes do not tell any more that it wrote
  expire(session_key(session.key), life)
  session.written_by_others, session.ttl = true, life
end

-- See that a user's set outlives a wait that was found: the reference may have left it with too
-- short a lifetime.
local function extend_set(owner, session)
  local set = set_key(owner)
  local ttl = redis.call('PTTL', set)
  if ttl == -2 then redis.pcall('SADD', set, session.key) end
  if ttl == -2 or (ttl ~= -1 and (session.ttl == -1 or ttl < session.ttl - 5)) then pcall(expire, set, session.ttl) end
end

-- The session that waits at a scope; a stale entry is removed.
local function find_wait(owner, hash)
  local key = redis.call('GET', scope_key(owner, hash))
  if not key then return nil end
  local session = load(key)
  if session then verify_owner(session) end
  if session and waits_at(session, owner, hash) then
    if session.scope_hash == hash then
      pcall(restore_lifetime, session)
    else
      redis.pcall('SADD', set_key(owner), key) -- the reference has moved it; its member may be gone with an earlier wait
    end
    extend_set(owner, session)
    return session
  end
  -- The reference's team "-" has the keys of no team: what is true for that one stays.
  local others = session and session.owner and session.owner ~= owner
  if others and owner_path(session.owner) == owner_path(owner) then return nil end
  redis.pcall('DEL', scope_key(owner, hash))
  redis.pcall('ZREM', index_key(owner), hash)
  if not session then
    redis.pcall('SREM', set_key(owner), key)
    discard_leftovers(key)
  end
  return nil
end

-- Whether a member of its owner's set is a wait.
local function is_wait(session, owner)
  if session.owner ~= owner then return false end
  local parked = session.owner_written and session.scope_hash ~= ''
  if parked and leads_to(scope_key(owner, session.scope_hash), session.key) then return true end
  return session.scope_hash == '' or not is_known(session) -- see waits_at
end

-- Whether an operation by key reaches a session of `owner` for the caller's context `ctx`: they are
-- the same but for the user, which one of them does not have. (A context without a user is a
-- runner's: it reaches every user of its team.)
local function reaches(ctx, owner)
  return owner and (owner == ctx or owner == ctx:match('^(.*:)[^:]*$') or ctx == owner:match('^(.*:)[^:]*$'))
end
