-- @include _index

-- What the scripts share.
--
-- ARGV[1] is always the namespace. An owner is "env:tenant:team:user", with an empty team or user for none (ids hold no
-- colon). Beside each session there is a record of our own, the hash {ns}:own:{session key}:
--   o  the owner of what we wrote
--   s  the SHA-256 of the scope where it waits, empty if it is no wait
--   w  that scope as JSON, for whoever walks the store; a copy of a wait that only the reference wrote has none
--   p  the owner whose latest session it is, if it is one
--   h  the SHA-1 of the text that we wrote last
--   n  its length in bytes
--   f  "1" where the reference wrote between our last registering and our last write: then scope keys are believed
--   c  "1" where that text was somebody else's, and nobody has seen yet whether it is a session at all
-- and on a cluster, where pointers.py tells what for:
--   g  the nonce of the reservation under which it was stored
--   u  for how many ms the owner pointer outlives the session, at least
-- It lives as long as the session. {ns}:claim:{session key} holds a claim: its token, a colon, and the SHA-256 of the scope
-- where it was made. It lives as long as its lease.
--
-- Every script reads and decides first, then writes: nothing is ever half written. (What it cleans up on the way was not
-- true before.)

local ns = ARGV[1]

local function session_key(key) return ns .. ':session:' .. key end
local function own_key(key) return ns .. ':own:' .. key end
local function claim_key(key) return ns .. ':claim:' .. key end

-- The owner as the reference writes it: "-" for no team.
local function place(owner)
  return (owner:gsub('^([^:]*:[^:]*:):', '%1-:'))
end

local function scope_key(owner, hash) return ns .. ':waits:scope:' .. place(owner) .. ':' .. hash end
local function set_key(owner) return ns .. ':waits:user:' .. place(owner) end
local function index_key(owner) return ns .. ':scopes:' .. place(owner) end
local function pointer_key(owner) return ns .. ':user:' .. place(owner) end

-- The owner that the front of a payload names; nil if it does not begin as the reference and we write it. No JSON is
-- decoded: ids have no escapes, and the fields have a fixed order.
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

-- What is known of a live session; nil if there is none. `ttl` is in ms, -1 for ever.
local function look(key)
  local ttl = redis.call('PTTL', session_key(key))
  if ttl == -2 then return nil end
  local own = redis.call('HMGET', own_key(key), 'o', 's', 'p', 'h', 'f', 'c', 'g', 'u')
  local session = {key = key, ttl = ttl, o = own[1], s = own[2] or '', p = own[3], h = own[4], f = own[5] == '1'}
  session.c, session.g, session.u = own[6] == '1', own[7], tonumber(own[8])
  session.owner = identity(redis.call('GETRANGE', session_key(key), '0', '511'))
    or identity(redis.call('GET', session_key(key))) or session.o
  return session
end

local function text_of(session)
  if not session.text then session.text = redis.call('GET', session_key(session.key)) end
  return session.text
end

-- Whether the stored text is what we wrote.
local function fits(session)
  if session.fits == nil then session.fits = session.h and redis.sha1hex(text_of(session)) == session.h or false end
  return session.fits
end

-- Whether the stored text is a session for certain: we wrote it, as one.
local function is_session(session)
  return fits(session) and not session.c
end

-- Whether our record knows where the session waits. Else only the reference does: it alone wrote, or wrote since.
local function is_known(session)
  return session.o and not session.f and fits(session)
end

-- Whether a scope key that names this session tells the truth.
local function waits_at(session, owner, hash)
  if session.owner ~= owner then return false end
  if (session.o and session.s == hash) or not is_known(session) then return true end
  -- We keep a session without a wait out of its user's set. One that is in it was registered by the reference since, with
  -- the same text: it adds to the set before it writes the scope key, and a scope key that its remove left has no member.
  return session.s == '' and redis.pcall('SISMEMBER', set_key(owner), session.key) == 1
end

local function holds(key, value)
  local found = redis.pcall('GET', key)
  return found == value
end

