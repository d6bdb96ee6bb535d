-- @include claims
-- @include decoded_owner
-- @include endless
-- @include wait_index
-- @include kinds
-- @include namespaces

-- What the scripts share.
--
-- ARGV[1] is always the namespace. An owner is "env:tenant:team:user", with an empty team or user
-- for none (ids hold no colon). Beside each session there is a record of our own, the hash
-- {ns}:own:{session key}:
--   o  the owner of what we wrote
--   s  the SHA-256 of the scope where it waits, empty if it is no wait
--   w  that scope as JSON, for whoever walks the store; a copy of a wait that only the reference
--      wrote has none
--   p  the owner whose latest session it is, if it is one
--   h  the SHA-1 of the text that we wrote last
--   n  its length in bytes
--   f  "1" where the reference wrote between our last registering and our last write: then scope
--      keys are believed
--   x  "1" where it was parked over a session: scope keys of the reference's from before may lead
--      to it
--   c  "1" where that text was somebody else's, and nobody has seen yet whether it is a session at
--      all
-- and on a cluster, where owner_pointers.py tells what for:
--   g  the nonce of the reservation under which it was stored
--   u  for how many ms the owner pointer outlives the session, at least
-- It lives as long as the session. {ns}:claim:{session key} holds a claim: its token, a colon, and
-- the SHA-256 of the scope where it was made. It lives as long as its lease. {ns}:endless:sessions
-- names the sessions without a lifetime; see endless.lua.
--
-- Every script reads and decides first, then writes: nothing is ever half written. (What it cleans
-- up on the way was not true before.)

-- The owner that the front of a payload names; nil if it does not begin as the reference and we
-- write it. No JSON is decoded: ids have no escapes, and the fields have a fixed order.
local PAIR = '"([%w._-]+)","'
local USUAL = '^{"tenant_ctx":{"env":' .. PAIR .. 'tenant":' .. PAIR .. 'tenant_id":"%2","'
local IN_TEAM = USUAL .. 'team":' .. PAIR .. 'team_id":"%3","user":' .. PAIR .. 'user_id":"%4","'
local ID = '"([%w._-]+)"()'
local FRONT = '^{"tenant_ctx":{"env":' .. ID .. ',"tenant":' .. ID .. ',"tenant_id":' .. ID
local TEAM, TEAM_ID, USER, USER_ID = '^,"team":' .. ID, '^,"team_id":' .. ID, '^,"user":' .. ID, '^,"user_id":' .. ID

local function identity(front)
  local is, of, within, who = front:match(IN_TEAM) -- nearly all of them, in one step
  if is then return is .. ':' .. of .. ':' .. within .. ':' .. who end
  local env, _, _, _, tenant, at = front:match(FRONT)
  if not env then return nil end
  local function field(pattern)
    local value, after = front:match(pattern, at)
    at = after or at
    return value
  end
  local team, team_id, user, user_id = field(TEAM), field(TEAM_ID), field(USER), field(USER_ID)
  -- Another field must follow: else the front was cut in the middle of these.
  local following = front:match('^,"([%w_]+)":', at)
  if not following or following:match('^team') or following:match('^user') then return nil end
  return env .. ':' .. tenant .. ':' .. (team_id or team or '') .. ':' .. (user_id or user or '')
end

-- A script that looks at many sessions ends early where they have cost enough: after so many bytes
-- of texts read (or freed), or so many members of users' sets looked at.
local bytes_read, members_seen = 0, 0
local BYTES_ENOUGH, MEMBERS_ENOUGH = 256 * 1024, 100
local function is_enough() return bytes_read >= BYTES_ENOUGH or members_seen >= MEMBERS_ENOUGH end

local function text_of(session)
  if not session.text then
    session.text = redis.call('GET', session_key(session.key))
    bytes_read = bytes_read + #session.text
  end
  return session.text
end

-- Whether the stored text is what we wrote.
local function fits(session)
  if session.fits == nil then session.fits = session.text_sha and redis.sha1hex(text_of(session)) == session.text_sha or false end
  return session.fits
end

-- Whether the stored text is a session for certain: we wrote it, as one.
local function is_session(session)
  return fits(session) and not session.unseen
end

