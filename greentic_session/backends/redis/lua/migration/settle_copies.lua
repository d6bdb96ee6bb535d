-- Settle those of some copied replies of a place that nobody holds: that has happened where they
-- come from.
-- KEYS[1]  the prefix of all session keys
-- ARGV     namespace, source, owner, SHA-256 of the scope, ids
-- Returns  how many were settled
-- @include session
-- @include places

-- A function, for a script has 200 variables at most.
local function settle_copies()
  -- @include copied
  local owner, hash, at, named = ARGV[3], ARGV[4], instant(), {}
  for number = 5, #ARGV do named[ARGV[number]] = true end
  local wait, inbox = open_place(owner, hash)
  local is_copy = wait and as_left(wait.session, ARGV[2])
  local gone, staying = {}, {}
  for _, received in ipairs(inbox.replies) do
    if named[received.id] and not is_held_now(received, at) then
      note(inbox, received, id_end(received, SETTLED, at, inbox.terms))
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
