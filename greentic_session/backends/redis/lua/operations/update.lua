-- Replace the text of a session; its lifetime, wait, scope and claim stay.
-- KEYS[1]  the session
-- ARGV     namespace, session key, text, its SHA-1, owner; and if there are such: caller's context
--          or "", version to match or "", SHA-1 of the stored text if the client has seen that it
--          is a session, within reach and of this owner
-- Returns  {"updated"}, {"absent"}, {"mismatch", part}, {"changed"}, or {"check", stored text}: we
--          did not write it, and only the client can tell whether it is a session, and whose; let
--          it look, and call again with its SHA-1
-- @include record
-- @include same_head
local key, text, sha, owner = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local ctx, version, checked = ARGV[6] or '', ARGV[7] or '', ARGV[8]

-- Whether nobody but us wrote the text, and it has the new one's owner. A plain SET, the
-- reference's way to write, takes a lifetime away or sets its own: where session and record still
-- share one, and the length is the one that we wrote, nobody did, and the text need not be read.
-- (Whose it is is read all the same.) Without a lifetime its SHA-1 tells.
local function untouched()
  local own, call = record_key(key), redis.call
  local known, ttl = call('HMGET', own, OWNER, TEXT_BYTES, UNSEEN, TEXT_SHA), call('PTTL', KEYS[1])
  if known[1] ~= owner or known[3] == '1' or call('PTTL', own) ~= ttl then return false end
  if ttl == -1 then return redis.sha1hex(call('GET', KEYS[1])) == known[4] end
  if call('STRLEN', KEYS[1]) ~= tonumber(known[2]) then return false end
  return begins_alike(KEYS[1], text)
end

if version == '' and (ctx == '' or ctx == owner) and untouched() then
  redis.call('SET', KEYS[1], text, 'KEEPTTL')
  redis.call('HSET', record_key(key), TEXT_SHA, sha, TEXT_BYTES, #text)
  return {'updated'}
end
-- @include session
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
redis.call('SET', session_key(key), text, 'KEEPTTL')
local moved = is_known(session) and '' or '1'
redis.call('HSET', record_key(key), OWNER, owner, TEXT_SHA, sha, TEXT_BYTES, #text, MOVED, moved, UNSEEN, '')
expire_record(key, session.ttl)
if is_lasting(session.ttl) then check_lasting(due_lasting()) end
return {'updated'}