-- The owner of a session, as whoever decodes its text will find it; nil where nobody can tell.
-- Our record is believed for the text that we wrote, and for one that is no session. An operation
-- on one session asks this first: a front may name another owner than what comes behind it.
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
  local own = redis.call('HMGET', record_key(key), 'o', 's', 'p', 'h', 'f', 'c', 'g', 'u', 'x')
  local session = {
    key = key, ttl = ttl, owner_written = own[1], scope_hash = own[2] or '', pointer_owner = own[3], text_sha = own[4],
    written_by_others = own[5] == '1',
  }
  session.unseen, session.nonce, session.pointer_reach, session.reparked = own[6] == '1', own[7], tonumber(own[8]), own[9] == '1'
  session.owner = identity(redis.call('GETRANGE', session_key(key), '0', '511'))
    or identity(redis.call('GETRANGE', session_key(key), '0', '65535')) or verify_owner(session) -- ids may be long, texts longer
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
local APART_MS = 50
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
  local own = redis.pcall('HMGET', record_key(key), 'o', 's', 'p')
  if own[1] and own[2] and own[2] ~= '' then pcall(unlink_scope, own[1], own[2], key) end
  if own[3] and own[3] ~= heir and leads_to(pointer_key(own[3]), key) then redis.pcall('DEL', pointer_key(own[3])) end
  redis.pcall('DEL', record_key(key), claim_key(key))
  unnote_endless(key)
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
  redis.call('HSET', record_key(session.key), 'f', '1') -- the lifetimes do not tell any more that it wrote
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
  if session and session.owner and owner_path(session.owner) == owner_path(owner) and session.owner ~= owner then return nil end
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
  if session.owner_written and session.scope_hash ~= '' and leads_to(scope_key(owner, session.scope_hash), session.key) then return true end
  return session.scope_hash == '' or not is_known(session) -- see waits_at
end

