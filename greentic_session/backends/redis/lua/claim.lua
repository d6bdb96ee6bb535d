-- Claim the wait of the first scope that has one, and let the session live at least as long as the lease.
-- KEYS     the scopes, best first; then the user's set
-- ARGV     namespace, owner, how the owner's payloads begin, token, lease in ms, SHA-256 of each scope
-- Returns  {number of the scope that matched, session key, text}; {session key} if it is claimed; nil if nothing waits
-- @include _usual
local owner, token, lease = ARGV[2], ARGV[4], tonumber(ARGV[5])
for number = 1, #KEYS - 1 do
  local key, text, ttl = usual(ARGV[1], KEYS[number], KEYS[#KEYS], owner, ARGV[3], ARGV[number + 5])
  if key then
    local claim = ARGV[1] .. ':claim:' .. key
    if redis.call('EXISTS', claim) == 1 then return {key} end
    local led = redis.call('PTTL', KEYS[number])
    if (ttl ~= -1 and ttl < lease) or (led ~= -1 and led < lease) then break end
    redis.call('SET', claim, token .. ':' .. ARGV[number + 5], 'PX', ARGV[5])
    return {number - 1, key, text}
  end
  if key == nil then break end
  if number == #KEYS - 1 then return nil end
end
-- @include _rules
for number = 6, #ARGV do
  local session = find(owner, ARGV[number])
  if session then
    if redis.call('EXISTS', claim_key(session.key)) == 1 then return {session.key} end
    redis.call('SET', claim_key(session.key), token .. ':' .. ARGV[number], 'PX', lease)
    if session.ttl ~= -1 and session.ttl < lease then set_lifetime(session, lease) end
    outlive(scope_key(owner, ARGV[number]), lease)
    return {number - 6, session.key, text_of(session)}
  end
end
return nil
