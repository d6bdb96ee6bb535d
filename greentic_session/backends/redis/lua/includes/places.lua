-- Places: the wait and the inbox of one, kept in agreement with each other and with the index of
-- what is ready. What becomes of them is decided in replies.lua, turns.lua, readiness.lua and
-- deadlines.lua.
-- @include removal
-- @include waiting
-- @include deadlines
-- @include readiness
-- @include turns
-- @include inboxes
local may_be_refused = in_slot() and rawget(redis, 'may_be_refused') -- see step_begins.lua
if may_be_refused then may_be_refused() end

local opened = {} -- what a script has looked at, by owner and hash

-- Take out what lies at a place that its wait leaves, and none takes. Returns what that was, as the
-- client reads it, where it is left over.
local function leave_inbox(inbox, token, leaving, left_at)
  local at, told = instant(), {}
  local gone, staying = leave(inbox.replies, token, leaving, left_at, at, inbox.terms)
  for number, received in ipairs(gone) do
    if leaving == LEFT_OVER then told[number] = told_reply(inbox, received) end
    note(inbox, received, id_end(received, leaving, at, inbox.terms))
  end
  inbox.replies = staying
  drop_bodies(inbox, gone)
  if inbox.is_stored then prune(inbox) end
  put_ready(inbox.owner, inbox.hash, math.huge)
  return told
end

-- The wait at a place, if one is there, and its inbox without what has run out. What happened since
-- the last look is seen to: the wait has expired, or the reference has cleared it, or parked
-- another there.
local function open_place(owner, hash)
  local place = owner .. ' ' .. hash
  if opened[place] then return opened[place].wait, opened[place].inbox end
  local session, inbox = find_wait(owner, hash), inbox_at(owner, hash)
  local wait = session and waiting(session, hash)
  if inbox.is_stored then
    local at = instant()
    local ended = inbox.waits ~= '' and inbox.waits ~= (session and session.key) and (not wait or inbox.wait_end <= at)
    if ended then
      leave_inbox(inbox, inbox.token, inbox.wait_end <= at and EXPIRED or REMOVED, math.min(inbox.wait_end, at))
    elseif not wait then
      prune(inbox)
    end
  end
  if wait then
    wait.inbox = inbox
    if wait.terms.text == '' then wait.terms = inbox.terms end
    if not (wait.was_part or inbox.is_stored) then wait.was_due = math.huge end -- an entry is of one that is gone
  end
  opened[place] = {wait = wait, inbox = inbox}
  return wait, inbox
end

-- What is remembered of a delivery: "" once its reply was settled or removed, else where that lies;
-- nil where it is not known.
local function known_delivery(owner, name)
  local where = redis.call('GET', delivered_key(owner, name))
  local hash = where and where:match('^(%x+):')
  if not hash then return where or nil end
  open_place(owner, hash) -- frees what has run out there
  return redis.call('GET', delivered_key(owner, name)) or nil
end

-- A session that was found by its key, or by a claim that was made at a place. It may be no wait
-- there any more.
local function open_session(session, hash)
  local place = session.place or hash
  if place and place ~= '-' then
    local wait = open_place(session.owner, place)
    if wait and wait.key == session.key then return wait end
  end
  return waiting(session, nil)
end

-- Remove a session with all that leads to it. Returns what was left over, and the nonce of its
-- reservation on a cluster.
local let_go
local function remove_wait(wait, leaving, unmended)
  local told = {}
  if wait.hash then
    told = leave_inbox(wait.inbox, wait.token, leaving, math.min(wait.ends, instant()))
    unlink_scope(wait.owner, wait.hash, wait.key)
    opened[wait.owner .. ' ' .. wait.hash] = nil
  end
  local nonce = remove_session(wait.session, unmended)
  wait.hash, wait.inbox, wait.is_gone = nil, nil, true
  let_go(wait)
  return told, nonce
end

local function is_apart(one, other) -- lifetimes are whole ms, and the clock goes on within a script
  return one ~= other and not (math.abs(one - other) <= 5)
end

