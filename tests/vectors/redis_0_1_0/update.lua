-- Replace the text of a session; its lifetime, wait, scope and claim stay.
-- KEYS[1]  the session
-- ARGV     namespace, session key, text, its SHA-1, owner, how many bytes at its front name the owner, caller's
--          context or "", version to match or "", SHA-1 of the stored text if the client has seen that it is a session, or ""
-- Returns  {"ok"}, {"absent"}, {"mismatch", part}, {"changed"}, or {"check", stored text}: we did not write it, and only
--          the client can tell whether it is a session; let it look, and call again with its SHA-1
local key, text, sha, owner, named = ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local ctx, version, checked = ARGV[7], ARGV[8], ARGV[9]

-- Whether nobody but us wrote the text, and it has the new one's owner. A plain SET, the reference's way to write, takes a
-- lifetime away or sets its own: where session and record still share one, and the length is the one that we wrote, nobody
-- did, and the text need not be read. (Whose it is is read all the same.) Without a lifetime its SHA-1 tells.
local function untouched()
  local own = ARGV[1] .. ':own:' .. key
  local known, ttl = redis.call('HMGET', own, 'o', 'n', 'c', 'h'), redis.call('PTTL', KEYS[1])
  if known[1] ~= owner or known[3] == '1' or redis.call('PTTL', own) ~= ttl then return false end
  if ttl == -1 then return redis.sha1hex(redis.call('GET', KEYS[1])) == known[4] end
  return redis.call('STRLEN', KEYS[1]) == tonumber(known[2])
    and redis.call('GETRANGE', KEYS[1], '0', named - 1) == text:sub(1, named)
end

if version == '' and (ctx == '' or ctx == owner) and untouched() then
  redis.call('SET', KEYS[1], text, 'KEEPTTL')
  redis.call('HSET', ARGV[1] .. ':own:' .. key, 'h', sha, 'n', #text)
  return {'ok'}
end
-- @include _rules
local session = look(key)
if not session then return {'absent'} end
if not is_session(session) and redis.sha1hex(text_of(session)) ~= checked then return {'check', text_of(session)} end
if ctx ~= '' and not aligned(ctx, session.owner) then return {'absent'} end
local part = difference(session.owner or '', owner)
if part then return {'mismatch', part} end
if version ~= '' and redis.sha1hex(text_of(session)) ~= version then return {'changed'} end

redis.call('SET', session_key(key), text, 'KEEPTTL')
redis.call('HSET', own_key(key), 'o', owner, 'h', sha, 'n', #text, 'f', is_known(session) and '' or '1', 'c', '')
expire(own_key(key), session.ttl)
return {'ok'}
