-- Read some sessions for whoever walks the store.
-- KEYS[1]  the prefix of all session keys
-- ARGV     namespace, session keys
-- Returns  {how many keys were looked at: at least one, and no more once they have cost enough,
--           for each that is there: {session key, text, scope as JSON or ""}}
-- @include session
local found, looked = {}, 0
for number = 2, #ARGV do
  if is_enough() then break end
  looked = looked + 1
  local read, session = pcall(load, ARGV[number])
  if read and session then
    local parked = session.scope_hash ~= '' and is_known(session)
    local waits = parked and leads_to(scope_key(session.owner_written, session.scope_hash), session.key)
    local scope = waits and redis.call('HGET', record_key(session.key), SCOPE_JSON)
    found[#found + 1] = {session.key, text_of(session), scope or ''}
  end
end
return {looked, found}
