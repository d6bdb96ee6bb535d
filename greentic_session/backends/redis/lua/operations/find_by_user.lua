-- Find the only wait of a user, else the user's latest session. It looks at two waits at most.
-- KEYS[1]  the user's set
-- ARGV     namespace, owner, where to go on: cursor and the wait found before; "0" and "" to begin
-- Returns  {"found", session key, text}; {"several"} if the user has several waits; {"absent"};
--          {"more", cursor, session key or ""} where so many members were no waits that the rest is
--          for another call
-- @include session
local owner, cursor, only = ARGV[2], ARGV[3], nil
local set, looked, removed = KEYS[1], 0, false
redis.call('SCARD', set)

-- Whether a member is a wait, and another one than that which was found before.
local function is_another(key)
  if only and only.key == key then return false end -- SSCAN may name one twice
  local ttl, _, session = inspect_member(owner, key, true)
  removed = removed or not ttl
  if not ttl or not only then
    only = only or session
    return false
  end
  return true
end

if ARGV[4] ~= '' and redis.call('SISMEMBER', set, ARGV[4]) == 1 then is_another(ARGV[4]) end
repeat
  local scanned = redis.call('SSCAN', set, cursor, 'COUNT', 10)
  cursor, looked = scanned[1], looked + #scanned[2] + 1
  for _, key in ipairs(scanned[2]) do
    if is_another(key) then return {'several'} end
  end
until cursor == '0' or looked > STEP
if removed or only then sync_or_repair(owner) end
if cursor ~= '0' then return {'more', cursor, only and only.key or ''} end
if only then return {'found', only.key, text_of(only)} end
local key = redis.call('GET', pointer_key(owner))
if not key then return {'absent'} end
local session = load(key)
local is_latest = session and (session.pointer_owner == owner or not session.pointer_owner or not is_known(session))
if is_latest and reaches(owner, session.owner) then
  return {'found', key, text_of(session)}
end
redis.pcall('DEL', pointer_key(owner))
return {'absent'}
