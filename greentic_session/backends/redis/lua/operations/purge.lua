-- Remove those of some sessions that a caller administers.
-- KEYS[1]  the prefix of all session keys
-- ARGV     namespace, env, tenant, team or "", user or "", session keys
-- Returns  {how many were looked at: at least one, and no more once it has cost enough,
--           of each that was removed {its key, on a cluster the nonce of its reservation}}
-- @include session
local removed, owners, looked = {}, {}, 0

local function is_meant(owner)
  local env, tenant, team, user = owner:match('^([^:]*):([^:]*):([^:]*):([^:]*)$')
  return env == ARGV[2] and tenant == ARGV[3] and (ARGV[4] == '' or team == ARGV[4]) and (ARGV[5] == '' or user == ARGV[5])
end

-- What is in order stays so when a wait is dropped; what is not must be looked at in the end, once.
local function enter(owner)
  if owners[owner] then return end
  owners[owner] = true
  local known, settled = pcall(sync_lifetimes, set_key(owner), index_key(owner))
  local members = redis.pcall('SCARD', set_key(owner))
  if not (known and settled) and type(members) == 'number' then members_seen = members_seen + math.min(members, FEW) end
end

for number = 6, #ARGV do
  if is_enough() then break end
  looked = looked + 1
  local read, session = pcall(load, ARGV[number])
  if read and session and session.owner and is_meant(session.owner) then
    enter(session.owner)
    bytes_read = bytes_read + redis.call('STRLEN', session_key(session.key)) -- to free much takes time, too
    if session.place then
      -- @include places
      local _, nonce = remove_wait(open_session(session), REMOVED, true)
      removed[#removed + 1] = {session.key, nonce}
    else
      removed[#removed + 1] = {session.key, remove_session(session, true)}
    end
  end
end
for owner in pairs(owners) do
  sync_or_repair(owner)
  if redis.pcall('EXISTS', set_key(owner)) == 0 then redis.call('UNLINK', unpack(our_keys_of_user(owner))) end
end
return {looked, removed}
