-- Claim the wait of the first scope that has one, and let the session live at least as long as the lease.
-- KEYS[1]  the first scope
-- ARGV     namespace, owner, token, lease in ms, SHA-256 of each scope, best first
-- Returns  {number of the scope that matched, session key, text}; {session key} if it is claimed; nil if nothing waits
local owner, token, lease = ARGV[2], ARGV[3], tonumber(ARGV[4])
for number = 5, #ARGV do
  local session = find(owner, ARGV[number])
  if session then
    if redis.call('EXISTS', claim_key(session.key)) == 1 then return {session.key} end
    redis.call('SET', claim_key(session.key), token .. ':' .. ARGV[number], 'PX', lease)
    if session.ttl ~= -1 and session.ttl < lease then set_lifetime(session, lease) end
    outlive(scope_key(owner, ARGV[number]), lease)
    return {number - 5, session.key, text_of(session)}
  end
end
return nil
