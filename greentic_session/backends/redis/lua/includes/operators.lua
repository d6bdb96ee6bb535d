-- Operators: how a wait stands, for who looks on; and what may be done about it by hand. The same
-- rules stand in greentic_session/transitions/operators.py.
-- @include places

-- How a live wait stands: whether it is claimed, whether it is overdue (its deadline has passed,
-- and no verdict has heard it), for how many ms it has been ready (nil: it is not), for how many it
-- is put off, how many are left until its deadline (nil for none), and how many attempts its open
-- turn has had.
local function standing(wait, due, at)
  return {
    is_claimed = wait.token ~= nil and wait.lease_end > at,
    is_overdue = wait.resume and wait.deadline <= at,
    ready = due <= at and math.floor(at - due) or nil,
    put_off = math.ceil(math.max(wait.put_off - at, 0)),
    deadline = wait.deadline < math.huge and math.floor(wait.deadline - at) or nil,
    attempts = wait.turn and wait.turn.failed + (wait.token and 1 or 0) or 0,
  }
end

-- How a session stands that takes part in replies, and how many lie at its place. Changes nothing.
local function look_at(session)
  local hash = session.place ~= '-' and session.place or nil
  local wait, at, replies = waiting(session, hash, true), instant(), {}
  local due = hash and ready_since(session.owner, hash) or math.huge
  if hash then replies = inbox_at(session.owner, hash).replies end
  return standing(wait, due, at), #replies, wait.resume
end

-- Whether an operator ends the delay of a wait that is put off. Its turn goes on.
local function retry(wait, at) return wait.put_off > at end

-- The reply that an operator removes from an inbox: the oldest. Nil where nothing lies there; false
-- where a live claim holds it.
local function drop(replies, at)
  local first = replies[1]
  if first and is_held_now(first, at) then return false end
  return first
end
