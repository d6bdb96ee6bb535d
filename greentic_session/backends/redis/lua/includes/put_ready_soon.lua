-- Put a place into the index of what is ready that becomes ready at a moment to come: what
-- `put_ready` does where something else there is due before. No function is made for it.
-- Reads  call, path (the owner's), hash, due, ends (of the storage; infinite for never), at
-- Sets   put: false where it is for `put_ready` to do
local put = false
do
  local places = places_at(path)
  local first = call('ZRANGE', places, '0', '0', 'WITHSCORES')
  if first[1] and tonumber(first[2]) <= due then
    local left = call('PTTL', places)
    if left == -1 or ends - at <= left then
      call('ZADD', places, string.format('%.3f', due), place_name(path, hash))
      put = true
    end
  end
end
