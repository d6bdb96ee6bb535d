-- Settle what a live claim holds, and leave its wait as it is.
-- KEYS[1]  the claim
-- ARGV     namespace, session key, token; and where there is new data: text or the nonce under
--          which it is staged, its SHA-1, owner, the bytes of a staged text or ""
-- Returns  {"stayed"}; {"over"} if the claim is; {"unstaged"} where the text is staged no more
-- @include session
-- @include places
local key, token, text, sha, owner, is_staged = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], (ARGV[7] or '') ~= ''
local call, target, is_new = redis.call, session_key(key), false

local function stay_thoroughly()
  local session = load(key)
  local hash = session and claimed_at(KEYS[1], token)
  if not hash or not verify_owner(session) or (owner and owner ~= session.owner) then return {'over'} end
  local wait = open_session(session, hash)
  if text then
    local lifetime, moved = string.format('%.0f', session.ttl), is_known(session) and '' or '1'
    -- @include store_text
    if not stored then return {'unstaged'} end
    call('HSET', record_key(key), OWNER, owner, TEXT_SHA, sha, TEXT_BYTES, is_staged and ARGV[7] or #text, MOVED, moved, UNSEEN, '')
    session.text, session.fits, session.text_sha = nil, nil, sha
    if not session.owner_written then expire_beside(key, session.ttl) end
  end
  settle(wait)
  stay(wait, instant())
  wait.turn, wait.is_new, wait.put_off = nil, false, 0
  unclaim(wait)
  refresh(wait)
  return {'stayed'}
end

local answer = stay_thoroughly()
if is_staged then redis.call('UNLINK', staged_key(text)) end -- where it was refused
return answer
