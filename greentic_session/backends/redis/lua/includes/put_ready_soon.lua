-- Whether a place that becomes ready at a moment to come is put into the index of what is ready by
-- one ZADD: where something else there is due before. Else it is for `put_ready` to do.
-- Reads  call, path (the owner's), due, ends (of the storage; infinite for never), at
-- Sets   put
local put = false
do
  local places = places_at(path)
  local first = call('ZRANGE', places, '0', '0', 'WITHSCORES')
  if first[1] and tonumber(first[2]) <= due then
    local left = call('PTTL', places)
    put = left == -1 or ends - at <= left
  end
end
