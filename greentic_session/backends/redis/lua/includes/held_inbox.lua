-- The inbox of a place where a claim holds all that lies there, as it usually does: what it holds
-- may then be settled without a look at the rules.
-- Reads  call, path (the owner's), hash, key (session key), token
-- Sets   inbox (its key), and head (what is packed there; nil where it is for the rules to say)
local head = nil
inbox = replies_at(path, hash)
do
  local packed = call('HGET', inbox, ORDER)
  local found = packed and cmsgpack.unpack(packed)
  local is_held = found and found[1] == key
  for number = 8, is_held and #found or 0 do is_held = is_held and found[number][5] == token end
  if is_held then head = found end
end