-- The scope where a live claim was made (of a session that only the reference wrote, nothing else tells); nil if it is over.
local function claimed_at(key, token)
  local found = redis.pcall('GET', claim_key(key))
  if type(found) ~= 'string' or found:sub(1, #token + 1) ~= token .. ':' then return nil end
  return found:sub(#token + 2)
end

-- Remove what leads to a session that is not there; never fails a read (on a replica it cannot).
local function forget(key)
  redis.pcall('DEL', own_key(key), claim_key(key))
end

-- See that a user's set outlives a wait that was found: the reference may have left it with too short a lifetime.
local function tend(owner, session)
  local set = set_key(owner)
  local ttl = redis.call('PTTL', set)
  if ttl == -2 then redis.pcall('SADD', set, session.key) end
  if ttl == -2 or (ttl ~= -1 and (session.ttl == -1 or ttl < session.ttl - 5)) then pcall(expire, set, session.ttl) end
end

-- The session that waits at a scope; a stale entry is removed.
local function find(owner, hash)
  local key = redis.call('GET', scope_key(owner, hash))
  if not key then return nil end
  local session = look(key)
  if session and waits_at(session, owner, hash) then
    tend(owner, session)
    return session
  end
  -- The reference's team "-" has the keys of no team: what is true for that one stays.
  if session and session.owner and place(session.owner) == place(owner) and session.owner ~= owner then return nil end
  redis.pcall('DEL', scope_key(owner, hash))
  redis.pcall('ZREM', index_key(owner), hash)
  if not session then
    redis.pcall('SREM', set_key(owner), key)
    forget(key)
  end
  return nil
end

-- Whether a member of its owner's set is a wait.
local function is_wait(session, owner)
  if session.owner ~= owner then return false end
  if session.o and session.s ~= '' and holds(scope_key(owner, session.s), session.key) then return true end
  return session.s == '' or not is_known(session) -- see waits_at
end

-- The caller's context `ctx` is aligned with a session of `owner`: the same, or the session has no user.
local function aligned(ctx, owner)
  return owner and (owner == ctx or owner == ctx:match('^(.*:)[^:]*$'))
end

-- Look at every member of a user's set: what is no wait goes, and it lives as long as the longest of the others; then make
-- the index anew. A thorough look returns the waits; another one takes our record's word where it says that a member waits.
-- Never fails: it comes last in a write, and reads do it too, on a replica as well, where it changes nothing.
local function mend(owner, thorough)
  local set, index = set_key(owner), index_key(owner)
  local members = redis.pcall('SMEMBERS', set)
  local waits, longest = {}, nil
  if members.err then return waits end
  local at = now()
  redis.pcall('DEL', index)
  for _, key in ipairs(members) do
    local ttl = redis.call('PTTL', session_key(key))
    local own = ttl ~= -2 and redis.pcall('HMGET', own_key(key), 'o', 's') or {}
    local parked = own[1] == owner and own[2] and own[2] ~= '' and own[2]
    local stays = parked and not thorough
    if ttl ~= -2 and not stays then
      local read, session = pcall(look, key) -- something else than a text under its key is no wait
      stays = read and session and is_wait(session, owner)
      if stays then waits[#waits + 1] = session end
    end
    if not stays then
      redis.pcall('SREM', set, key)
      if ttl == -2 then forget(key) end
    else
      if longest ~= -1 and (ttl == -1 or ttl > (longest or -1)) then longest = ttl end
      if parked then redis.pcall('ZADD', index, ttl == -1 and 'inf' or at + ttl, parked) end
    end
  end
  if longest then
    pcall(keep, set, longest)
    pcall(keep, index, longest)
  end
  return waits
end

-- Bring a user's set in order after a change.
local function settle_or_mend(owner)
  local known, settled = pcall(settle, set_key(owner), index_key(owner))
  if not (known and settled) then mend(owner) end
end

-- The keys that lead to a session, as far as we know: its scope's and its pointer, where they name it.
local function leading(session)
  local found = {}
  local function add(name)
    if holds(name, session.key) then found[#found + 1] = name end
  end
  if session.o and session.s ~= '' then add(scope_key(session.o, session.s)) end
  if session.p or session.owner then add(pointer_key(session.p or session.owner)) end
  return found
end

-- Remove a scope key, if it leads to this session.
local function cut(owner, hash, key)
  local scope = scope_key(owner, hash)
  if not holds(scope, key) then return end
  redis.call('DEL', scope)
  redis.pcall('ZREM', index_key(owner), hash)
end

-- On a cluster: how long an owner pointer lives that "never" expires, and for how long one of a session that never does can
-- be counted on.
local FOR_GOOD = 5 * 365 * 86400000

-- On a cluster: whether a session may live for so long, by its owner pointer: the one that it has, or the one that `nonce`
-- has reserved, which lives for `reach` ms. Anywhere else it may.
local function may_live(session, ttl, nonce, reach)
  if not session.g then return true end
  local left = session.ttl == -1 and FOR_GOOD or session.ttl + session.u
  if nonce == session.g then left = math.max(left, tonumber(reach)) end
  session.left = left - math.max(ttl, 0)
  return left >= (ttl == -1 and FOR_GOOD or ttl)
end

-- Give a session, and all that leads to it, a lifetime.
local function set_lifetime(session, ttl)
  if session.left then redis.call('HSET', own_key(session.key), 'u', string.format('%.0f', session.left)) end
  expire(session_key(session.key), ttl)
  expire(own_key(session.key), ttl)
  for _, name in ipairs(leading(session)) do expire(name, ttl) end
  if session.o and session.s ~= '' then redis.pcall('ZADD', index_key(session.o), 'XX', end_of(ttl), session.s) end
  if session.owner then settle_or_mend(session.owner) end
end

-- Let a scope key live at least as long as a lease: nothing else reaches the reference's.
local function outlive(key, lease)
  local ttl = redis.call('PTTL', key)
  if ttl >= 0 and ttl < lease then expire(key, lease) end
end

-- On a cluster: let nobody store a session under a reservation any more. It is remembered for longer than a call can be on
-- its way.
local function barred_key(nonce) return ns .. ':barred:' .. nonce end
local function bar(nonce) redis.call('SET', barred_key(nonce), '', 'PX', '120000') end

-- Remove a session with its claim and all that leads to it. Whoever drops many mends their users' sets once, at the end.
-- Returns the nonce of its reservation on a cluster, else 1.
local function drop(session, unmended)
  local key = session.key
  if session.g then bar(session.g) end
  redis.call('DEL', session_key(key), own_key(key), claim_key(key), unpack(leading(session)))
  if session.o and session.s ~= '' then redis.pcall('ZREM', index_key(session.o), session.s) end
  if session.owner then
    redis.pcall('SREM', set_key(session.owner), key)
    if not unmended then settle_or_mend(session.owner) end
  end
  return session.g or 1
end

-- A session that was displaced stays readable, and is no wait any more.
local function unpark(session, owner)
  local own = own_key(session.key)
  local unseen = not is_session(session) and '1' or ''
  local text = text_of(session)
  redis.call('HSET', own, 'o', owner, 's', '', 'h', redis.sha1hex(text), 'n', #text, 'f', '', 'c', unseen)
  redis.call('HDEL', own, 'w')
  expire(own, session.ttl)
  redis.call('SREM', set_key(owner), session.key)
  if session.o and session.s ~= '' then redis.pcall('ZREM', index_key(session.o), session.s) end
end

-- Which part of a session's identity another owner would change; nil if none.
local function difference(stored, new)
  if stored == new then return nil end
  local env, tenant, team = stored:match('^([^:]*):([^:]*):([^:]*):')
  local new_env, new_tenant, new_team = new:match('^([^:]*):([^:]*):([^:]*):')
  if env ~= new_env or tenant ~= new_tenant then return 'env/tenant' end
  return team ~= new_team and 'team' or 'user'
end

-- Fail now, before anything is written, if a key that will be written holds a wrong type.
local function check_types(owner, hash, key)
  redis.call('GET', scope_key(owner, hash))
  redis.call('SCARD', set_key(owner))
  redis.call('ZCARD', index_key(owner))
  redis.call('HLEN', own_key(key))
  redis.call('STRLEN', claim_key(key))
  redis.call('STRLEN', session_key(key))
end
