-- Readiness: which wait a runner may take, since when, and what its turn is about. The same rules
-- stand in greentic_session/transitions/readiness.py.
-- @include deadlines
local function is_held_now(received, at) return received.token ~= '' and received.held_until > at end

-- When no live claim holds anything of a place; 0 where none does.
local function busy_until(replies, at)
  local ending = 0
  for _, received in ipairs(replies) do
    if is_held_now(received, at) then ending = math.max(ending, received.held_until) end
  end
  return ending
end

-- The oldest unsettled reply that no live claim holds.
local function oldest(replies, at)
  for _, received in ipairs(replies) do
    if not is_held_now(received, at) then return received end
  end
  return nil
end

-- What a turn that begins now is about: the oldest reply, else the passed deadline.
local function subject(wait, replies, at)
  local first = oldest(replies, at)
  if first then return first.id end
  return wait.resume and wait.deadline <= at and name_of_deadline(wait.deadline) or nil
end

-- Whether a delivery may claim a live wait: unclaimed, not put off, its place not busy.
local function is_free(wait, replies, at)
  return not (wait.token and wait.lease_end > at) and wait.put_off <= at and busy_until(replies, at) == 0
end

-- Since when a wait is ready, or when it becomes ready by itself. What was ready and still is, is
-- ready since then.
local function due_at(wait, replies, at, was_due)
  if #replies == 0 and not wait.resume then return math.huge end
  local due = #replies > 0 and 0 or wait.deadline
  if wait.token then due = math.max(due, wait.lease_end) end
  due = math.max(due, wait.put_off, busy_until(replies, at))
  return due > at and due or math.min(was_due, at)
end
