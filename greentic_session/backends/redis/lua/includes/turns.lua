-- Turns: which attempt a claim is, what it begins with, and by which key handlers know it. The same
-- rules stand in greentic_session/transitions/turns.py.

-- @include readiness
-- A turn whose attempt was put off or ended by its lease.
local function fail(turn) return turn and {about = turn.about, failed = turn.failed + 1, key = turn.key} end

-- A claim that was given back took its token along; one that is still there ended by its lease.
local function open_turn(wait, about)
  if not wait.turn or wait.turn.about ~= about then return nil end
  return wait.token and fail(wait.turn) or wait.turn
end

-- Begin an attempt of a wait that is free: of its open turn, or of a new one. Returns the turn, and
-- the reply that the claim holds: nil where it is there for the deadline.
local function begin(wait, replies, turn_key, at)
  local about = subject(wait, replies, at) or ''
  return open_turn(wait, about) or {about = about, failed = 0, key = turn_key}, oldest(replies, at)
end

-- The open turn that a plain claim joins, if there is one.
local function join(wait, replies, at)
  local about = wait.turn and subject(wait, replies, at)
  return about and open_turn(wait, about) or nil
end

-- The turn of a claim that takes replies: a plain one begins its turn by that.
local function take_turn(wait, taken, turn_key)
  if #taken == 0 or (wait.turn and wait.turn.key == turn_key) then return wait.turn end
  return {about = taken[1].id, failed = 0, key = turn_key}
end
