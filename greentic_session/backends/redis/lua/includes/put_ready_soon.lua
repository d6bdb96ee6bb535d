-- Whether a place that becomes ready at a moment to come can be put into the index of what is ready
-- by one ZADD: something else there is due before; or nothing is there, and its team and its tenant
-- are named for an earlier moment still, by what was there before (then the place's key lives as
-- long as the team's, and the tenant's lives longer). Else it is for `put_ready` to do.
-- Reads  call, path (the owner's), due, ends (of the storage; infinite for never), at
-- Sets   places (their key), put; life_of_places: that of the key which the ZADD makes, in ms
local places, put, life_of_places = places_at(path), false, -1
do
  local first, left = call('ZRANGE', places, '0', '0', 'WITHSCORES'), -1
  if first[1] then
    put, left = tonumber(first[2]) <= due, call('PTTL', places)
  else
    local of_tenant, team = path:match('^([^:]*:[^:]*):([^:]*):')
    local named, rank = call('ZSCORE', ready_key(of_tenant), team), call('ZSCORE', ready_key(TENANTS), of_tenant)
    put = named and rank and tonumber(named) <= due and tonumber(rank) <= due
    if put then left = call('PTTL', ready_key(of_tenant)) end
    life_of_places = left
  end
  put = put and (left == -1 or ends - at <= left)
end
