-- What parking means for replies and deadlines: the inbox of a place that is left, and of the one
-- that is taken.
-- @include places

-- Look at what is there, before anything is written; and return what is to be done behind it:
-- `settle` what the claim holds (it returns whether the wait that was to be displaced has ended
-- with that), then `finish` once the session is stored (it returns what is left over, and the
-- wait).
local function prepare_move(parking, session, parked_at)
  local owner, hash, at = parking.owner, parking.hash, instant()
  local wait = session and open_session(session, parked_at or (session.scope_hash ~= '' and session.scope_hash or nil))
  local there, inbox, _ = open_place(owner, hash)
  local moves = not (there and there.key == parking.key)
  local displaced = moves and there or nil

  local move = {}

  function move.settle()
    if not (wait and parking.token) then return false end
    settle(wait)
    wait.turn, wait.is_new = nil, false
    if not (displaced and displaced.is_gone) then return false end
    displaced = nil
    opened[owner .. ' ' .. hash] = nil
    _, inbox = open_place(owner, hash)
    return true
  end

  function move.finish(parked)
    local leftovers, is_claimed = {}, wait and not parking.token
    if displaced then
      take_deadline(displaced)
      displaced.hash, displaced.inbox = nil, nil
    end
    if moves and wait and wait.hash then
      leftovers = leave_inbox(wait.inbox, wait.token, parking.token and LEFT_OVER or REMOVED, at)
      if not parking.token then leftovers = {} end
      opened[owner .. ' ' .. wait.hash] = nil
    end
    if not wait then
      wait = {key = parking.key, owner = owner, resume = false, is_new = false, lease_end = 0, held = {}, terms = read_terms()}
    end
    wait.session, wait.hash, wait.inbox, wait.put_off = parked, hash, inbox, 0
    if moves then wait.was_due = math.huge end
    if not is_claimed then wait.token, wait.lease_end = nil, 0 end
    if parking.choice ~= 'keep' then wait.resume = parking.choice == 'resume' end
    if parking.terms ~= '' and (wait.resume or wait.terms.text == '') then wait.terms = read_terms(parking.terms) end
    if wait.terms.text == '' then wait.terms = inbox.terms end
    wait.is_parked = true -- its lifetime is set by now, and the entry of its place is to live as long
    wait.ends = parking.stored_ttl == -1 and math.huge or at + parking.stored_ttl
    parked.ttl = parking.stored_ttl
    begin_lifetime(wait, parking.ttl, at)
    opened[owner .. ' ' .. hash] = {wait = wait, inbox = inbox}
    refresh(wait)
    if displaced then refresh(displaced) end
    return leftovers, wait
  end

  return move
end
