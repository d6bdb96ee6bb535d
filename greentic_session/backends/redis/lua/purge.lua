-- Remove those of some sessions that a caller administers.
-- KEYS[1]  the front of all session keys
-- ARGV     namespace, env, tenant, team or "", user or "", session keys
-- Returns  of each that was removed its key, and 1 or on a cluster the nonce of its reservation
-- @include _rules
local removed, owners = {}, {}
for number = 6, #ARGV do
  local read, session = pcall(look, ARGV[number])
  if read and session and session.owner then
    local env, tenant, team, user = session.owner:match('^([^:]*):([^:]*):([^:]*):([^:]*)$')
    if env == ARGV[2] and tenant == ARGV[3] and (ARGV[4] == '' or team == ARGV[4]) and (ARGV[5] == '' or user == ARGV[5]) then
      removed[#removed + 1] = {session.key, drop(session, true)}
      owners[session.owner] = true
    end
  end
end
for owner in pairs(owners) do mend(owner) end
return removed
