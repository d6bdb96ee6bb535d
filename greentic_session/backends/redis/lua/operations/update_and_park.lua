-- Replace the text of a session that has a version, and park a new one in the same step.
-- KEYS     the session, the scope of the other, where nothing waits
-- ARGV     namespace, session key, text, its SHA-1, owner and caller's context, version to match;
--          and those of park.lua, behind the namespace
-- Returns  "updated"; {"apart"} where nothing was done, for whatever reason: each of the two
--          operations tells; {"unstaged"} where the text of the other session is staged no more
-- @include staging
local key, text, sha, owner, version = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local call, target, own, ctx, prefix = redis.call, KEYS[1], record_key(key), owner, ''
-- @include usual_text
if not usual or call('EXISTS', KEYS[2], session_key(ARGV[7])) ~= 0 then
  if ARGV[16] ~= '' then call('UNLINK', staged_key(ARGV[8])) end -- the text of the other
  return {'apart'}
end

-- All rules of that operation hold. It checks before it writes, and nothing of the first session.
local function other(KEYS, ARGV)
-- @include park
end
local answer = other({KEYS[2]}, {ns, unpack(ARGV, 7)})
local outcome = type(answer) == 'table' and answer[1] or answer
if outcome == 'unstaged' then return answer end
if outcome ~= 'parked' then return {'apart'} end
call('SET', target, text, 'KEEPTTL')
call('HSET', own, TEXT_SHA, sha, TEXT_BYTES, #text)
return 'updated'
