-- Replace the text of a session; its lifetime, wait, scope and claim stay.
-- KEYS[1]  the session
-- ARGV     namespace, session key, text, its SHA-1, owner, caller's context or "", version to match or "", SHA-1 of the
--          stored text if the client has seen that it is a session, or ""
-- Returns  {"ok"}, {"absent"}, {"mismatch", part}, {"changed"}, or {"check", stored text}: we did not write it, and only
--          the client can tell whether it is a session; let it look, and call again with its SHA-1
local key, text, sha, owner, ctx, version, checked = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]

-- Whether nobody but us wrote the text, and it has the new one's owner: told without reading it, from its length and from
-- the lifetime that it shares with our record. A plain SET, the reference's way to write, takes it away or sets its own.
local function untouched()
  local own = ARGV[1] .. ':own:' .. key
  local known, ttl = redis.call('HMGET', own, 'o', 'n', 'c'), redis.call('PTTL', KEYS[1])
  return ttl >= 0 and known[1] == owner and known[3] ~= '1' and redis.call('PTTL', own) == ttl
    and redis.call('STRLEN', KEYS[1]) == tonumber(known[2])
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
