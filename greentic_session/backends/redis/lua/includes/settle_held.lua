-- Settle all that lies in an inbox; the caller removes that. The team and its tenant stay named in
-- the index of what is ready, too early: who meets them looks.
-- Reads  call, path (the owner's), hash, head (see held_inbox.lua)
do
  local window = string.match(head[6], '^%d+ %d+ (%d+)')
  for number = 8, #head do
    local name = head[number][7]
    if name ~= '' then call('SET', delivered_at(path, name), '', 'PX', window) end
  end
  call('ZREM', places_at(path), place_name(path, hash))
end
