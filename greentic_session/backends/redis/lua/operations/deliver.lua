-- Accept a reply, and claim its wait if that is free.
-- KEYS     the scope where it was delivered; behind that the one that is meant where no wait is
--          there and one is here
-- ARGV     namespace, owner, id, body, its bytes of UTF-8, what stands beside it (only the client
--          reads that), token, idempotency key of a new turn, lease in ms, name of the delivery or
--          "", "1" if a free wait is claimed, for how many ms it is kept where nothing waits or "",
--          the terms of the store (see terms.lua) and behind them max_replies, max_inbox_bytes and
--          how many inboxes' worth an owner may have of kept replies; for each scope that as JSON;
--          and where there is something to begin with: session key, text or the nonce under which
--          it is staged, its SHA-1, lifetime in ms or -1, "forget" or "resume", how many waits the
--          user may have or "", the bytes of a staged text or ""
-- Returns  {"duplicate"}; {"unmatched"}; {"inbox full"}; {"owner full"}; {"queued", reply};
--          {"kept", reply}; {"claimed", reply, then what told_claim in places.lua tells: instead of
--          the number of the scope that as JSON, the text is false where the client has given it};
--          of the beginning {"exists"} if a live session has its key, and what park.lua answers
-- @include places
local owner, id, body, size, beside, token, turn_key = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6], ARGV[7], ARGV[8]
local lease, name, claims, keep_for, settings = tonumber(ARGV[9]), ARGV[10], ARGV[11] == '1', tonumber(ARGV[12]), ARGV[13]
local begins = 14 + #KEYS
local begun_key, begun_text, is_staged = ARGV[begins], ARGV[begins + 1], (ARGV[begins + 6] or '') ~= ''
local most, most_bytes, factor = settings:match('(%d+) (%d+) (%d+)$')
local limits = {max_replies = tonumber(most), max_bytes = tonumber(most_bytes), owner_factor = tonumber(factor)}
local terms, at = read_terms(settings:match('^%d+ %d+ %d+')), instant()

local ACCEPTED_MS = 86400000 -- for how long replies are counted; then it begins anew

-- Count what is accepted, for whoever asks how many replies a second come in. Not on a cluster,
-- where that would be a key for each user.
local function count_accepted()
  if in_slot() then return end
  local counter = ns .. ACCEPTED
  if redis.call('INCR', counter) == 1 then redis.call('PEXPIRE', counter, ACCEPTED_MS) end
end

local function receive(inbox, outcome)
  count_accepted()
  local received = {
    id = id, size = size, accepted = at, keep_until = outcome == 'kept' and at + keep_for or 0, token = '', held_until = 0,
    delivered = name, told = string.format('%.0f', at * 1000),
  }
  inbox.replies[#inbox.replies + 1], inbox.terms = received, terms
  return received
end

local function store(inbox, received, scope)
  redis.call('HSET', replies_key(owner, inbox.hash), 'b:' .. id, body, 'h:' .. id, beside, SCOPE_OF_PLACE, scope)
  if name ~= '' then
    redis.call('SET', delivered_key(owner, name), inbox.hash .. ':' .. received.id)
    inbox.ids_end = 0 -- its lifetime is set with the others'
  end
end

local function find_known()
  local key = name ~= '' and delivered_key(owner, name)
  local where = key and redis.call('GET', key)
  local hash = where and where:match('^(%x+):')
  if not hash then return where end
  open_place(owner, hash) -- frees what has run out there
  where = redis.call('GET', key)
  if not where then return nil end
  return where, where:match('^(%x+):(.*)$')
end

local function deliver_thoroughly()
  local number, hash = 1, hash_of_scope(KEYS[1])
  local where, known_at, known_id = find_known()
  if where == '' then return {'duplicate'} end
  if known_at then
    number, hash = KEYS[1]:sub(-HASH_LENGTH) == known_at and 1 or nil, known_at
  elseif KEYS[2] and open_place(owner, hash_of_scope(KEYS[2])) and not open_place(owner, hash) then
    number, hash = 2, hash_of_scope(KEYS[2]) -- without its correlation
  end
  local wait, inbox = open_place(owner, hash)
  local received = nil
  for _, one in ipairs(known_at and inbox.replies or {}) do
    if one.id == known_id then received = one end
  end
  if known_at and not received then return {'duplicate'} end -- somebody else's work: what it names lies nowhere
  local delivery = {size = size, claims = claims, keep_for = keep_for, begins = begun_key ~= nil}
  local kept = not wait and keep_for and kept_of(owner) or {count = 0, size = 0}
  local outcome = deliver(delivery, wait, inbox.replies, received, kept, limits, at)
  if outcome ~= 'claimed' and outcome ~= 'queued' and outcome ~= 'kept' then return {outcome} end

  local scope = number and ARGV[13 + number]
  if not received then
    if not wait and begun_key then
      if redis.call('EXISTS', session_key(begun_key)) == 1 then return {'exists'} end
      -- @include parking
      local answer, begun = park({
        key = begun_key, text = begun_text, is_staged = is_staged, sha = ARGV[begins + 2], owner = owner, hash = hash, scope = scope,
        bytes = is_staged and ARGV[begins + 6] or #begun_text, ttl = tonumber(ARGV[begins + 3]), choice = ARGV[begins + 4],
        terms = terms.text, most = tonumber(ARGV[begins + 5]),
      })
      if answer[1] ~= 'parked' then return answer end
      if begun then
        wait = begun
      else
        opened = {}
        wait, inbox = open_place(owner, hash)
      end
      wait.is_new = true
    end
    received = receive(inbox, outcome)
    store(inbox, received, scope)
    inbox.is_stored = true
    inbox.key_end = -1 -- the key may be new
  end
  if wait and wait.terms.text == '' then wait.terms = terms end
  local reply = told_reply(inbox, received)
  if outcome == 'claimed' then
    scope = scope or redis.call('HGET', replies_key(owner, hash), SCOPE_OF_PLACE) or ''
    local text = not (wait.is_new and wait.key == begun_key) and text_of(wait.session)
    return {'claimed', reply, unpack(start_turn(wait, token, turn_key, lease, scope, text))}
  end
  if wait then refresh(wait) else prune(inbox) end
  return {outcome, reply}
end

local answer = deliver_thoroughly()
if is_staged then redis.call('UNLINK', staged_key(begun_text)) end -- where it was not needed
return answer
