-- The inbox of a place, {ns}:replies:{owner's path}:{hash}, a hash:
--   "#"       packed: head and, in the order of their acceptance, what the rules want to know of
--             each reply
--   "s"       the scope of the place as JSON
--   "b:{id}"  the body
--   "h:{id}"  what only the client reads: delivery_id, sender, and the scope as delivered, as JSON
-- The head: the session that waits there ("" for none), when its storage ends, the token of its
-- last claim, how long the ids of deliveries surely live, how long this key does, the terms, and
-- whether {ns}:kept names it. So whoever comes later finds out what became of a wait that is gone:
-- it expired, or the reference has cleared it. The key lives as long as the place, or as the ids of
-- what lies there: they end otherwise where it was the wait that ended.
--
-- {ns}:delivered:{owner's path}:{name} is a string: where the reply of a delivery lies, "hash:id";
-- "" once it is settled or removed. {ns}:kept:{owner's path} is a hash: of each place where
-- something lies and nothing waits, packed, until when each reply is kept, and its size.
--
-- A received reply is a table: id, size, accepted, keep_until, token ("" for none), held_until,
-- delivered (the name, "" for none), told (when it was accepted, as it is told).
-- @include instant
-- @include terms
-- @include replies
-- @include ready_index
-- @inline

local function inbox_at(owner, hash)
  local packed = redis.call('HGET', replies_key(owner, hash), ORDER)
  local inbox = {
    owner = owner, hash = hash, replies = {}, waits = '', wait_end = 0, token = '', ids_end = 0, key_end = 0, terms = read_terms(),
    listed = false, is_stored = packed,
  }
  if not packed then return inbox end
  local head = cmsgpack.unpack(packed)
  inbox.waits, inbox.wait_end, inbox.token, inbox.ids_end, inbox.key_end = head[1], head[2], head[3], head[4], head[5]
  inbox.terms, inbox.listed = read_terms(head[6]), head[7]
  for number = 8, #head do
    local one = head[number]
    inbox.replies[number - 7] = {
      id = one[1], size = one[2], accepted = one[3], keep_until = one[4], token = one[5], held_until = one[6],
      delivered = one[7], told = one[8],
    }
  end
  return inbox
end

local function packed_inbox(inbox)
  local head = {
    inbox.waits, inbox.wait_end, inbox.token, inbox.ids_end, inbox.key_end, inbox.terms.text, inbox.listed,
  }
  for number, one in ipairs(inbox.replies) do
    head[number + 7] = {one.id, one.size, one.accepted, one.keep_until, one.token, one.held_until, one.delivered, one.told}
  end
  return cmsgpack.pack(head)
end

local function expire_at(key, ending)
  if ending == math.huge then redis.call('PERSIST', key) else redis.call('PEXPIRE', key, left_of(ending)) end
end

-- Note what lies where nothing waits, or that nothing does.
local function list_kept(inbox)
  local kept = kept_key(inbox.owner)
  if inbox.waits ~= '' or #inbox.replies == 0 then
    if inbox.listed then redis.call('HDEL', kept, inbox.hash) end
    inbox.listed = false
    return
  end
  local is_made, ends, last = redis.call('EXISTS', kept) == 0, {}, 0
  for _, received in ipairs(inbox.replies) do
    local ending = kept_until(received, inbox.terms)
    ends[#ends + 1], ends[#ends + 2], last = ending, received.size, math.max(last, ending)
  end
  redis.call('HSET', kept, inbox.hash, cmsgpack.pack(ends))
  outlive(kept, is_made, last)
  inbox.listed = true
end

-- Store an inbox after a change; an empty one is gone.
local function save_inbox(inbox)
  list_kept(inbox)
  local key = replies_key(inbox.owner, inbox.hash)
  if #inbox.replies == 0 then
    if inbox.is_stored then redis.call('UNLINK', key) end
    inbox.is_stored = false
    return
  end
  local place_end, window, remembers = inbox.waits ~= '' and inbox.wait_end or 0, inbox.terms.dedupe_window, false
  for _, received in ipairs(inbox.replies) do place_end = math.max(place_end, kept_until(received, inbox.terms)) end
  local key_end = place_end
  for _, received in ipairs(inbox.replies) do
    if received.delivered ~= '' then remembers, key_end = true, math.max(key_end, received.accepted + window) end
  end
  local ids_end = key_end + window
  if remembers and ids_end > inbox.ids_end then
    inbox.ids_end = ids_end
    for _, received in ipairs(inbox.replies) do
      if received.delivered ~= '' then expire_at(delivered_key(inbox.owner, received.delivered), ids_end) end
    end
  end
  local moved = key_end ~= inbox.key_end or not inbox.is_stored
  inbox.key_end, inbox.is_stored = key_end, true
  redis.call('HSET', key, ORDER, packed_inbox(inbox))
  if moved then expire_at(key, key_end) end
end

-- Remember the delivery of a reply that leaves the store until then; nil: forget it.
local function note(inbox, received, ending)
  if received.delivered == '' then return end
  local key = delivered_key(inbox.owner, received.delivered)
  if redis.call('GET', key) ~= inbox.hash .. ':' .. received.id then return end
  if ending and ending > instant() then
    redis.call('SET', key, '', 'PX', left_of(ending))
  else
    redis.call('DEL', key)
  end
end

-- Take the bodies of some replies out; the caller has taken the replies themselves out.
local function drop_bodies(inbox, dropped)
  if #dropped == 0 or #inbox.replies == 0 then return end -- where nothing is left, all goes
  local fields = {}
  for _, received in ipairs(dropped) do fields[#fields + 1], fields[#fields + 2] = 'b:' .. received.id, 'h:' .. received.id end
  redis.call('HDEL', replies_key(inbox.owner, inbox.hash), unpack(fields))
end

-- See to what has run out at a place where nothing waits, and store what is left.
local function prune(inbox)
  local at, left, dropped = instant(), {}, {}
  for _, received in ipairs(inbox.replies) do
    if kept_until(received, inbox.terms) <= at then
      note(inbox, received, nil)
      dropped[#dropped + 1] = received
    else
      lapse(received, at, inbox.terms)
      left[#left + 1] = received
    end
  end
  inbox.replies, inbox.waits = left, ''
  drop_bodies(inbox, dropped)
  save_inbox(inbox)
end

-- How many replies of an owner are kept where nothing waits, and their bytes.
local function kept_of(owner)
  local at, count, size = instant(), 0, 0
  local found = redis.call('HGETALL', kept_key(owner))
  for number = 1, #found, 2 do
    local ends, live = cmsgpack.unpack(found[number + 1]), false
    for at_end = 1, #ends, 2 do
      if ends[at_end] > at then count, size, live = count + 1, size + ends[at_end + 1], true end
    end
    if not live then redis.call('HDEL', kept_key(owner), found[number]) end
  end
  return {count = count, size = size}
end

-- A reply as the client reads it: its id, body, what stands beside it, when it was accepted
-- (microseconds since the epoch).
-- Of the one that this very client has just delivered it knows the rest.
local own_reply
local function told_reply(inbox, received)
  if received.id == own_reply then return {received.id, false, false, received.told} end
  local key = replies_key(inbox.owner, inbox.hash)
  local found = redis.call('HMGET', key, 'b:' .. received.id, 'h:' .. received.id)
  return {received.id, found[1] or '', found[2] or '', received.told}
end
