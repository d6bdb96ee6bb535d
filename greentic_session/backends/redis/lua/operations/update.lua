-- Replace the text of a session; its lifetime, wait, scope and claim stay.
-- KEYS[1]  the session
-- ARGV     namespace, session key, text or the nonce under which it is staged, its SHA-1, owner,
--          how the owner's payloads begin, the bytes of a staged text, or ""; and if there are
--          such: caller's context or "", version to match or "", SHA-1 of the stored text if the
--          client has seen that it is a session, within reach and of this owner
-- Returns  "updated", as such or {"updated"}; {"absent"}, {"mismatch", part}, {"changed"},
--          {"unstaged"} where the text is staged no more, or {"check", stored text}: we did not
--          write it, and only the client can tell whether it is a session, and whose; let it look,
--          and call again with its SHA-1
-- @include staging
local key, text, sha, owner, prefix, is_staged = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7] ~= ''
local ctx, version, checked = ARGV[8] or '', ARGV[9] or '', ARGV[10]
local bytes = is_staged and ARGV[7] or #text
local call, target, own, is_new = redis.call, KEYS[1], record_key(key), false

-- @include usual_text
if usual then
  if is_staged then
    if redis.pcall('RENAME', staged_key(text), target).err then return {'unstaged'} end
    if ttl == -1 then call('PERSIST', target) else call(SET_END, target, string.format('%d', math.max(ttl, 1))) end
  else
    call('SET', target, text, 'KEEPTTL')
  end
  call('HSET', own, TEXT_SHA, sha, TEXT_BYTES, bytes)
  return 'updated' -- a list of one costs as much as a command
end

-- @include session

local function update_thoroughly()
  local session = load(key)
  if not session then return {'absent'} end
  if is_session(session) then
    if ctx ~= '' and not reaches(ctx, session.owner) then return {'absent'} end
    local part = difference(session.owner or '', owner)
    if part then return {'mismatch', part} end
  elseif redis.sha1hex(text_of(session)) ~= checked then
    return {'check', text_of(session)}
  end
  if version ~= '' and redis.sha1hex(text_of(session)) ~= version then return {'changed'} end

  restore_lifetime(session)
  if is_staged then
    local lifetime = string.format('%.0f', session.ttl == 0 and 1 or session.ttl)
    -- @include store_text
    if not stored then return {'unstaged'} end
  else
    call('SET', target, text, 'KEEPTTL')
  end
  local moved = is_known(session) and '' or '1'
  redis.call('HSET', record_key(key), OWNER, owner, TEXT_SHA, sha, TEXT_BYTES, bytes, MOVED, moved, UNSEEN, '')
  expire_beside(key, session.ttl)
  if is_lasting(session.ttl) then check_lasting(due_lasting()) end
  return {'updated'}
end

local answer = update_thoroughly()
if is_staged then redis.call('UNLINK', staged_key(text)) end -- where it was refused
return answer
