-- Store a new session, and make it its user's latest.
-- KEYS[1]  the session
-- ARGV     namespace, session key, text or the nonce under which it is staged, its SHA-1, owner,
--          pointer owner or "", lifetime in ms or -1, the bytes of a staged text, or ""; on a
--          cluster the nonce and the reach of its reservation
-- Returns  {"stored"}; {"exists"} if a live session has the key; {"unstaged"} where the text is
--          staged no more; {"barred"} if the reservation is over
-- @include staging
local key, text, sha, owner, pointer, lifetime = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local is_staged, nonce, reach, is_new = ARGV[8] ~= '', ARGV[9], tonumber(ARGV[10]), true
local bytes, ttl, call = is_staged and ARGV[8] or #text, tonumber(lifetime), redis.call
local target, own, claim = session_key(key), record_key(key), claim_key(key)

-- Usually there is nothing yet, and no record of what somebody else has removed.
local is_usual = call('EXISTS', target, own, claim, nonce and barred_key(nonce) or own) == 0
local refusal = nil
if not is_usual then
  refusal = call('EXISTS', target) == 1 and 'exists' or nonce and call('EXISTS', barred_key(nonce)) == 1 and 'barred'
  call('HLEN', own)
end
if pointer ~= '' then call('STRLEN', pointer_key(pointer)) end

if not refusal then
  -- First: a full server refuses a script only before it has written.
  -- @include store_text
  if not stored then refusal = 'unstaged' end
end
if refusal then
  if is_staged then call('UNLINK', staged_key(text)) end
  return {refusal}
end

if not is_usual then
  -- @include session
  discard_leftovers(key)
end
local lasts = is_lasting(ttl) and not in_slot()
if lasts then
  call('HSET', own, OWNER, owner, SCOPE_HASH, '', TEXT_SHA, sha, TEXT_BYTES, bytes, NOTED, '1')
else
  call('HSET', own, OWNER, owner, SCOPE_HASH, '', TEXT_SHA, sha, TEXT_BYTES, bytes)
end
if nonce then call('HSET', own, NONCE, nonce, POINTER_REACH, string.format('%.0f', reach - math.max(ttl, 0))) end
if pointer ~= '' then
  call('HSET', own, LATEST_OF, pointer)
  if ttl ~= -1 then call('SET', pointer_key(pointer), key, 'PX', lifetime) else call('SET', pointer_key(pointer), key) end
end
if ttl ~= -1 then call('PEXPIRE', own, lifetime) end
local was_member = redis.pcall('SREM', set_key(owner), key) == 1 -- of a wait that expired under this key
local due = {}
if lasts then
  -- @include lasting
  note_lasting(key, ttl, 'noted')
  due = due_lasting()
end
if #due == 0 and not was_member then return {'stored'} end
-- @include session
if was_member then sync_or_repair(owner) end
check_lasting(due)
return {'stored'}
