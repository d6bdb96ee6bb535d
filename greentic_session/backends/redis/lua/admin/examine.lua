-- Look at some keys of any kind, and tell what does not agree. Changes nothing.
-- KEYS[1]  the prefix of all keys
-- ARGV     namespace, keys without the namespace and the colon after it
-- Returns  {how many keys were looked at: at least one, and no more once it has cost enough,
--           for each finding: its name, the key}; inspection.py says what the names mean
--
-- Runtimes of the reference leave things behind that we never would, and none of that is a fault: a
-- scope key of a session that was removed, a session without our record, a set without a lifetime.
-- A fault is what neither they nor we do.
-- @include session
local SLACK = 1000 -- ms; lifetimes set in one script may be so far apart, and what ends so soon is not looked at
local answer = {0}

local function tell(name, key)
  answer[#answer + 1] = name
  answer[#answer + 1] = key
end

local function ends_now(ttl) return ttl ~= -1 and ttl <= SLACK end

local function same_life(one, other)
  if one == -1 or other == -1 then return one == other end
  return math.abs(one - other) <= SLACK
end

local function is_listed(owner, key)
  return redis.pcall('SISMEMBER', set_key(owner), key) == 1
end

local function live(key)
  local read, session = pcall(load, key)
  return read and session or nil
end

-- A wait of ours, which its scope leads to and its set lists.
local function check_wait(name, session)
  local owner, hash = session.owner, session.scope_hash
  local scope, own = redis.call('PTTL', scope_key(owner, hash)), redis.call('PTTL', record_key(session.key))
  if not same_life(own, session.ttl) then
    -- The reference wrote the same text again: without a lifetime, or with one that its scope key
    -- shares.
    if session.ttl ~= -1 and not same_life(scope, session.ttl) then tell('lifetimes', name) end
    return
  end
  local set, left = redis.call('PTTL', set_key(owner)), session.ttl
  if redis.call('EXISTS', index_key(owner)) == 1 then
    local ending = redis.pcall('ZSCORE', index_key(owner), hash)
    if type(ending) ~= 'string' then
      if redis.call('EXISTS', mending_key(owner)) == 0 then tell('unindexed', name) end -- else it is being made
      return
    end
    left = ending == 'inf' and -1 or ending - now()
  end
  local brief = set ~= -1 and (session.ttl == -1 or set < session.ttl - SLACK)
  if brief or not same_life(scope, session.ttl) or not same_life(left, session.ttl) then tell('lifetimes', name) end
end

-- Whether several members of a user's set are waits of ours. (The reference's are in no index.)
local function are_several(members)
  local ours = 0
  for _, key in ipairs(members) do
    members_seen = members_seen + 1
    local session = live(key)
    local parked = session and session.scope_hash ~= '' and is_unchanged(session)
    if parked and leads_to(scope_key(session.owner_written, session.scope_hash), key) then
      ours = ours + 1
      if ours > 1 then return true end
    end
  end
  return false
end

local check = {}

function check.session(name, key)
  local session = load(key)
  if not session or ends_now(session.ttl) then return end
  if not session.owner then tell('unreadable', name) return end
  if not session.owner_written then tell('foreign', name) return end
  if not is_unchanged(session) then tell('foreign', name) return end
  if session.owner_written ~= session.owner then tell('owner', name) return end
  if session.scope_hash == '' then return end
  local owner, hash = session.owner, session.scope_hash
  local leads, listed = leads_to(scope_key(owner, hash), key), is_listed(owner, key)
  if leads and listed then
    check_wait(name, session)
  elseif leads then
    tell('unlisted', name)
  elseif listed then
    -- The reference may have parked another session there, and left this one listed.
    local other = redis.pcall('GET', scope_key(owner, hash))
    local holder = type(other) == 'string' and live(other)
    if not (holder and waits_at(holder, owner, hash)) then tell('unreachable', name) end
  end
end

function check.own(name, key)
  local own = redis.call('HMGET', record_key(key), OWNER, SCOPE_HASH)
  local ttl = redis.call('PTTL', record_key(key))
  if redis.call('EXISTS', session_key(key)) == 1 or ttl == -2 or ends_now(ttl) then return end
  -- The reference takes a session that it removes out of its user's set. (A wait that it moved to
  -- another scope, and that ended earlier than it would have with us, cannot be told from one that
  -- somebody deleted.)
  local owner, hash = own[1], own[2]
  local lost = owner and hash and hash ~= '' and is_listed(owner, key) and leads_to(scope_key(owner, hash), key)
  tell(lost and 'lost' or 'leftover', name)
end

function check.claim(name, key)
  local ttl = redis.call('PTTL', claim_key(key))
  redis.call('STRLEN', claim_key(key))
  if ttl == -1 then tell('endless_claim', name)
  elseif ttl ~= -2 and not ends_now(ttl) and redis.call('EXISTS', session_key(key)) == 0 then tell('leftover', name) end
end

function check.scope(name, rest)
  local env, tenant, team, user, hash = rest:match('^([^:]*):([^:]*):([^:]*):([^:]*):(%x+)$')
  if not hash then tell('unknown', name) return end
  local owner = owner_of_path(env .. ':' .. tenant .. ':' .. team .. ':' .. user)
  local key = redis.call('GET', scope_key(owner, hash))
  if not key or ends_now(redis.call('PTTL', scope_key(owner, hash))) then return end
  local session = live(key)
  if session then
    local others = session.owner and owner_path(session.owner) == owner_path(owner) -- of the reference's team "-"
    if not waits_at(session, owner, hash) and (session.owner == owner or not others) then tell('leftover', name) end
    return
  end
  local own = redis.pcall('HMGET', record_key(key), OWNER, SCOPE_HASH)
  if own[1] == owner and own[2] == hash and is_listed(owner, key) then return end -- told with its record
  tell('leftover', name)
