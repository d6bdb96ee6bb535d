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
local NEAR_MS = 5 -- the clock goes on within a script
-- From Redis 7.0 on when it ends is compared and kept, not what is left until then: that would lose
-- a bit with each update.
local ENDS, END = redis.REDIS_VERSION_NUM and 'PEXPIRETIME' or 'PTTL', redis.REDIS_VERSION_NUM and 'PEXPIREAT' or 'PEXPIRE'

local call, target, own, is_new = redis.call, KEYS[1], record_key(key), false

-- The usual case: nobody but us wrote the text, and it has the new one's owner. A plain SET, the
-- reference's way to write, takes a lifetime away or sets its own: where session and record still
-- share one, and the length is the one that we wrote, nobody did, and the text need not be read.
-- (Whose it is is read all the same.) Without a lifetime, and where a version is to match, its
-- SHA-1 tells.
repeat
  if ctx ~= '' and ctx ~= owner then break end
  local known, ttl = call('HMGET', own, OWNER, TEXT_BYTES, UNSEEN, TEXT_SHA), call(ENDS, target)
  if known[1] ~= owner or known[3] == '1' or ttl == -2 then break end
  if version ~= '' and version ~= known[4] then break end
  local record_ttl = call(ENDS, own)
  if ttl == -1 and record_ttl ~= -1 then break end
  if ttl ~= -1 and (record_ttl < 0 or math.abs(record_ttl - ttl) > NEAR_MS) then break end
  if ttl == -1 or version ~= '' then
    if redis.sha1hex(call('GET', target)) ~= known[4] then break end
  else
    if call('STRLEN', target) ~= tonumber(known[2]) or prefix == '' then break end
    if call('GETRANGE', target, '0', last_of(prefix)) ~= prefix then break end
  end
  if is_staged then
    if redis.pcall('RENAME', staged_key(text), target).err then return {'unstaged'} end
    if ttl == -1 then call('PERSIST', target) else call(END, target, string.format('%d', math.max(ttl, 1))) end
  else
    call('SET', target, text, 'KEEPTTL')
  end
  call('HSET', own, TEXT_SHA, sha, TEXT_BYTES, bytes)
  return 'updated' -- a list of one costs as much as a command
until true

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
