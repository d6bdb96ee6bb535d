-- Store a session that another Redis has, with all that belongs to it, unless somebody here has
-- changed it since it was last copied from there, or removed it, or holds what it needs.
-- KEYS[1]  the prefix of all session keys
-- ARGV     namespace, source, session key, text, lifetime in ms or -1, owner, SHA-256 of the scope
--          ("" for none, "?" for the one that it has here), the scope as JSON or "", the owner
--          whose latest session it is or "", "1" if nobody has seen that it is a session, "1" if
--          only a scope key tells that it waits there; on a cluster nonce and reach of a
--          reservation, else "" twice; of all that travels with a session (belongings.lua) the
--          value or "", and how long it lives in ms: claim, its lease; where it has a part in replies
--          and deadlines, that, as export.lua tells it
-- Returns  {"stored"}; {"same"} if nothing was to be done; {"kept"} if it may not be; {"other"} if
--          another owner's copy is to be removed first; {"barred"} if the reservation is over
-- @include session
-- @include places

-- A function, for a script has 200 variables at most.
local function store_copy()
  -- @include copied
  local source, key, text, ttl, owner, hash = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6], ARGV[7]
  local scope, latest, unseen, believed = ARGV[8], ARGV[9], ARGV[10], ARGV[11] == '1'
  local nonce, reach = ARGV[12] ~= '' and ARGV[12], tonumber(ARGV[13])
  local luggage = {} -- what travels: {key in Redis, value, ms}
  for number, one in ipairs(travelling()) do
    luggage[number] = {key_of_kind(one, key), ARGV[12 + 2 * number], tonumber(ARGV[13 + 2 * number])}
  end

  local told = 14 + 2 * #luggage -- the part
  local function moment(text) return text == '' and math.huge or instant() + tonumber(text) end
  local part = nil
  if ARGV[told] then
    part = {deadline = moment(ARGV[told]), rest_end = moment(ARGV[told + 1]), resume = ARGV[told + 2] == '1', put_off = 0,
      is_new = ARGV[told + 4] == '1', held = {}, terms = read_terms(ARGV[told + 9])}
    if ARGV[told + 3] ~= '' then part.put_off = moment(ARGV[told + 3]) end
    local about = ARGV[told + 5] == 'deadline' and name_of_deadline(part.deadline) or ARGV[told + 5]
    if ARGV[told + 7] ~= '' then part.turn = {about = about, failed = tonumber(ARGV[told + 6]), key = ARGV[told + 7]} end
    for place in ARGV[told + 8]:gmatch('%x+') do part.held[#part.held + 1] = place end
  end

  local read, session = pcall(load, key)
  if not read then return {'kept'} end
  if not session and (believed or redis.call('EXISTS', copied_key(key)) == 1) then return {'kept'} end -- removed here
  if not session and redis.call('EXISTS', session_key(key)) == 1 then return {'kept'} end -- another namespace's
  if session and session.owner ~= owner then return {as_left(session, source) and 'other' or 'kept'} end
  if nonce and redis.call('EXISTS', barred_key(nonce)) == 1 then return {'barred'} end
  local wanted = hash ~= '?' and hash or session and session.scope_hash or ''
  -- Only a scope key told where it waits, and will again.
  if hash == '' and session and session.written_by_others then wanted = session.scope_hash end

  -- Whose pointer is to lead here, if one is, and may: one that leads to a session of this Redis's
  -- own stays.
  local function pointed()
    if latest == '' then return nil end
    local name = redis.pcall('GET', pointer_key(latest))
    if type(name) == 'table' then return nil end
    if name and name ~= key then
      local seen, other = pcall(load, name)
      if not seen or other and not as_left(other, source) then return nil end
    end
    return latest
  end

  -- Whether no pointer leads here that should not, and the one that should does.
  local function is_pointed_well()
    local before = session.pointer_owner or owner
    if leads_to(pointer_key(before), key) and before ~= latest then return false end
    local now_for = pointed()
    return not now_for or (session.pointer_owner == now_for and leads_to(pointer_key(now_for), key))
  end

  local function has_luggage()
    for _, one in ipairs(luggage) do
      local name, value, left = one[1], one[2], one[3]
      local held = redis.pcall('GET', name)
      local is_there = type(held) == 'string'
      if is_there ~= (value ~= '') then return false end
      if is_there and not (plain_claim(held) == plain_claim(value) and near(redis.call('PTTL', name), left)) then return false end
    end
    return true
  end

  local function is_same()
    if text_of(session) ~= text or not near(session.ttl, ttl) then return false end
    if version_of(text, part_of(session)) ~= version_of(text, part) then return false end
    local noted = session.scope_hash == wanted or (believed and session.written_by_others)
    if wanted ~= '' and not (noted and leads_to(scope_key(owner, wanted), key)) then return false end
    return (wanted ~= '' or session.scope_hash == '') and is_pointed_well() and has_luggage()
  end

  if session and is_same() then return {'same'} end
  if session and not as_left(session, source) then return {'kept'} end
  require_types(owner, wanted, key)
  local holder = wanted ~= '' and find_wait(owner, wanted)
  local displaced = holder and holder.key ~= key and holder
  if displaced and not as_left(displaced, source) then return {'kept'} end

  local function displace()
    if not displaced then return end
    local claimed, there = claim_of(displaced.key), displaced.place and open_place(owner, wanted)
    end_wait(displaced, owner)
    if there then
      take_deadline(there)
      there.hash, there.inbox = nil, nil
      refresh(there, there.ends)
      displaced.place = '-'
    end
    mark(displaced.key, source, version_of(text_of(displaced), there), displaced.ttl, '', claimed)
  end

  -- A second scope key of the reference's leads to this session: both are believed, as where they
  -- come from.
  if believed and session.scope_hash ~= '' and session.scope_hash ~= wanted then
    displace()
    redis.call('HSET', record_key(key), MOVED, '1')
    redis.call('SET', scope_key(owner, wanted), key)
    expire(scope_key(owner, wanted), session.ttl)
    sync_or_repair(owner)
    return {'stored'}
  end

  local sha, own, leads_for = redis.sha1hex(text), record_key(key), pointed()
  redis.call('SET', session_key(key), text)
  displace()
  if not session then
    discard_leftovers(key, owner)
  elseif session.scope_hash ~= wanted then
    if session.scope_hash ~= '' then unlink_scope(owner, session.scope_hash, key) end
    redis.call('HDEL', own, SCOPE_JSON)
  end
  local still = (believed or (session and session.written_by_others and session.scope_hash == wanted)) and '1' or ''
  redis.call('HSET', own, OWNER, owner, SCOPE_HASH, wanted, TEXT_SHA, sha, TEXT_BYTES, #text, MOVED, still, UNSEEN, unseen)
  if nonce then
    redis.call('HSET', own, NONCE, nonce, POINTER_REACH, string.format('%.0f', reach - math.max(ttl, 0)))
  end
  if wanted == '' then
    redis.pcall('SREM', set_key(owner), key)
  else
    if scope ~= '' then redis.call('HSET', own, SCOPE_JSON, scope) end
    redis.call('SET', scope_key(owner, wanted), key)
    add_wait(set_key(owner), index_key(owner), redis.call('SCARD', set_key(owner)), key, wanted, ttl)
  end
  local before = session and (session.pointer_owner or owner)
  if before and before ~= leads_for and leads_to(pointer_key(before), key) then redis.call('DEL', pointer_key(before)) end
  if leads_for then
    redis.call('SET', pointer_key(leads_for), key)
    redis.call('HSET', own, LATEST_OF, leads_for)
  else
    redis.call('HDEL', own, LATEST_OF)
  end
  set_lifetime({key = key, owner_written = owner, scope_hash = wanted, pointer_owner = leads_for, owner = owner}, ttl)
  for _, one in ipairs(luggage) do
    local name, value, left = one[1], one[2], one[3]
    if value ~= '' then redis.call('SET', name, value, 'PX', digits(math.max(left, 1))) else redis.call('DEL', name) end
  end

  -- Let it have its part, and what lies at its place. It ends when it did where it comes from, or, for
  -- what was accepted here, later. Returns when.
  local function take_part()
    opened = {}
    if session and session.scope_hash ~= '' and session.scope_hash ~= wanted then
      keep_inbox(owner, session.scope_hash)
    end
    redis.call('HDEL', own, PLACE, REST_END, RESUME, PUT_OFF, TURN, TOKEN, IS_NEW, HELD, TERMS)
    local is_inbox = wanted ~= '' and redis.call('EXISTS', replies_key(owner, wanted)) == 1
    if not part and not is_inbox then return ttl end
    redis.call('HDEL', own, DEADLINE)
    opened = {}
    local wait, inbox = nil, nil
    if wanted ~= '' then wait, inbox = open_place(owner, wanted) end
    if not wait then wait = waiting(load(key), nil) end
    for name, value in pairs(part or {}) do wait[name] = value end
    local ends = wait.ends
    if inbox and #inbox.replies > 0 then ends = math.max(ends, storage_end(wait, inbox.replies)) end
    refresh(wait, ends)
    return ends > wait.ends and left_of(ends) or wait.session.ttl
  end

  local lives = take_part()
  mark(key, source, version_of(text, part), lives, wanted, claim_of(key))
  return {'stored'}
end

return store_copy()