end

function check.set(name, rest)
  local set = set_at(rest)
  if redis.call('SCARD', set) > FEW then return end
  local members = redis.call('SMEMBERS', set)
  if redis.call('EXISTS', index_at(rest)) == 0 and are_several(members) then tell('unindexed', name) end
  if redis.call('PTTL', set) ~= -1 then return end
  for _, key in ipairs(members) do
    members_seen = members_seen + 1
    if redis.call('PTTL', session_key(key)) == -1 then return end
  end
  tell('endless_set', name)
end

function check.index(name, rest)
  redis.call('ZCARD', index_at(rest))
  if redis.call('PTTL', index_at(rest)) == -1 and redis.call('EXISTS', set_at(rest)) == 0 then
    tell('leftover', name)
  end
end

function check.pointer(name, rest)
  local pointer = pointer_at(rest)
  local key, ttl = redis.call('GET', pointer), redis.call('PTTL', pointer)
  if key and not ends_now(ttl) and redis.call('EXISTS', session_key(key)) == 0 then tell('leftover', name) end
end

function check.mending() end -- it ends by itself; see rebuild_step

function check.barred() end -- on a cluster; see owner_pointers.py

function check.staged() end -- it ends in seconds; see staging.lua

function check.lasting(name, rest)
  if rest == '' then redis.call('ZCARD', ns .. LASTING) else tell('unknown', name) end
end

function check.copied() end -- it may outlive its session; see copied.lua

function check.carried(_, rest) redis.call('HLEN', ns .. CARRIED .. rest) end -- it may outlive what was copied

function check.made() end -- it ends in a minute; see claim_ready.lua

function check.accepted(name, rest)
  if rest == '' then redis.call('STRLEN', ns .. ACCEPTED) else tell('unknown', name) end
end

-- What lies where a wait of ours is, is ready, or will be. (What it needs is made once: to make
-- those functions takes longer than to use them.)
local check_inbox
local function make_check_inbox()
  -- @include places
  return function(name, path, hash)
    local owner = owner_of_path(path)
    local inbox, session = inbox_at(owner, hash), live(redis.pcall('GET', scope_key(owner, hash)) or '')
    if #inbox.replies == 0 or inbox.key_end - instant() <= SLACK then return end
    local ttl = redis.call('PTTL', replies_key(owner, hash))
    local left = inbox.key_end == math.huge and -1 or inbox.key_end - instant()
    if not same_life(ttl, left) then tell('lifetimes', name) end
    local waits = session and session.place == hash and session.key == inbox.waits and waits_at(session, owner, hash)
    if waits and not ends_now(session.ttl) and ready_since(owner, hash) == math.huge then tell('unready', name) end
  end
end

function check.replies(name, rest)
  local path, hash = rest:match('^(.*):(%x+)$')
  if not hash then tell('unknown', name) return end
  check_inbox = check_inbox or make_check_inbox()
  check_inbox(name, path, hash)
end

function check.delivered(name, rest)
  local path, _ = rest:match('^(.*):(%x+)$')
  if not path then tell('unknown', name) return end
  redis.call('STRLEN', ns .. DELIVERED .. rest)
  if redis.call('PTTL', ns .. DELIVERED .. rest) ~= -1 then return end
  local hash = redis.call('GET', ns .. DELIVERED .. rest):match('^(%x+):')
  if not hash or redis.call('EXISTS', replies_at(path, hash)) == 0 then tell('leftover', name) end
end

-- On a cluster the index of all users is in a slot of its own.
local function is_index_of_cluster() return ns:sub(-9) == ':{:ready}' end

function check.named() redis.call('HLEN', ns .. NAMED) end

function check.kept(_, rest) redis.call('HLEN', ns .. KEPT .. rest) end

-- An entry may lead to what the reference has cleared: whoever meets it takes it out.
function check.ready(name, rest)
  if rest == 'served' or rest == 'nonces' then redis.call('HLEN', ready_key(rest)) else redis.call('ZCARD', ready_key(rest)) end
  if redis.call('PTTL', ready_key(rest)) == -1 and rest:find(':.*:') then
    local first = redis.call('ZRANGE', ready_key(rest), '0', '0')[1] or ''
    local user, hash = first:match('^(.*):(%x+)$')
    if not hash and not is_index_of_cluster() then tell('unknown', name) end
  end
end

local CHECKS = {
  [SESSION] = check.session, [RECORD] = check.own, [CLAIM] = check.claim, [SCOPE] = check.scope,
  [WAITS] = check.set, [INDEX] = check.index, [POINTER] = check.pointer, [MENDING] = check.mending,
  [BARRED] = check.barred, [STAGED] = check.staged, [COPIED] = check.copied, [LASTING] = check.lasting,
  [REPLIES] = check.replies, [DELIVERED] = check.delivered, [KEPT] = check.kept, [READY] = check.ready,
  [ACCEPTED] = check.accepted, [MADE] = check.made, [CARRIED] = check.carried, [NAMED] = check.named,
}
require_every(CHECKS, OF_SESSION, OF_USER, OF_PLACES, OF_NONE)
for number = 2, #ARGV do
  if is_enough() then break end
  answer[1] = answer[1] + 1
  local name = ARGV[number]
  local kind, rest = kind_of(name)
  if kind then
    if not pcall(CHECKS[kind], name, rest) then tell('type', name) end
  elseif not readings(name, ns) then
    tell('unknown', name) -- else it is another namespace's
  end
end
return answer
