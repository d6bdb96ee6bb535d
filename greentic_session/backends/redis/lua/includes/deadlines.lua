-- Deadlines and lifetimes: when a wait is forgotten or resumed, and how long its storage lives. The
-- same rules stand in greentic_session/transitions/deadlines.py; waiting.lua tells what a wait is.
-- Lifetimes are set in the wait.

-- @include instant
-- A wait that is to be resumed outlives its deadline, so that somebody may hear it.
local function begin_lifetime(wait, ttl, at)
  wait.deadline = ttl == -1 and math.huge or at + ttl
  wait.rest_end = wait.resume and wait.deadline + wait.terms.timeout_grace or wait.deadline
end

-- Let it live until then at least. Where it is to be resumed that moves no deadline.
local function lengthen_life(wait, ending)
  if not wait.resume then wait.deadline = math.max(wait.deadline, ending) end
  wait.rest_end = math.max(wait.rest_end, ending)
end

-- A session that loses its place ends when its storage would have.
local function take_deadline(wait)
  wait.deadline, wait.rest_end = math.huge, wait.ends
end

-- One that is no wait has no deadline.
local function touch_life(wait, ttl, at)
  if wait.hash then return begin_lifetime(wait, ttl, at) end
  wait.deadline, wait.rest_end = math.huge, ttl == -1 and math.huge or at + ttl
end

local function name_of_deadline(deadline) return 'deadline:' .. written(deadline) end

-- Whether the open turn of a wait is for the deadline that it has now.
local function is_heard(wait)
  return wait.turn ~= nil and wait.turn.about == name_of_deadline(wait.deadline)
end

-- A deadline that was heard is used up by staying.
local function stay(wait, at)
  if wait.hash and wait.resume and is_heard(wait) then
    wait.deadline, wait.rest_end = math.huge, at + wait.terms.timeout_grace
  end
end

-- The end of the lifetime that was asked for; once that has passed, the storage's.
local function lifetime_end(wait, at)
  return at < wait.deadline and wait.deadline < math.huge and wait.deadline or wait.ends
end

-- When a wait ends: not before the unsettled replies have had their time; behind a delay they, or a
-- deadline that is to be heard, have it again.
local function storage_end(wait, replies)
  local ending, grace = wait.rest_end, wait.terms.reply_grace
  for _, received in ipairs(replies) do ending = math.max(ending, received.accepted + grace) end
  if wait.put_off > 0 and (#replies > 0 or wait.resume) then ending = math.max(ending, wait.put_off + grace) end
  return ending
end
