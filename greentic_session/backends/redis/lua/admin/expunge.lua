-- Remove those of some copies that are as they were left; forget that those were copied that are
-- gone. What lies at their places stays.
-- KEYS[1]  the prefix of all session keys
-- ARGV     namespace, source, on a cluster the nonce of a reservation that ends if nothing lives
--          under a key, or "", session keys
-- Returns  {how many were looked at: at least one, and no more once it has cost enough,
--           for each that was removed: {its key, on a cluster the nonce of its reservation}, how
--           many stay}
-- @include session
-- @include places

-- A function, for a script has 200 variables at most.
local function expunge_all()
  -- @include copied
  local source, nonce, removed, kept, looked = ARGV[2], ARGV[3], {}, 0, 0
  for number = 4, #ARGV do
    if is_enough() then break end
    looked = looked + 1
    local key = ARGV[number]
    local read, session = pcall(load, key)
    if not read or (session and not as_left(session, source)) then
      kept = kept + 1
    else
      local found = redis.pcall('GET', copied_key(key))
      if type(found) == 'string' and found:match('^%S+') == source then redis.call('DEL', copied_key(key)) end
      if session and session.place then
        local wait = open_session(session)
        local left = wait.hash
        if left then
          unlink_scope(wait.owner, left, key)
          keep_inbox(wait.owner, left)
          wait.hash, wait.inbox = nil, nil
        end
        local _, gone = remove_wait(wait, REMOVED)
        removed[#removed + 1] = {key, gone}
      elseif session then removed[#removed + 1] = {key, remove_session(session)}
      elseif nonce ~= '' then bar_reservation(nonce) end
    end
  end
  return {looked, removed, kept}
end

return expunge_all()
