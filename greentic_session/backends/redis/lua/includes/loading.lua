-- What is known of a session: a table of
--   key, ttl (ms, -1 for ever), head (of its text), text (if it was read)
--   owner             whose it is, as its text says; nil where nobody can tell
--   owner_written, scope_hash, pointer_owner, text_sha   of our record
--   written_by_others, unseen, reparked                  flags of our record, true or false
--   place             of our record: where it takes part in replies and deadlines; nil where it
--                     does not
--   nonce, pointer_reach                                 of our record, on a cluster
-- @include record
-- @include identity
-- @include bounds
-- @include decoded_owner
-- @include namespaces
-- @inline
local function text_of(session)
  if not session.text then
    session.text = redis.call('GET', session_key(session.key))
    bytes_read = bytes_read + #session.text
  end
  return session.text
end

-- Whether the stored text is what we wrote.
local function fits(session)
  if session.fits == nil then
    session.fits = session.text_sha and redis.sha1hex(text_of(session)) == session.text_sha or false
  end
  return session.fits
end

-- Whether the stored text is a session for certain: we wrote it, as one.
local function is_session(session)
  return fits(session) and not session.unseen
end

-- The owner of a session, as whoever decodes its text will find it; nil where nobody can tell.
-- Our record is believed for the text that we wrote, and for one that is no session. An operation
-- on one session asks this first: a prefix may name another owner than what comes behind it.
local function verify_owner(session)
  local owner = decoded_owner(text_of(session))
  if owner then session.owner = owner
  elseif owner == nil and not is_session(session) then session.owner = nil
  else session.owner = session.owner or session.owner_written or nil end
  return session.owner
end

-- What is known of a live session; nil if there is none, or if it is another namespace's. `ttl` is
-- in ms, -1 for ever.
local function load(key)
  local ttl = redis.call('PTTL', session_key(key))
  if ttl == -2 then return nil end
  local elsewhere = not in_slot() and readings(key, session_key(''):sub(1, -2))
  if elsewhere and redis.call('TYPE', session_key(key)).ok ~= 'string' then return nil end
  local own = redis.call('HMGET', record_key(key), OWNER, SCOPE_HASH, LATEST_OF, TEXT_SHA, NONCE, POINTER_REACH,
    MOVED, UNSEEN, REPARKED, PLACE)
  local session = {
    key = key, ttl = ttl, owner_written = own[1], scope_hash = own[2] or '', pointer_owner = own[3], text_sha = own[4],
    nonce = own[5], pointer_reach = tonumber(own[6]),
    written_by_others = own[7] == '1', unseen = own[8] == '1', reparked = own[9] == '1', place = own[10],
  }
  session.head = redis.call('GETRANGE', session_key(key), '0', '511')
  session.owner = identity(session.head)
    or identity(redis.call('GETRANGE', session_key(key), '0', '65535')) -- ids may be long, texts longer
    or verify_owner(session)
  if elsewhere and is_of_longer(ns, session, elsewhere) then return nil end
  if not session.owner_written and not in_slot() and is_of_shorter(ns, key) then return nil end
  return session
end

local function leads_to(key, value)
  local found = redis.pcall('GET', key)
  return found == value
end

-- Whether the lifetimes of a session and its record differ. We set both in one script; the
-- reference knows one of them.
local function is_rewritten(session)
  local own = redis.call('PTTL', record_key(session.key))
  return (own == -1) ~= (session.ttl == -1) or math.abs(own - session.ttl) > APART_MS
end

-- Whether the stored text is what we wrote, and all that we know is as it was then.
local function is_unchanged(session)
  return session.owner_written and not session.written_by_others and fits(session)
end

-- Whether our record knows where the session waits. Else only the reference does: it alone wrote,
-- or wrote since.
local function is_known(session)
  return is_unchanged(session) and not is_rewritten(session)
end
