-- Whether a session has the text that we wrote, and a new one may take its place: the usual case.
-- Reads  call; target and own (the keys of session and record); owner (of the new text), ctx (the
--        caller's context, or ""), version (to match, or ""), prefix (how the owner's payloads
--        begin, "" where a text with that may be another's)
-- Sets   usual; ttl, what is left of the lifetime, as SET_END takes it
local NEAR_MS = 5 -- the clock goes on within a script
-- From Redis 7.0 on when it ends is compared and kept, not what is left until then: that would lose
-- a bit with each update.
local TELL_END, SET_END = redis.REDIS_VERSION_NUM and 'PEXPIRETIME' or 'PTTL', redis.REDIS_VERSION_NUM and 'PEXPIREAT' or 'PEXPIRE'
local usual, ttl = false, nil

-- Nobody but us wrote the text, and it has the new one's owner. A plain SET, the reference's way to
-- write, takes a lifetime away or sets its own: where session and record still share one, and the
-- length is the one that we wrote, nobody did, and the text need not be read. (Whose it is is read
-- all the same.) Without a lifetime, and where a version is to match, its SHA-1 tells.
repeat
  if ctx ~= '' and ctx ~= owner then break end
  local known = call('HMGET', own, OWNER, TEXT_BYTES, UNSEEN, TEXT_SHA)
  ttl = call(TELL_END, target)
  if known[1] ~= owner or known[3] == '1' or ttl == -2 then break end
  if version ~= '' and version ~= known[4] then break end
  local record_ttl = call(TELL_END, own)
  if ttl == -1 and record_ttl ~= -1 then break end
  if ttl ~= -1 and (record_ttl < 0 or math.abs(record_ttl - ttl) > NEAR_MS) then break end
  if ttl == -1 or version ~= '' then
    if redis.sha1hex(call('GET', target)) ~= known[4] then break end
  else
    if call('STRLEN', target) ~= tonumber(known[2]) or prefix == '' then break end
    if call('GETRANGE', target, '0', last_of(prefix)) ~= prefix then break end
  end
  usual = true
until true
