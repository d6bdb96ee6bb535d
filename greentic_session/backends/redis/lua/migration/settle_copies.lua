-- Settle those of some copied replies of a place that nobody here holds: that has happened where
-- they come from.
-- KEYS[1]  the prefix of all session keys
-- ARGV     namespace, source, owner, SHA-256 of the scope; of each reply its id, and "1" where its
--          delivery is forgotten where it comes from
-- Returns  how many were settled
-- @include session
-- @include places

-- A function, for a script has 200 variables at most.
local function settle_copies()
  -- @include copied
  local owner, hash, at, named = ARGV[3], ARGV[4], instant(), {}
  for number = 5, #ARGV, 2 do named[ARGV[number]] = {is_forgotten = ARGV[number + 1] == '1'} end
  local wait, inbox = open_place(owner, hash)
  local is_copy = wait and as_left(wait.session, ARGV[2])
  local gone, staying = {}, {}
  for _, received in ipairs(inbox.replies) do
    local one = named[received.id]
    local _, token = carried_from(owner, hash, received.id)
    if one and (received.token == token or not is_held_now(received, at)) then
      note(inbox, received, id_end(received, one.is_forgotten and LEFT_OVER or SETTLED, at, inbox.terms))
      gone[#gone + 1] = received
    else
      staying[#staying + 1] = received
    end
  end
  if #gone == 0 then return 0 end
  inbox.replies = staying
  drop_bodies(inbox, gone)
  if wait then refresh(wait, is_copy and wait.ends) else prune(inbox) end
  return #gone
end

return settle_copies()
