-- Replies: what a delivery does, and what becomes of an inbox when its wait leaves. The same rules
-- stand in greentic_session/transitions/replies.py.
-- @include readiness
-- @inline
local SETTLED, LEFT_OVER, REMOVED, EXPIRED = 'settled', 'left over', 'removed', 'expired'

local function is_inbox_full(replies, size, limits)
  for _, received in ipairs(replies) do size = size + received.size end
  return #replies >= limits.max_replies or size > limits.max_bytes
end

-- What becomes of a delivery that is no duplicate: an outcome; or "inbox full", "owner full".
-- delivery  size, claims, keep_for (ms or nil), begins (whether there is something to begin with)
-- known     the reply that the same delivery was accepted as before, if it was
-- kept      how many replies of the owner are kept where nothing waits, and their bytes
local function deliver(delivery, wait, replies, known, kept, limits, at)
  if known then
    if not wait then return 'kept' end
    return delivery.claims and is_free(wait, replies, at) and 'claimed' or 'queued'
  end
  if not wait and not delivery.begins then
    if not delivery.keep_for then return 'unmatched' end
    if is_inbox_full(replies, delivery.size, limits) then return 'inbox full' end
    local most = limits.owner_factor
    if kept.count >= most * limits.max_replies or kept.size + delivery.size > most * limits.max_bytes then return 'owner full' end
    return 'kept'
  end
  -- What is parked now is claimed by nobody, but a claim that was displaced there may be at work.
  local free
  if wait then free = is_free(wait, replies, at) else free = busy_until(replies, at) == 0 end
  if delivery.claims and free then return 'claimed' end -- whatever lies there: so a backlog can be worked off
  return is_inbox_full(replies, delivery.size, limits) and 'inbox full' or 'queued'
end

-- What a claim may take: so many of the oldest replies that no live claim holds.
local function takeable(replies, limit, at)
  local found = {}
  for _, received in ipairs(replies) do
    if #found == limit then break end
    if not is_held_now(received, at) then found[#found + 1] = received end
  end
  return found
end

local function hold(received, token, ending) received.token, received.held_until = token, ending end

-- Let go of a reply whose claim ends without a verdict; where nothing waits, it is kept.
local function give_back(received, at, terms, waits)
  if not waits then received.keep_until = math.max(received.keep_until, at + terms.reply_grace) end
  received.token, received.held_until = '', 0
end

-- See to a reply at a place where nothing waits, once the lease of its claim has ended.
local function lapse(received, at, terms)
  if received.token ~= '' and received.held_until <= at then give_back(received, received.held_until, terms, false) end
end

-- How long a reply is kept where nothing waits. The claim that holds it gives it some time more.
local function kept_until(received, terms)
  if received.token == '' then return received.keep_until end
  return math.max(received.keep_until, received.held_until + terms.reply_grace)
end

-- What becomes of the unsettled replies of a place that a wait leaves, and none takes: those that
-- leave the store, and those that stay, for a live claim of another session holds them, or their
-- time has not run out.
local function leave(replies, token, leaving, left_at, at, terms)
  local gone, staying = {}, {}
  for _, received in ipairs(replies) do
    local others = is_held_now(received, left_at) and received.token ~= token
    local ending = others and kept_until(received, terms) or received.keep_until
    if ending > at and (others or leaving == EXPIRED) then
      if not others then hold(received, '', 0) end
      staying[#staying + 1] = received
    else
      gone[#gone + 1] = received
    end
  end
  return gone, staying
end

-- Until when the delivery_id of a reply that leaves the store is remembered; nil where it is
-- forgotten at once.
local function id_end(received, leaving, at, terms)
  if leaving == LEFT_OVER then return nil end
  return (leaving == EXPIRED and received.accepted or at) + terms.dedupe_window
end