-- See to the lifetime of a session, and to when it is ready, after something of it changed; store
-- all that. Of a copy somebody else says when it ends.
local function refresh(wait, ends_with)
  if wait.is_gone then return end
  local at, inbox = instant(), wait.inbox
  local replies = inbox and inbox.replies or {}
  local ends = ends_with or storage_end(wait, replies)
  if ends <= at then
    remove_wait(wait, EXPIRED)
    return
  end
  if wait.hash then
    if not wait.was_due then wait.was_due = ready_since(wait.owner, wait.hash) end
    local due = due_at(wait, replies, at, wait.was_due)
    if due ~= wait.was_due or (due < math.huge and (wait.is_parked or is_apart(ends, wait.ends))) then
      put_ready(wait.owner, wait.hash, due, ends)
    end
    wait.was_due = due
  end
  save_wait(wait)
  if is_apart(ends, wait.ends) then
    wait.ends = ends
    set_lifetime(wait.session, left_of(ends))
    wait.session.ttl = left_of(ends)
  end
  if inbox and (#replies > 0 or inbox.is_stored) then
    inbox.waits, inbox.wait_end, inbox.token = wait.key, ends, wait.token or ''
    save_inbox(inbox)
  end
end

-- See to a place whose inbox has changed, for another wait than the one that changed it.
local function refresh_place(owner, hash)
  local wait, inbox = open_place(owner, hash)
  if wait then refresh(wait) else prune(inbox) end
end

-- For each place where the claim of a wait holds something: change those replies; they stay where
-- `change` says so.
local function change_held(wait, change)
  local held, token = wait.held, wait.token
  for _, hash in ipairs(held) do
    local other, inbox = open_place(wait.owner, hash)
    local left, dropped = {}, {}
    for _, received in ipairs(inbox.replies) do
      if received.token ~= token or change(inbox, received, other ~= nil) then left[#left + 1] = received
      else dropped[#dropped + 1] = received end
    end
    inbox.replies = left
    drop_bodies(inbox, dropped)
    if other ~= wait then refresh_place(wait.owner, hash) end
  end
end

-- Take out what a claim holds, for its verdict has come. The caller refreshes the wait.
local function settle(wait)
  local at = instant()
  change_held(wait, function(inbox, received)
    note(inbox, received, id_end(received, SETTLED, at, inbox.terms))
    return false
  end)
  wait.held = {}
end

-- Let go of what a claim holds: it ends without a verdict. The caller refreshes the wait.
function let_go(wait)
  local at = instant()
  change_held(wait, function(inbox, received, waits)
    give_back(received, at, inbox.terms, waits)
    return true
  end)
  wait.held = {}
end

-- End the claim on a session; the caller has seen to what it holds.
local function unclaim(wait)
  redis.call('DEL', claim_key(wait.key))
  wait.token, wait.lease_end = nil, 0
end

-- Let a claim hold a session, and the replies that it holds already, from now on.
local function lease_wait(wait, token, hash, lease)
  wait.token, wait.lease_end, wait.claimed_at, wait.marked = token, instant() + lease, hash, ':r'
  redis.call('SET', claim_key(wait.key), token .. ':' .. hash .. ':r', 'PX', lease)
  change_held(wait, function(_, received)
    hold(received, token, wait.lease_end)
    return true
  end)
  lengthen_life(wait, wait.lease_end)
  refresh(wait)
end

-- Let the claim on a wait hold some replies of its place. The caller refreshes it.
local function hold_replies(wait, held)
  for _, received in ipairs(held) do hold(received, wait.token, wait.lease_end) end
  if #held == 0 then return end
  for _, hash in ipairs(wait.held) do
    if hash == wait.hash then return end
  end
  wait.held[#wait.held + 1] = wait.hash
end

-- A claim as the client reads it: number of the scope that matched, session key, text, deadline
-- ("inf" for none), idempotency key, attempt, whether it is there for its deadline, whether its
-- first verdict is due, and the replies that it holds.
local function told_claim(wait, number, text, held, timed_out)
  local turn = wait.turn
  local answer = {
    number, wait.key, text, written(wait.deadline), turn and turn.key or '', turn and turn.failed + 1 or 1,
    timed_out and 1 or 0, wait.is_new and 1 or 0,
  }
  for _, received in ipairs(held) do answer[#answer + 1] = told_reply(wait.inbox, received) end
  return answer
end

-- Begin an attempt of a wait that is free. Returns the claim as the client reads it.
local function start_turn(wait, token, turn_key, lease, number, text)
  local first
  wait.turn, first = begin(wait, wait.inbox.replies, turn_key, instant())
  wait.held, wait.token, wait.lease_end = {}, token, instant() + lease
  local held = first and {first} or {}
  hold_replies(wait, held)
  lease_wait(wait, token, wait.hash, lease)
  return told_claim(wait, number, text, held, not first)
end