-- Whether an operation by key reaches a session of `owner` for the caller's context `ctx`: they are
-- the same but for the user, which one of them does not have. (A context without a user is a
-- runner's: it reaches every user of its team.)
local function reaches(ctx, owner)
  return owner and (owner == ctx or owner == ctx:match('^(.*:)[^:]*$') or ctx == owner:match('^(.*:)[^:]*$'))
end

-- Look at one member of a user's set: what is no wait goes. A thorough look returns the session,
-- too; another one takes our record's word where it says that the member waits. Returns its
-- lifetime in ms (nil: it is no wait), and the SHA-256 of its scope if our record has one.
local function inspect_member(owner, key, thorough)
  members_seen = members_seen + 1
  local ttl = redis.call('PTTL', session_key(key))
  local own = ttl ~= -2 and redis.pcall('HMGET', record_key(key), 'o', 's') or {}
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

-- The end of the longest wait in an index (ms since the epoch, or infinite); 0 if there is none.
local function last_end(index)
  local last = redis.pcall('ZRANGE', index, '-1', '-1', 'WITHSCORES')
  return not last.err and tonumber(last[2]) or 0
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
    local leads = type(key) == 'string' and redis.pcall('HGET', record_key(key), 's') == hash
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
    local is_same = redis.call('SCARD', set) - indexed == tonumber(cursor) and redis.call('ZCOUNT', index, '-inf', now()) == 0
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

-- Give the record of a session the session's lifetime.
local function keep_record(key, ttl)
  expire(record_key(key), ttl)
  if ttl == -1 then note_endless(key) else unnote_endless(key) end
end

-- Check a few sessions without a lifetime: what leads to one that is gone is removed, the others
-- are due again in a day.
local function check_endless(due)
  for _, key in ipairs(due) do
    if redis.call('EXISTS', session_key(key)) == 1 then
      note_endless(key)
    else
      local owner = redis.pcall('HGET', record_key(key), 'o')
      discard_leftovers(key)
      if type(owner) == 'string' then
        redis.pcall('SREM', set_key(owner), key)
        repair_index(owner)
      end
    end
  end
end

-- The keys that lead to a session, as far as we know: its scope's and its pointer, where they name
-- it.
local function leading(session)
  local found = {}
  local function add(name)
    if leads_to(name, session.key) then found[#found + 1] = name end
  end
  if session.owner_written and session.scope_hash ~= '' then add(scope_key(session.owner_written, session.scope_hash)) end
  if session.pointer_owner or session.owner then add(pointer_key(session.pointer_owner or session.owner)) end
  return found
end

-- On a cluster: how long an owner pointer lives that "never" expires, and for how long one of a
-- session that never does can be counted on.
local FOR_GOOD = 5 * 365 * 86400000

-- On a cluster: whether a session may live for so long, by its owner pointer: the one that it has,
-- or the one that `nonce` has reserved, which lives for `reach` ms. Anywhere else it may.
local function may_live(session, ttl, nonce, reach)
  if not session.nonce then return true end
  local left = session.ttl == -1 and FOR_GOOD or session.ttl + session.pointer_reach
  if nonce == session.nonce then left = math.max(left, tonumber(reach)) end
  session.pointer_left = left - math.max(ttl, 0)
  return left >= (ttl == -1 and FOR_GOOD or ttl)
end

-- Give a session, and all that leads to it, a lifetime.
local function set_lifetime(session, ttl)
  if session.owner_written and session.ttl and not session.written_by_others and is_rewritten(session) then
    redis.call('HSET', record_key(session.key), 'f', '1')
  end
  if session.pointer_left then redis.call('HSET', record_key(session.key), 'u', string.format('%.0f', session.pointer_left)) end
  expire(session_key(session.key), ttl)
  keep_record(session.key, ttl)
  for _, name in ipairs(leading(session)) do expire(name, ttl) end
  if session.owner_written and session.scope_hash ~= '' then redis.pcall('ZADD', index_key(session.owner_written), 'XX', end_of(ttl), session.scope_hash) end
  if session.owner then sync_or_repair(session.owner) end
  if ttl == -1 then check_endless(due_endless()) end
end

-- Let a scope key live at least as long as a lease: nothing else reaches the reference's.
local function extend_key(key, lease)
  local ttl = redis.call('PTTL', key)
  if ttl >= 0 and ttl < lease then expire(key, lease) end
end

-- On a cluster: let nobody store a session under a reservation any more. It is remembered for
-- longer than a call can be on its way.
local function bar_reservation(nonce) redis.call('SET', barred_key(nonce), '', 'PX', '120000') end

local function all_keys(session)
  local found = {keys_of_session(session.key)}
  for _, name in ipairs(leading(session)) do found[#found + 1] = name end
  return found
end

-- Remove a session with its claim and all that leads to it. Whoever drops many mends their users'
-- sets once, at the end. Returns the nonce of its reservation on a cluster, else false.
local function remove_session(session, unmended)
  local key = session.key
  if session.nonce then bar_reservation(session.nonce) end
  redis.call('DEL', unpack(all_keys(session)))
  unnote_endless(key)
  if session.owner_written and session.scope_hash ~= '' then redis.pcall('ZREM', index_key(session.owner_written), session.scope_hash) end
  if session.owner then
    redis.pcall('SREM', set_key(session.owner), key)
    if not unmended then sync_or_repair(session.owner) end
  end
  return session.nonce
end

-- A session that was displaced stays readable, and is no wait any more.
local function end_wait(session, owner)
  local own = record_key(session.key)
  local unseen, moved = not is_session(session) and '1' or '', not is_known(session) and '1' or ''
  local text = text_of(session)
  redis.call('HSET', own, 'o', owner, 's', '', 'h', redis.sha1hex(text), 'n', #text, 'f', moved, 'c', unseen)
  redis.call('HDEL', own, 'w')
  keep_record(session.key, session.ttl)
  redis.call('SREM', set_key(owner), session.key)
  if session.owner_written and session.scope_hash ~= '' then redis.pcall('ZREM', index_key(session.owner_written), session.scope_hash) end
end

-- Which part of a session's identity another owner would change; nil if none.
local function difference(stored, new)
  if stored == new then return nil end
  local env, tenant, team = stored:match('^([^:]*):([^:]*):([^:]*):')
  local new_env, new_tenant, new_team = new:match('^([^:]*):([^:]*):([^:]*):')
  if env ~= new_env or tenant ~= new_tenant then return 'env/tenant' end
  return team ~= new_team and 'team' or 'user'
end

-- Fail now, before anything is written, if a key that will be written holds a wrong type. (An index
-- that is none is made anew.)
local function check_types(owner, hash, key)
  redis.call('GET', scope_key(owner, hash))
  redis.call('SCARD', set_key(owner))
  redis.call('HLEN', record_key(key))
  redis.call('STRLEN', claim_key(key))
  redis.call('STRLEN', session_key(key))
end
