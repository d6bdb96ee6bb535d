-- Parking: a session is stored, and is the one wait of a scope from then on. All rules; park.lua
-- knows the usual case before.
-- @include session

-- parking  key, text (or the nonce under which it is staged), is_staged, sha, bytes, owner, hash,
--          scope (as JSON), ttl (ms or -1), token (of the claim that this ends, or nil), fails
--          (whether nobody is displaced), most (how many waits the user may have, or nil), nonce
--          and reach (on a cluster), choice ("forget", "resume" or "keep": what becomes of it at
--          its deadline), terms (see terms.lua)
-- Returns what park.lua returns; and where something takes part in replies, the wait.
local function park(parking)
  local key, text, is_staged, owner, hash = parking.key, parking.text, parking.is_staged, parking.owner, parking.hash
  local ttl, token, most, nonce, reach = parking.ttl, parking.token, parking.most, parking.nonce, parking.reach
  local call, target, lifetime, is_new = redis.call, session_key(key), string.format('%.0f', parking.ttl), false

  -- Whether the user has as many waits as there may be; nil where only a look at more of them than
  -- a script takes tells.
  local function is_full()
    local members = redis.call('SCARD', set_key(owner))
    if members < most then return false end
    if members <= FEW then return #rebuild_index(owner, true) >= most end
    local known, settled = pcall(sync_lifetimes, set_key(owner), index_key(owner))
    if known and settled then return true end
    return nil
  end

  local function is_listed(session)
    return session and redis.call('SISMEMBER', set_key(owner), key) == 1 and is_wait(session, owner)
  end

  require_types(owner, hash, key)
  local session = load(key)
  local parked_at = token and session and claimed_at(claim_key(key), token)
  if token and not parked_at then return {'over'} end
  if session then
    if not verify_owner(session) then return {'corrupt'} end
    local part = difference(session.owner, owner)
    if part then return {'mismatch', part} end
  end
  if not session and redis.call('EXISTS', target) == 1 then return {'elsewhere'} end
  local left = nil
  if nonce then
    if nonce ~= '' and redis.call('EXISTS', barred_key(nonce)) == 1 then return {'barred'} end
    if session and not (may_live(session, ttl, nonce, reach) or nonce ~= '') then return {'short'} end
    if not session and nonce == '' then return {'short'} end
    left = nonce == '' and session.pointer_left or tonumber(reach) - math.max(ttl, 0)
    if nonce == '' then nonce = session.nonce end
  end
  local holder = find_wait(owner, hash)
  local displaced = holder and holder.key ~= key and holder
  if displaced and parking.fails then return {'held'} end

  if most and not displaced and not is_listed(session) then
    local full = is_full()
    if full ~= false then return {full and 'many' or 'count'} end
  end

  local takes_part = parking.choice == 'resume' or (session and session.place) or (displaced and displaced.place)
    or redis.call('EXISTS', replies_key(owner, hash)) == 1
  local move = nil
  if takes_part then
    -- @include moving
    move = prepare_move(parking, session, parked_at)
    -- Its lifetime is set behind all the rest: a short one could end before that, and Redis removes
    -- at once what ends while its lifetime is set.
    if ttl ~= -1 then ttl = math.max(ttl, 60000) end
    parking.stored_ttl, lifetime = ttl, string.format('%.0f', ttl)
  end

  -- @include store_text
  if not stored then return {'unstaged'} end
  -- What lived on for the replies that are settled now has ended with them, and is not displaced.
  if move and move.settle() then displaced = nil end
  if displaced then end_wait(displaced, owner) end
  if session then
    if session.owner_written and session.scope_hash ~= '' and session.scope_hash ~= hash then
      unlink_scope(owner, session.scope_hash, key)
    end
    if parked_at then
      redis.call('DEL', claim_key(key))
      if parked_at ~= hash then unlink_scope(owner, parked_at, key) end
    end
  else
    discard_leftovers(key, owner)
  end
  redis.call('HSET', record_key(key), OWNER, owner, SCOPE_HASH, hash, SCOPE_JSON, parking.scope, TEXT_SHA, parking.sha,
    TEXT_BYTES, parking.bytes, SINCE, redis.call('TIME')[1], MOVED, '', UNSEEN, '', REPARKED, session and '1' or '')
  -- A pointer that the reference left, of another session under this key, leads here: our record
  -- says so from now on.
  if not (session and session.pointer_owner) and leads_to(pointer_key(owner), key) then
    redis.call('HSET', record_key(key), LATEST_OF, owner)
  end
  if nonce then redis.call('HSET', record_key(key), NONCE, nonce, POINTER_REACH, string.format('%.0f', left)) end
  redis.call('SET', scope_key(owner, hash), key)
  add_wait(set_key(owner), index_key(owner), redis.call('SCARD', set_key(owner)), key, hash, ttl)
  local latest_of = session and session.pointer_owner
  local parked = {key = key, owner_written = owner, scope_hash = hash, pointer_owner = latest_of, owner = owner}
  if nonce and move then parked.nonce, parked.pointer_life = nonce, left + math.max(parking.ttl, 0) end
  set_lifetime(parked, ttl)
  local answer = displaced and {'displaced', displaced.key} or {'parked'}
  if not move then return answer end
  local leftovers, wait = move.finish(parked)
  if #leftovers > 0 then
    answer[2] = answer[2] or ''
    for _, told in ipairs(leftovers) do answer[#answer + 1] = told end
  end
  return answer, wait
end
