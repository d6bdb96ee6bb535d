-- Claim the wait of the first scope that has one, and let the session live at least as long as the lease.
-- KEYS     the scopes, best first
-- ARGV     namespace, token, lease in ms; on a cluster nonce and reach of a reservation
-- Returns  {number of the scope that matched, session key, text}; {session key} if it is claimed; nil if nothing waits;
--          {session key, "short"} if the session's owner pointer would not live as long as the lease
-- @include _usual
local token, lease = ARGV[2], tonumber(ARGV[3])
for number = 1, #KEYS do
  local scope = KEYS[number]
  local key, text, ttl = usual(scope)
  if key then
    local claim = ns .. ':claim:' .. key
    if redis.call('EXISTS', claim) == 1 then return {key} end
    local led = redis.call('PTTL', scope)
    if (ttl ~= -1 and ttl < lease) or (led ~= -1 and led < lease) then break end
    redis.call('SET', claim, token .. ':' .. scope:sub(-64), 'PX', ARGV[3])
    return {number - 1, key, text}
  end
  if key == nil then break end
  if number == #KEYS then return nil end
end
-- @include _rules
for number = 1, #KEYS do
  local hash = KEYS[number]:sub(-64)
  local session = find(owner, hash)
  if session then
    if redis.call('EXISTS', claim_key(session.key)) == 1 then return {session.key} end
    local text = text_of(session) -- now: a server that is held up deletes what is given a millisecond to live
    local lengthened = session.ttl ~= -1 and session.ttl < lease
    if lengthened and not may_live(session, lease, ARGV[4], ARGV[5]) then return {session.key, 'short'} end
    redis.call('SET', claim_key(session.key), token .. ':' .. hash, 'PX', lease)
    if lengthened then set_lifetime(session, lease) end
    outlive(scope_key(owner, hash), lease)
    return {number - 1, session.key, text}
  end
end
return nil
