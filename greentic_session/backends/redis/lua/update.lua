-- Replace the text of a session; its lifetime, wait, scope and claim stay.
-- KEYS[1]  the session
-- ARGV     namespace, session key, text, its SHA-1, owner, caller's context or "", version to match or "", SHA-1 of the
--          stored text if the client has seen that it is a session, or ""
-- Returns  {"ok"}, {"absent"}, {"mismatch", part}, {"changed"}, or {"check", stored text}: we did not write it, and only
--          the client can tell whether it is a session; let it look, and call again with its SHA-1
local key, text, sha, owner, ctx, version, checked = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local session = look(key)
if not session then return {'absent'} end
if not is_session(session) and redis.sha1hex(text_of(session)) ~= checked then return {'check', text_of(session)} end
if ctx ~= '' and not aligned(ctx, session.owner) then return {'absent'} end
local part = difference(session.owner or '', owner)
if part then return {'mismatch', part} end
if version ~= '' and redis.sha1hex(text_of(session)) ~= version then return {'changed'} end

redis.call('SET', session_key(key), text, 'KEEPTTL')
redis.call('HSET', own_key(key), 'o', owner, 'h', sha, 'f', is_known(session) and '' or '1', 'c', '')
expire(own_key(key), session.ttl)
return {'ok'}
